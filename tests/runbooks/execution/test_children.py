"""What a run does that another one has started, when that one is paused or stopped in an odd moment."""

from __future__ import annotations

import pytest

from handrail.accounts.models import Project
from runbooks import checklist, resuming, runs, stopping
from runbooks.execution import children
from runbooks.models import Run
from tests.runbooks.execution.stage import Scripted, Stage, history

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
