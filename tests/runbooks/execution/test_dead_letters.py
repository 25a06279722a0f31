"""Steps that were parked, and undoings that failed, are dead letters until somebody decides."""

from __future__ import annotations

import pytest

from handrail.letters.models import DeadLetter
from handrail.shared.errors import Conflict
from runbooks import dead_letters, runs
from runbooks.execution import recover
from runbooks.execution.gate import Work
from runbooks.execution.worker import Me
from runbooks.models import Run, StepRun
from runbooks.steps.base import Failure, Success
from tests.runbooks.execution.stage import Scripted, Stage, claim_step, states
from tests.runbooks.execution.test_safety import SAFE, UNDOING, gated, lease_ends, row


def parked(stage: Stage) -> Work:
    """A step that has killed its worker three times."""
    work = gated(stage, SAFE)
    for _ in range(2):
        lease_ends(work)
        recover.recover_expired()
        assert claim_step(work.step_id, Me.in_pools("default")) is not None
    lease_ends(work)
    recover.recover_expired()
    return work


def test_a_parked_step_is_a_letter_that_a_retry_takes_up(stage: Stage, calls: type[Scripted]) -> None:
    work = parked(stage)
    letter = DeadLetter.objects.get()
    assert (letter.kind, letter.ref, letter.run_id, letter.state) == (
        "step",
        work.step_id,
        work.live.run.pk,
        "open",
    )
    assert "was lost 3 times" in letter.why
    assert "tried again" in dead_letters.retry(letter, actor=stage.actor)
    letter.refresh_from_db()
    assert (letter.state, row(work).state) == ("retried", "ready")


def test_discarding_a_parked_step_takes_it_as_failed_so_that_its_run_goes_on(
    stage: Stage, calls: type[Scripted]
) -> None:
    work = parked(stage)
    letter = DeadLetter.objects.get()
    dead_letters.discard(letter, actor=stage.actor, reason="the host is gone")
    letter.refresh_from_db()
    assert (letter.state, letter.reason) == ("discarded", "the host is gone")
    assert (row(work).state, Run.objects.get().state) == ("failed", "failed")


def test_a_decision_on_the_runs_page_ends_the_letter(stage: Stage, calls: type[Scripted]) -> None:
    work = parked(stage)
    runs.decide_step(work.step_id, actor=stage.actor, choice="done", reason="I looked")
    letter = DeadLetter.objects.get()
    assert (letter.state, letter.ended_by, letter.reason) == ("settled", stage.actor.name, "I looked")


def test_an_undoing_that_failed_is_put_right_by_hand_and_then_discarded(
    stage: Stage, calls: type[Scripted]
) -> None:
    calls.script["b"] = [Failure("broken", "it broke")]
    calls.script["a"] = [Success({}), Failure("stuck", "the lever is stuck")]
    run = stage.start(stage.publish(UNDOING))
    stage.drive(run)
    assert states(run)["a"] == "compensation_failed"
    letter = DeadLetter.objects.get()
    assert letter.ref == StepRun.objects.get(run=run, node="a", role="step").pk
    assert "the lever is stuck" in letter.why
    with pytest.raises(Conflict, match="by hand"):
        dead_letters.retry(letter, actor=stage.actor)
    dead_letters.discard(letter, actor=stage.actor, reason="pulled it by hand")
    letter.refresh_from_db()
    assert letter.state == "discarded"
    assert dead_letters.find_missed() == 0
