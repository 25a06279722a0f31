"""What a run does that another one has started, when that one is paused or stopped in an odd moment."""

from __future__ import annotations

import pytest

from handrail.accounts.models import Project
from runbooks import checklist, resuming, runs, stopping
from runbooks.execution import children, recover
from runbooks.models import Run
from runbooks.steps.base import Failure
from tests.runbooks.execution.stage import Scripted, Stage, history, states

pytestmark = pytest.mark.django_db(transaction=True)

OUTER = "- {id: sub, kind: runbook, runbook: inner}"
STEPS = "- {id: one, uses: test.call}\n- {id: two, uses: test.call}"
ONE_AT_A_TIME = "concurrency: {key: all, limit: 1, on_conflict: queue}"
TIDY = "finally: [{id: tidy, uses: test.call}]"


def child_of(run: Run) -> Run:
    return Run.objects.get(parent_step__run=run)


def test_a_child_that_waits_for_its_turn_is_left_alone_when_its_parent_is_paused(
    stage: Stage, calls: type[Scripted], project: Project
) -> None:
    inner = stage.publish(STEPS, slug="inner", rest=ONE_AT_A_TIME)
    first = stage.start(inner)
    run = stage.start(stage.publish(OUTER, slug="outer"))
    child = child_of(run)
    assert child.state == "pending"
    resuming.pause(run.pk, actor=stage.actor, reason="wait")
    assert children.follow_parents() == 0, "the sweeper has others to look after"
    runs.stop(first.pk, actor=stage.actor, reason="enough")
    child.refresh_from_db()
    assert (child.state, history(child)[-1]) == ("paused", "run.paused"), "its turn came, and it waits on"
    assert children.follow_parents() == 0
    resuming.resume(run.pk, actor=stage.actor)
    child.refresh_from_db()
    assert child.state == "running"


def test_a_child_that_was_handed_over_is_left_to_people_when_its_parent_is_stopped(
    stage: Stage, calls: type[Scripted], project: Project
) -> None:
    stage.publish(STEPS, slug="inner", rest=TIDY)
    run = stage.start(stage.publish(OUTER, slug="outer"))
    child = child_of(run)
    stopping.stop(child.pk, actor=stage.actor, reason="by hand", how="hand_over")
    checklist.tick(child.pk, actor=stage.actor, items=["tidy"], choice="done")
    stopping.stop(run.pk, actor=stage.actor, reason="enough")
    assert children.stop_unwanted() == 0
    child.refresh_from_db()
    run.refresh_from_db()
    assert (child.state, run.state, calls.calls) == ("paused", "cancelling", []), "tidied by hand already"
    checklist.tick(child.pk, actor=stage.actor, items=["one", "two"], choice="done")
    run.refresh_from_db()
    assert run.state == "cancelled"


def test_the_last_steps_of_a_child_that_was_paused_go_on_when_its_parent_is_handed_over(
    stage: Stage, calls: type[Scripted]
) -> None:
    rest = "finally: [{id: wait, kind: wait, for: 1ms}, {id: tidy, uses: test.call}]"
    stage.publish("- {id: one, uses: test.call}", slug="inner", rest=rest)
    run = stage.start(stage.publish(OUTER, slug="outer"))
    child = child_of(run)
    stage.drive(child)
    resuming.pause(run.pk, actor=stage.actor, reason="wait")
    child.refresh_from_db()
    assert child.state == "paused"
    stopping.stop(run.pk, actor=stage.actor, reason="by hand", how="hand_over")
    assert children.follow_parents() == 1
    stage.drive(child)
    assert child.state == "succeeded", "people can deal with the rest of the parent now"
    run.refresh_from_db()
    assert (run.is_open, children.follow_parents()) == (False, 0)


def test_a_child_that_was_paused_begins_nothing_new_when_its_parent_is_handed_over(
    stage: Stage, calls: type[Scripted], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.publish(STEPS, slug="inner", rest=TIDY)
    run = stage.start(stage.publish(OUTER, slug="outer"))
    child = child_of(run)
    resuming.pause(run.pk, actor=stage.actor, reason="wait")
    with monkeypatch.context() as lost:
        lost.setattr(children, "_stop", lambda *_: False)
        stopping.stop(run.pk, actor=stage.actor, reason="by hand", how="hand_over")
    assert children.follow_parents() == 0
    assert children.stop_unwanted() == 1
    stage.drive(child)
    assert (child.state, [node for node, _, _ in calls.calls]) == ("cancelled", ["tidy"])


@pytest.mark.parametrize("act", ["stop", "pause"])
def test_the_end_of_a_child_is_not_forgotten_by_what_happens_to_its_parent_before_anybody_heard_of_it(
    stage: Stage, calls: type[Scripted], monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    stage.publish(STEPS, slug="inner")
    run = stage.start(stage.publish(f"{OUTER[:-1]}, timeout: 1h}}", slug="outer"))
    child = child_of(run)
    monkeypatch.setattr(children, "_wake", lambda _step_id: None)
    stage.drive(child)
    assert child.state == "succeeded"
    if act == "stop":
        runs.stop(run.pk, actor=stage.actor, reason="enough")
    else:
        resuming.pause(run.pk, actor=stage.actor, reason="wait")
        resuming.resume(run.pk, actor=stage.actor)
    assert recover.fire_due() == 1
    run.refresh_from_db()
    assert run.state == ("cancelled" if act == "stop" else "succeeded")


def test_a_run_whose_child_could_not_undo_what_it_did_does_not_say_that_it_was_undone(
    stage: Stage, calls: type[Scripted]
) -> None:
    undoable = "uses: test.call, compensate: {uses: test.call}"
    stage.publish(f"- {{id: inside, {undoable}}}\n- {{id: wait, kind: wait, for: 1h}}", slug="inner")
    run = stage.start(stage.publish(f"- {{id: before, {undoable}}}\n{OUTER}", slug="outer", rest=TIDY))
    stage.drive(run)
    child = child_of(run)
    stage.drive(child)
    calls.script = {"inside": [Failure("broken", "It is locked.")]}
    stopping.stop(run.pk, actor=stage.actor, reason="wrong cluster", how="undo")
    stage.drive(child)
    stage.drive(run)
    error = run.error or {}
    assert (run.state, error["code"], error["step"]) == ("failed", "compensation_failed", "sub")
    assert "It is locked." in error["message"]
    assert states(run) == {"before": "succeeded", "sub": "failed", "tidy": "succeeded"}, (
        "as after any such failure"
    )
