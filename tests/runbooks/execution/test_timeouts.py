"""Steps that nobody takes, that take too long in all, and that fall silent in the middle."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.conf import LazySettings

from handrail.shared.clock import database_now
from handrail.vault.redaction import Redactor
from runbooks import resuming
from runbooks.execution import heart, recover
from runbooks.execution.heart import Held
from runbooks.execution.logs import StepLog
from runbooks.execution.worker import Me
from runbooks.models import StepAttempt, StepRun
from runbooks.steps.base import ActionContext, Failure, Outcome, Success
from tests.runbooks.execution.stage import Scripted, Stage, claim_step, ready_steps, states, until

pytestmark = pytest.mark.django_db(transaction=True)


def hang(context: ActionContext) -> Outcome:
    """Say nothing until somebody wants it to stop, for ten seconds at most."""
    over = time.monotonic() + 10
    while not context.cancelled() and time.monotonic() < over:
        threading.Event().wait(0.01)
    return Failure("cancelled", "It was told to stop.", uncertain=True)


def error_of(node: str) -> dict[str, object]:
    return StepRun.objects.get(node=node, role="step").error or {}


class TestNobodyTakesIt:
    def test_the_sweeper_ends_a_step_of_a_pool_without_workers(self, stage: Stage) -> None:
        steps = "- {id: a, uses: noop, runner: {pool: inside}, schedule_to_start_timeout: 0.2s}"
        run = stage.start(stage.publish(steps))
        row = StepRun.objects.get(run=run)
        assert row.due_at == row.ready_at + timedelta(seconds=0.2)
        until(lambda: recover.fire_due() == 1)
        run.refresh_from_db()
        assert (states(run), run.state) == ({"a": "timed_out"}, "failed")
        assert error_of("a")["code"] == "schedule_to_start_timeout"
        assert "the pool inside" in str(error_of("a")["message"])
        assert recover.fire_due() == 0

    def test_a_worker_that_comes_too_late_finds_it_over(self, stage: Stage) -> None:
        run = stage.start(stage.publish("- {id: a, uses: noop, schedule_to_start_timeout: 0.001s}"))
        due = StepRun.objects.get(run=run).due_at
        until(lambda: due is not None and database_now() > due)
        assert claim_step(ready_steps(run)[0], Me.in_pools("default")) is None
        assert states(run) == {"a": "timed_out"}

    def test_the_setting_is_for_steps_that_do_not_say_otherwise(
        self, stage: Stage, settings: LazySettings
    ) -> None:
        settings.SCHEDULE_TO_START_SECONDS = 90.0
        run = stage.start(stage.publish("- {id: a, uses: noop}"))
        row = StepRun.objects.get(run=run)
        assert row.due_at == row.ready_at + timedelta(seconds=90)
        settings.SCHEDULE_TO_START_SECONDS = 0.0
        run = stage.start(stage.publish("- {id: a, uses: noop}", slug="another"))
        assert StepRun.objects.get(run=run).due_at is None


class TestAllAttemptsTogether:
    def test_no_attempt_is_planned_that_could_not_begin_in_time(
        self, stage: Stage, calls: type[Scripted]
    ) -> None:
        calls.script = {"a": [Failure("busy", "Later.", retryable=True)]}
        run = stage.start(
            stage.publish(
                "- id: a\n  uses: test.call\n  schedule_to_close_timeout: 5s\n"
                "  retry: {max_attempts: 9, initial_interval: 10s, jitter: none}"
            )
        )
        stage.drive(run)
        assert (states(run), run.state) == ({"a": "timed_out"}, "failed")
        assert error_of("a")["code"] == "schedule_to_close_timeout"
        assert "busy: Later." in str(error_of("a")["message"])

    def test_an_attempt_gets_no_more_time_than_is_left(self, stage: Stage, calls: type[Scripted]) -> None:
        steps = "- {id: a, uses: test.call, timeout: 10m, schedule_to_close_timeout: 20s}"
        run = stage.start(stage.publish(steps))
        work = claim_step(ready_steps(run)[0], Me.in_pools("default"))
        assert work is not None
        assert 15 < work.timeout <= 20


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heart, "LOOK_EVERY", 0.02)


@pytest.mark.usefixtures("_quick")
class TestSilence:
    def test_a_silent_step_that_may_be_repeated_is_done_again(
        self, stage: Stage, calls: type[Scripted]
    ) -> None:
        calls.script = {"a": [hang, Success({"ok": True})]}
        run = stage.start(stage.publish("- {id: a, uses: test.call, idempotent: true, heartbeat: 0.1s}"))
        stage.drive(run)
        assert run.state == "succeeded"
        assert list(StepAttempt.objects.values_list("outcome", flat=True)) == ["silent", "succeeded"]
        assert StepAttempt.objects.get(outcome="silent").error["code"] == "heartbeat_timeout"

    def test_after_the_third_silence_it_is_parked(self, stage: Stage, calls: type[Scripted]) -> None:
        calls.script = {"a": [hang, hang, hang]}
        run = stage.start(stage.publish("- {id: a, uses: test.call, idempotent: true, heartbeat: 0.05s}"))
        stage.drive(run)
        assert states(run) == {"a": "uncertain"}
        assert "Silent or lost 3 times" in str(error_of("a")["message"])

    def test_any_other_is_uncertain(self, stage: Stage, calls: type[Scripted]) -> None:
        calls.script = {"a": [hang]}
        run = stage.start(stage.publish("- {id: a, uses: test.call, heartbeat: 0.1s}"))
        stage.drive(run)
        assert states(run) == {"a": "uncertain"}
        assert error_of("a")["code"] == "heartbeat_timeout"

    def test_who_tells_of_progress_or_logs_is_not_silent(self, stage: Stage, calls: type[Scripted]) -> None:
        def busy(tell: str) -> Callable[[ActionContext], Outcome]:
            def work(context: ActionContext) -> Outcome:
                for n in range(15):
                    if context.cancelled():
                        return Failure("cancelled", "It was told to stop.")
                    context.heartbeat() if tell == "heartbeat" else context.log("log", f"part {n}")
                    threading.Event().wait(0.04)
                return Success({})

            return work

        calls.script = {"a": [busy("heartbeat")], "b": [busy("log")]}
        steps = "\n".join(f"- {{id: {node}, uses: test.call, heartbeat: 0.3s}}" for node in "ab")
        run = stage.start(stage.publish(steps))
        stage.drive(run)
        assert run.state == "succeeded"


def test_a_call_that_does_not_return_loses_its_lease() -> None:
    now, step_id = time.monotonic(), uuid.uuid4()
    held = Held(step_id, 1, now + 10, StepLog(step_id, 1, Redactor(())))
    assert not held.is_overdue(now + 39)
    assert held.is_overdue(now + 41)
    held.stopped_at = now
    assert held.is_overdue(now + 31)


class TestTheWholeRun:
    @pytest.mark.parametrize("steps", ["- {id: a, uses: test.call}", "- {id: a, kind: set, values: {x: 1}}"])
    def test_its_last_steps_have_no_deadline_for_which_the_sweeper_would_look_again_and_again(
        self, stage: Stage, calls: type[Scripted], steps: str
    ) -> None:
        rest = "timeout: 1h\nfinally: [{id: last, kind: manual, prompt: Look around, timeout: 1h}]"
        run = stage.start(stage.publish(steps, rest=rest))
        stage.drive(run)
        assert (states(run)["last"], run.deadline) == ("awaiting_human", None)
        resuming.pause(run.pk, actor=stage.actor, reason="wait")
        resuming.resume(run.pk, actor=stage.actor)
        run.refresh_from_db()
        assert run.deadline is None

    def test_what_is_resumed_has_a_deadline_again(self, stage: Stage, calls: type[Scripted]) -> None:
        calls.script = {"a": [Failure("broken", "It broke.")]}
        run = stage.start(
            stage.publish("- {id: a, uses: test.call}", rest="timeout: 1h\non_failure: [{id: b, uses: noop}]")
        )
        stage.drive(run)
        resuming.resume(run.pk, actor=stage.actor, reason="mended")
        run.refresh_from_db()
        assert run.deadline is not None
