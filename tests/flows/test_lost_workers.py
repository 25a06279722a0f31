"""Workers die by SIGKILL in the middle of steps, or are replaced between steps: nothing is lost, nothing doubled."""

from __future__ import annotations

import httpx2
import pytest

from handrail.audit.models import AuditEntry
from runbooks.models import Run, RunEvent, StepAttempt
from tests.flows.harness import Installation, unique
from tests.flows.held_production import LONGEST_HOLD, Hold
from tests.flows.patience import eventually
from tests.flows.processes import Process
from tests.flows.services import embedded, postgres_redis

pytestmark = pytest.mark.parametrize("backend", [embedded, postgres_redis], indirect=True, scope="module")


@pytest.fixture(scope="module")
def settings_of_installation() -> dict[str, str]:
    """Short leases: that a worker is lost shall be known soon."""
    return {"HANDRAIL_LEASE_SECONDS": "4"}


@pytest.fixture
def worker(handrail: Installation) -> Process:
    """The one worker of the installation, which this test may kill."""
    running = [process for process in handrail.processes if process.name.startswith("worker")]
    living = [process for process in running if process.is_running()]
    return living[-1] if living else handrail.start_worker()


def held(handrail: Installation, name: str, *, applied: bool) -> tuple[str, Hold]:
    """A service whose runbook is in the middle of its call: before or after its effect."""
    service = unique("stock")
    hold = handrail.production.hold(service, applied=applied)
    assert handrail.send_alert(name, service).status_code == 202
    assert hold.arrived.wait(LONGEST_HOLD), "the step never reached the production"
    return service, hold


@pytest.mark.parametrize("applied", [True, False], ids=["after-its-effect", "before-its-effect"])
def test_an_idempotent_step_is_repeated_and_done_once(
    handrail: Installation, worker: Process, applied: bool
) -> None:
    service, hold = held(handrail, "Repeatable", applied=applied)
    worker.kill()
    hold.released.set()
    handrail.start_worker()

    assert handrail.await_run(service, "succeeded", "failed", "cancelled").state == "succeeded"
    effects = handrail.production.effects_on(service)
    assert [effect["weight"] for effect in effects] == [0], "the repeated key changed nothing more"
    step = handrail.await_step(service, "shift", "succeeded")
    attempts = handrail.rows(StepAttempt).filter(step=step).order_by("fence")
    assert [attempt.outcome for attempt in attempts] == ["lost", "succeeded"]
    done = handrail.rows(RunEvent).filter(run=step.run_id, type="step.succeeded", data__key="shift")
    assert done.count() == 1, "completed once"


def test_a_step_that_must_not_be_repeated_waits_for_a_person(handrail: Installation, worker: Process) -> None:
    service, hold = held(handrail, "OnceOnly", applied=True)
    worker.kill()
    hold.released.set()
    handrail.start_worker()

    step = handrail.await_step(service, "fail_over", "uncertain")
    assert len(handrail.production.effects_on(service)) == 1
    with handrail.sign_in("noor") as noor:
        answer = _decide(handrail, noor, str(step.run_id), str(step.pk), "done", "")
        assert answer.status_code == 422, "a decision needs a reason"
        answer = _decide(handrail, noor, str(step.run_id), str(step.pk), "done", "The new primary serves.")
        assert answer.status_code == 303, answer.text[:2000]

    assert handrail.await_run(service, "succeeded", "failed", "cancelled").state == "succeeded"
    assert len(handrail.production.effects_on(service)) == 1, "no second effect"
    entry = handrail.rows(AuditEntry).get(action="step.decided", object_id=str(step.run_id))
    assert entry.data["reason"] == "The new primary serves."


@pytest.mark.parametrize(("applied", "effects"), [(True, 1), (False, 1)], ids=["it-happened", "it-did-not"])
def test_a_probe_finds_out_what_became_of_a_lost_step(
    handrail: Installation, worker: Process, applied: bool, effects: int
) -> None:
    service, hold = held(handrail, "OnceWithProbe", applied=applied)
    worker.kill()
    hold.released.set()
    handrail.start_worker()

    assert handrail.await_run(service, "succeeded", "failed", "cancelled").state == "succeeded"
    assert len(handrail.production.effects_on(service)) == effects


def test_workers_are_replaced_between_the_steps_of_a_run(handrail: Installation, worker: Process) -> None:
    service = unique("stock")
    hold = handrail.production.hold(service, applied=True)
    assert handrail.send_alert("Chain", service).status_code == 202
    run = handrail.the_run(service)
    for _ in range(3):
        _await_call(handrail, run, hold)
        # SIGTERM in the middle of a call: it is finished, and whoever comes next goes on.
        hold = _replaced(handrail, worker, service, hold)
        worker = handrail.start_worker()
    hold.released.set()

    assert handrail.await_run(service, "succeeded", "failed", "cancelled").state == "succeeded"
    assert [effect["weight"] for effect in handrail.production.effects_on(service)] == [10, 20, 30, 40]
    attempts = handrail.rows(StepAttempt).filter(step__run__inputs__service=service)
    assert [attempt.outcome for attempt in attempts] == ["succeeded"] * attempts.count(), "none was lost"


def _await_call(handrail: Installation, run: Run, hold: Hold) -> None:
    """Until the call is held, or all are made."""
    ended = handrail.rows(Run).filter(pk=run.pk, ended_at__isnull=False)
    eventually("the next call", lambda: hold.arrived.is_set() or ended.exists())


def _replaced(handrail: Installation, worker: Process, service: str, hold: Hold) -> Hold:
    """Stop the worker in order while its call is held; the hold of a call that it did not make any more.

    It may make one more if it completes the first before it hears the signal: that is let through.
    """
    following = handrail.production.hold(service, applied=True)
    worker.terminate()
    hold.released.set()

    def has_ended() -> bool:
        nonlocal following
        if following.arrived.is_set() and worker.family():
            following.released.set()
            following = handrail.production.hold(service, applied=True)
        return not worker.family()

    eventually(f"{worker.name} has ended", has_ended)
    return following


def _decide(
    handrail: Installation, browser: httpx2.Client, run: str, step: str, choice: str, reason: str
) -> httpx2.Response:
    form = {
        "choice": choice,
        "reason": reason,
        "csrfmiddlewaretoken": browser.cookies["csrftoken"],
    }
    headers = {"Referer": handrail.base_url}
    return browser.post(f"/runs/{run}/steps/{step}/decide/", data=form, headers=headers)
