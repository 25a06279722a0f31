"""Two people, or a person and a worker, at the same run at once: exactly one effect, and words for the other."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connections

from handrail.shared.errors import Conflict
from runbooks import checklist, resuming, skipping, stopping, versions
from runbooks.models import Run, RunEvent
from runbooks.steps.base import Failure
from tests.runbooks.execution.stage import Scripted, Stage, a_driver, ready_steps, states

pytestmark = pytest.mark.django_db(transaction=True)

CHAIN = "\n".join(f"- {{id: {name}, uses: test.call}}" for name in ("one", "two", "three"))


def at_once(*acts: Callable[[], object]) -> list[str]:
    """Do all of it at the same time; ``done`` or the refusal of each."""
    together = Barrier(len(acts))

    def act(wanted: Callable[[], object]) -> str:
        try:
            together.wait(30)
            wanted()
        except Conflict as refusal:
            return refusal.message
        finally:
            connections.close_all()
        return "done"

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(act, acts))


def events(run: Run, kind: str) -> int:
    return RunEvent.objects.filter(run=run, type=kind).count()


def failed_run(stage: Stage, calls: type[Scripted]) -> Run:
    calls.script = {"two": [Failure("broken", "It broke.")]}
    run = stage.start(stage.publish(CHAIN))
    stage.drive(run)
    assert run.state == "failed"
    return run


def test_of_many_who_resume_a_failed_run_one_does(stage: Stage, calls: type[Scripted]) -> None:
    run = failed_run(stage, calls)
    calls.calls.clear()
    told = at_once(*[lambda: resuming.resume(run.pk, actor=stage.actor, reason="mended")] * 6)
    assert sorted(told) == ["The run goes on already."] * 5 + ["done"]
    stage.drive(run)
    assert (run.state, [node for node, _, _ in calls.calls]) == ("succeeded", ["two", "three"])
    assert events(run, "run.reopened") == 1


def test_of_many_who_pause_and_resume_each_change_happens_once(stage: Stage, calls: type[Scripted]) -> None:
    run = stage.start(stage.publish(CHAIN))
    told = at_once(*[lambda: resuming.pause(run.pk, actor=stage.actor, reason="wait")] * 5)
    assert sorted(told) == ["The run is paused already."] * 4 + ["done"]
    told = at_once(*[lambda: resuming.resume(run.pk, actor=stage.actor)] * 5)
    assert sorted(told) == ["The run goes on already."] * 4 + ["done"]
    stage.drive(run)
    assert (run.state, events(run, "step.succeeded")) == ("succeeded", 3)


def test_a_claim_and_a_pause_at_once_leave_a_step_that_executed_or_one_that_waits(
    stage: Stage, calls: type[Scripted]
) -> None:
    made = stage.publish(CHAIN)
    for _ in range(5):
        calls.calls.clear()
        run = stage.start(made)
        hinted, worker = ready_steps(run)[0], a_driver()
        told = at_once(
            lambda step=hinted, by=worker: by.drive(step),  # type: ignore[misc]
            lambda pk=run.pk: resuming.pause(pk, actor=stage.actor, reason="wait"),  # type: ignore[misc]
        )
        run.refresh_from_db()
        if run.state == "succeeded":
            assert told[1].startswith("The run is over already")
            continue
        assert (run.state, ready_steps(run)) == ("paused", [])
        assert set(states(run).values()) <= {"succeeded", "waiting"}
        resuming.resume(run.pk, actor=stage.actor)
        stage.drive(run)
        assert (run.state, [node for node, _, _ in calls.calls]) == ("succeeded", ["one", "two", "three"])


def test_a_stop_and_the_last_completion_at_once_end_the_run_in_one_way(
    stage: Stage, calls: type[Scripted]
) -> None:
    made = stage.publish("- {id: one, uses: test.call}")
    for _ in range(5):
        run = stage.start(made)
        hinted, worker = ready_steps(run)[0], a_driver()
        at_once(
            lambda step=hinted, by=worker: by.drive(step),  # type: ignore[misc]
            lambda pk=run.pk: stopping.stop(pk, actor=stage.actor, how="undo", reason="enough"),  # type: ignore[misc]
        )
        stage.drive(run)
        assert run.state in ("succeeded", "cancelled")
        assert events(run, "run.finished") == 1


def test_people_who_do_different_things_at_once_do_one_after_the_other(
    stage: Stage, calls: type[Scripted]
) -> None:
    run = stage.start(stage.publish(CHAIN))
    told = at_once(
        lambda: stopping.stop(run.pk, actor=stage.actor, how="cancel", reason="enough"),
        lambda: stopping.stop(run.pk, actor=stage.actor, how="hand_over", reason="by hand"),
        lambda: resuming.pause(run.pk, actor=stage.actor, reason="wait"),
        lambda: skipping.skip_step(run.pk, "one", actor=stage.actor, reason="not today"),
    )
    assert "done" in told
    assert events(run, "run.cancel_requested") + events(run, "run.handed_over") == 1
    run.refresh_from_db()
    for item in checklist.checklist(run.pk, stage.actor):
        if item.is_open:
            checklist.tick(run.pk, actor=stage.actor, items=[item.key], choice="done")
    run.refresh_from_db()
    assert (run.state, events(run, "run.finished"), calls.calls) == ("cancelled", 1, [])


def test_an_item_is_ticked_once_and_the_run_ends_once(stage: Stage, calls: type[Scripted]) -> None:
    run = stage.start(stage.publish("- {id: one, uses: test.call}"))
    stopping.stop(run.pk, actor=stage.actor, how="hand_over", reason="by hand")
    told = at_once(
        *[lambda: checklist.tick(run.pk, actor=stage.actor, items=["one"], choice="done")] * 4,
        lambda: checklist.tick(run.pk, actor=stage.actor, items=["one"], choice="skip", note="no"),
    )
    assert told.count("done") == 1
    assert (events(run, "checklist.ticked"), events(run, "run.finished")) == (1, 1)


def test_a_run_is_restarted_once_by_whoever_is_first(stage: Stage, calls: type[Scripted]) -> None:
    run = failed_run(stage, calls)
    made = run.runbook
    draft = versions.draft_of(made)
    source = (draft or run.version).source.replace("id: three", "id: last")
    versions.save_draft(made, source, actor=stage.actor, expected_revision=versions.revision_of(made))
    versions.publish(made, actor=stage.actor, message="second")
    told = at_once(*[lambda: resuming.restart(run.pk, actor=stage.actor, reason="again")] * 4)
    assert told.count("done") == 1
    assert run.restarts.count() == 1
