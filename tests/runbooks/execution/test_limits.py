"""What a step waits for at its gate: its target's circuit, a slot of so many, a token of so many a second."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.db import connection
from django.db.models import F

from handrail.shared.clock import database_now
from runbooks.execution import circuits, recover
from runbooks.execution.effect import Ended
from runbooks.execution.gate import Work
from runbooks.execution.worker import Me
from runbooks.models import Circuit, Run, RunEvent, StepRun, TokenBucket
from runbooks.steps.base import ActionContext, Failure, Outcome, Success
from tests import factories
from tests.runbooks.execution.stage import (
    Scripted,
    Stage,
    a_driver,
    claim_step,
    complete,
    ready_steps,
    states,
    until,
)

pytestmark = pytest.mark.django_db(transaction=True)

ILL = Failure("timeout", "No answer.", retryable=True)


def at_once(count: int, act: Callable[[int], None]) -> None:
    """Do it in so many threads that begin together."""
    start = threading.Barrier(count)

    def one(n: int) -> None:
        start.wait()
        try:
            act(n)
        finally:
            connection.close()

    threads = [threading.Thread(target=one, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def started(stage: Stage, steps: str, count: int) -> list[Run]:
    runbook = stage.publish(steps)
    return [stage.start(runbook) for _ in range(count)]


def claim(run: Run) -> Work | None:
    return claim_step(ready_steps(run)[0], Me.in_pools("default"))


class TestRates:
    RATED = "- {id: a, uses: test.call, rate: 1/m burst 2}"

    def test_what_is_beyond_the_rate_waits_in_its_row_until_its_token_is_due(
        self, stage: Stage, calls: type[Scripted]
    ) -> None:
        runs = started(stage, self.RATED, 4)
        for run in runs:
            stage.driver.drive(ready_steps(run)[0])
        assert len(calls.calls) == 2
        third, fourth = (StepRun.objects.get(run=run) for run in runs[2:])
        assert (third.state, third.attempt) == ("ready", 1)
        assert "test takes no more than 1/m burst 2" in third.reason
        first_due = (third.ready_at - database_now()).total_seconds()
        assert 50 < first_due <= 60
        assert timedelta(seconds=59) < fourth.ready_at - third.ready_at < timedelta(seconds=61)

    def test_it_goes_ahead_when_the_token_is_due(self, stage: Stage, calls: type[Scripted]) -> None:
        first, second = started(stage, "- {id: a, uses: test.call, rate: 1/h burst 1}", 2)
        for run in (first, second):
            stage.driver.drive(ready_steps(run)[0])
        assert len(calls.calls) == 1
        # An hour passes: the database's clock cannot be turned forward.
        earlier = timedelta(hours=1, seconds=1)
        TokenBucket.objects.update(at=F("at") - earlier, line_until=F("line_until") - earlier)
        StepRun.objects.filter(run=second).update(ready_at=F("ready_at") - earlier)
        stage.drive(second)
        assert second.state == "succeeded"
        assert RunEvent.objects.filter(type="step.held").count() == 1

    def test_a_crowd_of_workers_takes_no_token_twice(self, stage: Stage, calls: type[Scripted]) -> None:
        runs = started(stage, "- {id: a, uses: test.call, rate: 1/h burst 5}", 12)
        passed: list[Work | None] = []
        at_once(12, lambda n: passed.append(claim(runs[n])))
        assert sum(work is not None for work in passed) == 5
        assert TokenBucket.objects.get().tokens < 1
        due = StepRun.objects.filter(held__startswith="rate:").values_list("ready_at", flat=True)
        assert len(set(due)) == 7

    def test_a_connections_rate_holds_for_all_that_call_it(self, stage: Stage) -> None:
        factories.connection(stage.project, "traffic", options={"rate": "1/h burst 1"})
        steps = "- {id: a, uses: http.request, with: {connection: traffic, path: /}}"
        runs = started(stage, steps, 2)
        assert claim(runs[0]) is not None
        assert claim(runs[1]) is None
        assert "traffic takes no more than 1/h burst 1" in StepRun.objects.get(run=runs[1]).reason


class TestSlots:
    ONE = "- {id: a, uses: test.call, concurrency: {key: db}}\n- {id: b, uses: test.call}"

    def test_a_full_slot_holds_the_next_step_and_wakes_it_when_it_is_free(
        self, stage: Stage, calls: type[Scripted]
    ) -> None:
        first, second = started(stage, self.ONE, 2)
        me = Me.in_pools("default")
        work = claim_step(ready_steps(first)[0], me)
        assert work is not None
        assert claim(second) is None
        row = StepRun.objects.get(run=second)
        assert "no more than 1 call at once for db" in row.reason
        assert row.ready_at > database_now()
        complete(work, Ended(Success({})), me)
        row.refresh_from_db()
        assert row.ready_at <= database_now()
        assert row.hinted_at is not None
        stage.drive(second)
        assert second.state == "succeeded"

    def test_a_crowd_never_exceeds_the_limit(self, stage: Stage, calls: type[Scripted]) -> None:
        steps = "- {id: a, uses: test.call, idempotent: true, concurrency: {key: db, limit: 3}}"
        runs = started(stage, steps, 12)
        passed: list[Work | None] = []
        at_once(12, lambda n: passed.append(claim(runs[n])))
        assert sum(work is not None for work in passed) == 3

    def test_the_slot_of_a_lost_worker_is_free_when_its_step_is_taken_back(
        self, stage: Stage, calls: type[Scripted]
    ) -> None:
        first, second = started(stage, self.ONE, 2)
        assert claim(first) is not None
        assert claim(second) is None
        StepRun.objects.filter(run=first).update(lease_until=database_now() - timedelta(seconds=1))
        assert recover.recover_expired() == 1
        assert states(first)["a"] == "uncertain"
        stage.drive(second)
        assert second.state == "succeeded"

    def test_other_keys_and_other_projects_do_not_wait(self, stage: Stage, calls: type[Scripted]) -> None:
        steps = "- {id: a, uses: test.call, concurrency: {key: '${{ inputs.db }}'}}"
        runbook = stage.publish(steps, rest="inputs: {db: {type: string, required: true}}")
        one, two, again = (stage.start(runbook, db=name) for name in ("x", "y", "x"))
        assert claim(one) is not None
        assert claim(two) is not None
        assert claim(again) is None

    def test_one_run_passes_its_slot_on_to_itself(self, stage: Stage, calls: type[Scripted]) -> None:
        steps = "\n".join(f"- {{id: s{n}, uses: test.call, concurrency: {{key: db}}}}" for n in range(3))
        run = started(stage, steps, 1)[0]
        stage.driver.drive(ready_steps(run)[0])
        run.refresh_from_db()
        assert run.state == "succeeded"
        assert not RunEvent.objects.filter(type="step.held").exists()


@pytest.fixture
def _touchy(settings: LazySettings) -> None:
    settings.CIRCUIT_FAILURES = 2
    settings.CIRCUIT_PAUSE_SECONDS = 100.0


@pytest.mark.usefixtures("_touchy")
class TestCircuits:
    STEPS = "- {id: a, uses: test.call, circuit: db, idempotent: true}"

    def opened(self, stage: Stage, calls: type[Scripted]) -> None:
        """Two runs that found the target ill."""
        calls.script = {"a": [ILL, ILL]}
        for run in started(stage, self.STEPS, 2):
            stage.drive(run)

    def pause_over(self) -> None:
        """The database's clock cannot be turned forward; the moment of the next try can be turned back."""
        Circuit.objects.update(try_at=database_now() - timedelta(seconds=1))

    def test_failures_that_tell_of_the_target_open_it_and_the_next_step_waits(
        self, stage: Stage, calls: type[Scripted]
    ) -> None:
        self.opened(stage, calls)
        row = Circuit.objects.get()
        assert (row.key, row.state, row.openings) == ("db", "open", 1)
        assert row.reason == "a-runbook / a: timeout: No answer"
        run = stage.start(stage.project.runbooks.get())
        assert claim(run) is None
        step = StepRun.objects.get(run=run)
        assert (step.state, step.attempt, step.ready_at) == ("ready", 1, row.try_at)
        assert "The circuit of db is open" in step.reason

    def test_what_does_not_tell_of_the_target_does_not_open_it(
        self, stage: Stage, calls: type[Scripted]
    ) -> None:
        calls.script = {
            "a": [Failure("invalid_input", "No."), Failure("exit_code", "1"), Failure("cancelled", "")]
        }
        for run in started(stage, self.STEPS, 3):
            stage.drive(run)
        assert not Circuit.objects.exists()

    def test_a_success_closes_it_and_wakes_who_waited(self, stage: Stage, calls: type[Scripted]) -> None:
        self.opened(stage, calls)
        runbook = stage.project.runbooks.get()
        waiting, seeing = stage.start(runbook), stage.start(runbook)
        assert claim(waiting) is None
        self.pause_over()
        me = Me.in_pools("default")
        work = claim_step(ready_steps(seeing)[0], me)
        assert work is not None
        assert Circuit.objects.get().state == "half_open"
        complete(work, Ended(Success({})), me)
        assert Circuit.objects.get().state == "closed"
        stage.drive(waiting)
        assert waiting.state == "succeeded"

    def test_a_failure_of_who_sees_opens_it_for_longer(self, stage: Stage, calls: type[Scripted]) -> None:
        self.opened(stage, calls)
        first = Circuit.objects.get()
        calls.script = {"a": [ILL]}
        self.pause_over()
        run = stage.start(stage.project.runbooks.get())
        stage.drive(run)
        assert run.state == "failed"
        row = Circuit.objects.get()
        assert (row.state, row.openings, row.opened_at) == ("open", 2, first.opened_at)
        assert row.try_at - row.updated_at == timedelta(seconds=200)

    def test_of_twenty_threads_one_gets_through_a_half_open_circuit(
        self, stage: Stage, calls: type[Scripted]
    ) -> None:
        self.opened(stage, calls)
        runbook = stage.project.runbooks.get()
        runs = [stage.start(runbook) for _ in range(20)]
        self.pause_over()
        passed: list[Work | None] = []
        at_once(20, lambda n: passed.append(claim(runs[n])))
        assert sum(work is not None for work in passed) == 1
        assert Circuit.objects.get().state == "half_open"
        assert StepRun.objects.filter(state="ready", held__startswith="circuit:").count() == 19

    def test_a_target_of_a_connection_has_a_circuit_of_its_own(self, stage: Stage) -> None:
        # Port 9 of this machine: nobody listens.
        factories.connection(stage.project, "traffic", allowed_networks=["127.0.0.0/8"])
        steps = (
            "- {id: a, uses: http.request, with: {connection: traffic, path: /},"
            " retry: {max_attempts: 2, initial_interval: 0s}}"
        )
        run = started(stage, steps, 1)[0]
        stage.drive(run)
        assert run.state == "failed"
        row = Circuit.objects.get()
        assert (row.key, row.state) == ("traffic", "open")
        assert "connect_failed" in row.reason

    def test_a_well_target_costs_no_statement(self, stage: Stage, calls: type[Scripted]) -> None:
        run = started(stage, self.STEPS, 1)[0]
        stage.drive(run)
        assert run.state == "succeeded"
        assert not Circuit.objects.exists()
        assert not circuits.may_hold(stage.project.pk, "db")


class TestAWorkerOfItsOwn:
    def test_pollers_work_off_what_a_slot_lets_through_one_by_one(
        self, stage: Stage, calls: type[Scripted]
    ) -> None:
        now_in: list[int] = []
        most: list[int] = []
        lock = threading.Lock()

        def work(context: ActionContext) -> Outcome:
            with lock:
                now_in.append(1)
                most.append(len(now_in))
            threading.Event().wait(0.005)
            with lock:
                now_in.pop()
            return Success({})

        calls.script = {"a": [work] * 8}
        runs = started(stage, "- {id: a, uses: test.call, concurrency: {key: db, limit: 2}}", 8)

        def work_off(n: int) -> None:
            driver = a_driver("default")

            def over() -> bool:
                StepRun.objects.filter(state="ready", hinted_at__isnull=False).update(hinted_at=None)
                while (found := driver.next_overdue()) is not None:
                    driver.go_on(found)
                return not Run.objects.filter(is_open=True).exists()

            until(over, seconds=20)

        at_once(3, work_off)
        for run in runs:
            run.refresh_from_db()
        assert {run.state for run in runs} == {"succeeded"}
        assert max(most) <= 2
