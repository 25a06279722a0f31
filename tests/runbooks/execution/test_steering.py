"""People steer a run: frozen, paused, stopped and undone, handed over, resumed, restarted, a step left out."""

from __future__ import annotations

from datetime import timedelta

import pytest

from handrail.accounts.models import Project
from handrail.audit.models import AuditEntry
from handrail.shared.clock import database_now
from handrail.shared.errors import Conflict, Forbidden, Invalid
from runbooks import approvals, checklist, manual, resuming, runs, skipping, stopping, versions
from runbooks.execution import children, recover
from runbooks.models import Approval, RefusedStart, Run, StepRun
from runbooks.queries.words import state_in_words
from runbooks.refusals import NotAdmitted
from runbooks.steps.base import Failure, Success
from tests import factories
from tests.runbooks.execution.stage import Scripted, Stage, document, history, ready_steps, states, until

pytestmark = pytest.mark.django_db(transaction=True)

CHAIN = "\n".join(f"- {{id: {name}, uses: test.call}}" for name in ("one", "two", "three"))
UNDOABLE = """
- id: first
  kind: group
  steps:
    - {id: a, uses: test.call, with: {n: 0}, compensate: {uses: test.call, with: {was: "${{ self.outputs.said.n }}"}}}
- {id: b, uses: test.call, with: {n: 1}, compensate: {uses: test.call, with: {was: "${{ self.outputs.said.n }}"}}}
- {id: plain, uses: test.call}
- id: last
  kind: group
  steps:
    - {id: c, uses: test.call, with: {n: 2}, compensate: {uses: test.call, with: {was: "${{ self.outputs.said.n }}"}}}
- {id: end, uses: test.call}
"""
FINALLY = "finally: [{id: tidy, uses: test.call}]"


def asking(who: str, guarded: str = "one") -> str:
    """A step that may only run when somebody approves it."""
    asked = (
        f"id: ask, kind: approval, prompt: Go?, for: [{guarded}], timeout: 1h, approvers: {{users: [{who}]}}"
    )
    return f"- {{{asked}}}\n- {{id: {guarded}, uses: test.call}}"


def row(run: Run, node: str) -> StepRun:
    return StepRun.objects.get(run=run, node=node, role="step")


def one_step(stage: Stage, run: Run) -> None:
    """Do what is ready now; what comes next is taken by the same worker, and is told to fail or not by the script."""
    for step_id in ready_steps(run):
        stage.driver.drive(step_id)
    run.refresh_from_db()


def called(calls: type[Scripted]) -> list[str]:
    return [node for node, _, _ in calls.calls]


def pausing(stage: Stage, run: list[Run]) -> object:
    """A call during which somebody pauses the run."""

    def act(_context: object) -> Success:
        resuming.pause(run[0].pk, actor=stage.actor, reason="wait a moment")
        return Success({"said": {"n": 1}})

    return act


def paused_after(stage: Stage, calls: type[Scripted], steps: str, node: str, rest: str = "") -> Run:
    """A run that was paused while ``node`` executed."""
    box: list[Run] = []
    calls.script = {node: [pausing(stage, box)]}
    box.append(stage.start(stage.publish(steps, rest=rest)))
    stage.drive(box[0])
    return box[0]


# Pause and resume ----------------------------------------------------------------------------------------------


def test_what_executes_when_a_run_is_paused_ends_as_it_ends_and_nothing_new_begins(
    stage: Stage, calls: type[Scripted]
) -> None:
    run = paused_after(stage, calls, CHAIN, "one")
    assert (run.state, states(run), called(calls)) == ("paused", {"one": "succeeded"}, ["one"])
    assert state_in_words(run) == "Paused: wait a moment"
    assert recover.hint_ready() == recover.fire_due() == 0
    resuming.resume(run.pk, actor=stage.actor)
    stage.drive(run)
    assert (run.state, called(calls)) == ("succeeded", ["one", "two", "three"])
    actions = list(AuditEntry.objects.filter(object_id=str(run.pk)).values_list("action", flat=True))
    assert {"run.paused", "run.resumed"} <= set(actions)


def test_a_ready_step_of_a_paused_run_cannot_be_claimed(stage: Stage, calls: type[Scripted]) -> None:
    run = stage.start(stage.publish(CHAIN))
    hinted = ready_steps(run)[0]
    resuming.pause(run.pk, actor=stage.actor, reason="wait")
    assert ready_steps(run) == []
    assert stage.driver.drive(hinted) == 0
    assert stage.driver.next_overdue() is None
    resuming.resume(run.pk, actor=stage.actor)
    assert stage.driver.drive(hinted) == 3
    run.refresh_from_db()
    assert run.state == "succeeded"


def test_a_retry_that_is_due_in_a_pause_waits_for_its_end(stage: Stage, calls: type[Scripted]) -> None:
    box: list[Run] = []

    def fail(_context: object) -> Failure:
        resuming.pause(box[0].pk, actor=stage.actor, reason="wait")
        return Failure("busy", "It is busy.", retryable=True)

    calls.script = {"one": [fail]}
    steps = "- {id: one, uses: test.call, idempotent: true, retry: {max_attempts: 3, initial_interval: 1ms}}"
    box.append(stage.start(stage.publish(steps)))
    stage.drive(box[0])
    assert (box[0].state, ready_steps(box[0])) == ("paused", [])
    resuming.resume(box[0].pk, actor=stage.actor)
    stage.drive(box[0])
    assert (box[0].state, row(box[0], "one").attempt) == ("succeeded", 2)


def test_a_timer_fires_when_the_run_is_resumed_and_deadlines_get_the_pause_on_top(
    stage: Stage, calls: type[Scripted]
) -> None:
    inner = "[{id: rest, kind: wait, for: 100ms}, {id: one, uses: test.call}]"
    steps = f"- {{id: g, kind: group, timeout: 1h, steps: {inner}}}"
    run = stage.start(stage.publish(steps, rest="timeout: 2h"))
    deadline = run.deadline
    resuming.pause(run.pk, actor=stage.actor, reason="wait")
    run.refresh_from_db()
    assert run.deadline is None
    assert not StepRun.objects.filter(run=run, due_at__isnull=False).exists()
    assert recover.fire_due() == 0
    resuming.resume(run.pk, actor=stage.actor)
    run.refresh_from_db()
    assert run.deadline is not None
    assert deadline is not None
    assert run.deadline > deadline
    due = row(run, "g").due_at
    assert due is not None
    assert due > row(run, "g").created_at + timedelta(hours=1)
    until(lambda: recover.fire_due() > 0 or bool(ready_steps(run)))
    stage.drive(run)
    assert run.state == "succeeded"


def test_an_approval_is_answered_in_a_pause_and_runs_nothing_before_its_end(
    stage: Stage, calls: type[Scripted], project: Project
) -> None:
    approver = factories.person(roles={project: "approver"})
    steps = asking(approver.username)
    run = stage.start(stage.publish(steps))
    resuming.pause(run.pk, actor=stage.actor, reason="wait")
    asked = Approval.objects.get(run=run)
    told = approvals.decide(asked.pk, actor=factories.actor(approver), decision="approve")
    assert told.message == "Approved. It runs when the run is resumed."
    assert (ready_steps(run), called(calls)) == ([], [])
    resuming.resume(run.pk, actor=stage.actor)
    stage.drive(run)
    assert run.state == "succeeded"


def test_a_timeout_in_a_pause_never_approves(stage: Stage, calls: type[Scripted], project: Project) -> None:
    approver = factories.person(roles={project: "approver"})
    steps = asking(approver.username)
    run = stage.start(stage.publish(steps))
    resuming.pause(run.pk, actor=stage.actor, reason="wait")
    Approval.objects.filter(run=run).update(expires_at=database_now() - timedelta(seconds=1))
    assert approvals.expire_due() == 1
    resuming.resume(run.pk, actor=stage.actor)
    run.refresh_from_db()
    assert (run.state, called(calls)) == ("failed", [])


def test_a_run_that_another_one_has_started_is_paused_and_resumed_with_it(
    stage: Stage, calls: type[Scripted]
) -> None:
    stage.publish(CHAIN, slug="inner")
    run = stage.start(stage.publish("- {id: sub, kind: runbook, runbook: inner}", slug="outer"))
    child = Run.objects.get(parent_step__run=run)
    resuming.pause(run.pk, actor=stage.actor, reason="wait")
    child.refresh_from_db()
    assert (child.state, child.stop_how, ready_steps(child)) == ("paused", "parent", [])
    with pytest.raises(Conflict, match="resume that one"):
        resuming.resume(child.pk, actor=stage.actor)
    resuming.resume(run.pk, actor=stage.actor)
    child.refresh_from_db()
    assert child.state == "running"
    # What the calls after the commits do is done by the sweeper when they are lost.
    Run.objects.filter(pk=run.pk).update(state="paused")
    assert children.follow_parents() == 1
    Run.objects.filter(pk=run.pk).update(state="waiting")
    assert children.follow_parents() == 1
    assert children.follow_parents() == 0
    stage.drive(child)
    run.refresh_from_db()
    assert run.state == "succeeded"


@pytest.mark.parametrize("act", [resuming.pause, resuming.resume])
def test_who_may_not_respond_may_not_steer(
    act: object, stage: Stage, calls: type[Scripted], project: Project
) -> None:
    run = stage.start(stage.publish(CHAIN))
    viewer = factories.actor(factories.person(roles={project: "viewer"}))
    with pytest.raises(Forbidden):
        act(run.pk, actor=viewer, reason="I want to")  # type: ignore[operator]


def test_a_pause_needs_a_reason_and_is_refused_where_it_means_nothing(
    stage: Stage, calls: type[Scripted]
) -> None:
    run = stage.start(stage.publish(CHAIN))
    with pytest.raises(Invalid, match="Say why"):
        resuming.pause(run.pk, actor=stage.actor, reason=" ")
    with pytest.raises(Conflict, match="goes on already"):
        resuming.resume(run.pk, actor=stage.actor)
    resuming.pause(run.pk, actor=stage.actor, reason="wait")
    with pytest.raises(Conflict, match="paused already"):
        resuming.pause(run.pk, actor=stage.actor, reason="wait")


# Stopping ------------------------------------------------------------------------------------------------------


def test_the_preview_says_what_each_way_would_do(stage: Stage, calls: type[Scripted]) -> None:
    run = paused_after(stage, calls, UNDOABLE, "b", rest=FINALLY)
    preview = stopping.preview_stop(run.pk, stage.actor)
    assert preview.reversible == ["b", "a"]
    assert [choice.how for choice in preview.choices] == ["freeze", "cancel", "undo", "hand_over"]
    assert [bool(choice.refusal) for choice in preview.choices] == [True, False, False, False]
    assert "2 done steps are undone, the last one first" in preview.choices[2].words
    assert len(preview.remaining) == 4


def test_a_frozen_run_says_so_and_goes_on_when_it_is_resumed(stage: Stage, calls: type[Scripted]) -> None:
    run = stage.start(stage.publish(CHAIN))
    stopping.stop(run.pk, actor=stage.actor, how="freeze", reason="something is odd")
    run.refresh_from_db()
    assert (run.state, run.stop_how, state_in_words(run)) == ("paused", "freeze", "Frozen: something is odd")
    resuming.resume(run.pk, actor=stage.actor)
    stage.drive(run)
    assert run.state == "succeeded"


def test_what_was_done_is_undone_in_strict_reverse_order_across_groups_and_then_finally_runs(
    stage: Stage, calls: type[Scripted]
) -> None:
    box: list[Run] = []

    def stop(_context: object) -> Success:
        stopping.stop(box[0].pk, actor=stage.actor, how="undo", reason="wrong cluster")
        return Success({})

    calls.script = {"end": [stop]}
    box.append(stage.start(stage.publish(UNDOABLE, rest=FINALLY)))
    stage.drive(box[0])
    run = box[0]
    after_end = [(node, values.get("was")) for node, values, _ in calls.calls][5:]
    assert after_end == [("c", 2), ("b", 1), ("a", 0), ("tidy", None)]
    assert (run.state, state_in_words(run)) == ("cancelled", "Stopped and undone: wrong cluster")
    assert states(run)["a"] == states(run)["b"] == states(run)["c"] == "compensated"
    assert states(run)["plain"] == "succeeded"


def test_a_step_that_cannot_be_undone_ends_the_undoing_and_the_run_says_so(
    stage: Stage, calls: type[Scripted]
) -> None:
    run = paused_after(stage, calls, UNDOABLE, "end")
    calls.script = {"b": [Failure("broken", "No way back.")]}
    stopping.stop(run.pk, actor=stage.actor, how="undo", reason="wrong cluster")
    stage.drive(run)
    assert (run.state, run.error and run.error["code"]) == ("failed", "compensation_failed")
    assert (states(run)["c"], states(run)["b"], states(run)["a"]) == (
        "compensated", "compensation_failed", "succeeded",
    )  # fmt: skip
    with pytest.raises(Conflict, match="could not be undone"):
        resuming.resume(run.pk, actor=stage.actor, reason="again")


def test_a_run_in_doubt_is_undone_only_when_somebody_has_said_what_happened(
    stage: Stage, calls: type[Scripted]
) -> None:
    calls.script = {"b": [Failure("timeout", "No answer.", uncertain=True)]}
    run = stage.start(stage.publish(UNDOABLE))
    stage.drive(run)
    stopping.stop(run.pk, actor=stage.actor, how="undo", reason="wrong cluster")
    stage.drive(run)
    assert (run.state, states(run)["a"]) == ("cancelling", "succeeded")
    runs.decide_step(row(run, "b").pk, actor=stage.actor, choice="done", reason="I looked")
    stage.drive(run)
    assert "b/compensate" in states(run)


def test_a_run_that_is_handed_over_ends_when_people_have_dealt_with_everything(
    stage: Stage, calls: type[Scripted]
) -> None:
    run = paused_after(stage, calls, CHAIN, "one", rest=FINALLY)
    stopping.stop(run.pk, actor=stage.actor, how="hand_over", reason="by hand from here")
    items = checklist.checklist(run.pk, stage.actor)
    assert [(item.key, item.state) for item in items] == [
        ("two", "open"),
        ("three", "open"),
        ("tidy", "open"),
    ]
    assert stage.drive(run) == 0
    assert state_in_words(run) == "Handed over: by hand from here"
    with pytest.raises(Invalid, match="Say why it is left out"):
        checklist.tick(run.pk, actor=stage.actor, items=["two"], choice="skip")
    checklist.tick(run.pk, actor=stage.actor, items=["two", "three"], choice="done", note="on the console")
    run.refresh_from_db()
    assert run.is_open
    with pytest.raises(Conflict, match="two is done already"):
        checklist.tick(run.pk, actor=stage.actor, items=["tidy", "two"], choice="done")
    checklist.tick(run.pk, actor=stage.actor, items=["tidy"], choice="skip", note="not needed")
    run.refresh_from_db()
    assert (run.state, called(calls)) == ("cancelled", ["one"])
    assert state_in_words(run) == "Handed over: 2 steps done by hand, 1 left out"
    with pytest.raises(Conflict, match="handed over"):
        resuming.resume(run.pk, actor=stage.actor, reason="again")


def test_what_executes_when_a_run_is_handed_over_goes_on_and_is_for_people_only_if_it_fails(
    stage: Stage, calls: type[Scripted]
) -> None:
    box: list[Run] = []

    def hand_over(_context: object) -> Failure:
        stopping.stop(box[0].pk, actor=stage.actor, how="hand_over", reason="by hand")
        assert checklist.checklist(box[0].pk, stage.actor)[0].state == "busy"
        with pytest.raises(Conflict, match="still executes"):
            checklist.tick(box[0].pk, actor=stage.actor, items=["one"], choice="done")
        return Failure("broken", "It broke.")

    calls.script = {"one": [hand_over]}
    box.append(stage.start(stage.publish("- {id: one, uses: test.call}")))
    stage.drive(box[0])
    assert box[0].state == "paused"
    checklist.tick(box[0].pk, actor=stage.actor, items=["one"], choice="done")
    box[0].refresh_from_db()
    assert box[0].state == "cancelled"


def test_handing_over_takes_questions_back(stage: Stage, calls: type[Scripted], project: Project) -> None:
    approver = factories.person(roles={project: "approver"})
    steps = asking(approver.username)
    run = stage.start(stage.publish(steps))
    stopping.stop(run.pk, actor=stage.actor, how="hand_over", reason="by hand")
    assert Approval.objects.get(run=run).state == "cancelled"


# Resume from failure ----------------------------------------------------------------------------------------------


def test_a_failed_run_goes_on_from_the_step_that_failed_and_keeps_what_succeeded(
    stage: Stage, calls: type[Scripted]
) -> None:
    calls.script = {"two": [Failure("broken", "It broke.")]}
    run = stage.start(stage.publish(CHAIN, rest="on_failure: [{id: tell, uses: test.call}]\n" + FINALLY))
    stage.drive(run)
    assert (run.state, called(calls)) == ("failed", ["one", "two", "tell", "tidy"])
    preview = resuming.preview_resume(run.pk, stage.actor)
    assert (preview.how, preview.refusal, len(preview.kept), len(preview.again)) == ("reopen", "", 1, 3)
    with pytest.raises(Invalid, match="Say why"):
        resuming.resume(run.pk, actor=stage.actor)
    calls.calls.clear()
    resuming.resume(run.pk, actor=stage.actor, reason="The host is back.")
    run.refresh_from_db()
    assert (run.is_open, run.error, run.ended_at) == (True, None, None)
    stage.drive(run)
    assert (run.state, called(calls)) == ("succeeded", ["two", "three", "tidy"])
    assert states(run) == {
        "one": "succeeded",
        "two": "succeeded",
        "three": "succeeded",
        "tell": "cancelled",
        "tidy": "succeeded",
    }
    # The target must not answer with the failure that it remembers under the old key.
    assert [key.endswith(":again1") for _, _, key in calls.calls] == [True, True, True]
    assert "run.reopened" in history(run)
    with pytest.raises(Conflict, match="succeeded"):
        resuming.resume(run.pk, actor=stage.actor, reason="again")


def test_what_a_stop_has_undone_is_done_again(stage: Stage, calls: type[Scripted]) -> None:
    run = paused_after(stage, calls, UNDOABLE, "end")
    stopping.stop(run.pk, actor=stage.actor, how="undo", reason="wrong cluster")
    stage.drive(run)
    calls.calls.clear()
    resuming.resume(run.pk, actor=stage.actor, reason="It was the right one.")
    stage.drive(run)
    assert (run.state, called(calls)) == ("succeeded", ["a", "b", "c"])
    assert set(states(run).values()) == {"succeeded"}


def test_items_of_a_loop_that_failed_are_done_again_and_the_others_are_not(
    stage: Stage, calls: type[Scripted]
) -> None:
    calls.script = {"act": [Success({}), Failure("broken", "It broke.")]}
    act = "{id: act, uses: test.call, with: {x: '${{ x }}'}}"
    steps = f"- {{id: each, kind: for_each, items: '[1, 2, 3]', as: x, steps: [{act}]}}"
    run = stage.start(stage.publish(steps))
    stage.drive(run)
    assert run.state == "failed"
    calls.calls.clear()
    resuming.resume(run.pk, actor=stage.actor, reason="mended")
    stage.drive(run)
    assert (run.state, [values["x"] for _, values, _ in calls.calls]) == ("succeeded", [2, 3])


def test_an_approval_is_asked_anew_for_a_step_that_is_done_again(
    stage: Stage, calls: type[Scripted], project: Project
) -> None:
    approver = factories.person(roles={project: "approver"})
    steps = asking(approver.username)
    calls.script = {"one": [Failure("broken", "It broke.")]}
    run = stage.start(stage.publish(steps))
    approvals.decide(Approval.objects.get(run=run).pk, actor=factories.actor(approver), decision="approve")
    stage.drive(run)
    assert run.state == "failed"
    resuming.resume(run.pk, actor=stage.actor, reason="mended")
    assert stage.drive(run) == 0
    asked = Approval.objects.get(run=run, state="pending")
    assert asked.round == 2
    approvals.decide(asked.pk, actor=factories.actor(approver), decision="approve")
    stage.drive(run)
    assert run.state == "succeeded"


def test_a_run_in_doubt_is_not_resumed_before_it_is_decided(stage: Stage, calls: type[Scripted]) -> None:
    calls.script = {"one": [Failure("timeout", "No answer.", uncertain=True)]}
    run = stage.start(stage.publish(CHAIN))
    stage.drive(run)
    stopping.stop(run.pk, actor=stage.actor, reason="enough")
    run.refresh_from_db()
    assert run.state == "cancelled"
    with pytest.raises(Conflict, match="Nobody knows what became of one"):
        resuming.resume(run.pk, actor=stage.actor, reason="again")
    runs.decide_step(row(run, "one").pk, actor=stage.actor, choice="done", reason="I looked")
    resuming.resume(run.pk, actor=stage.actor, reason="again")
    stage.drive(run)
    assert (run.state, called(calls)) == ("succeeded", ["one", "two", "three"])


def test_a_run_is_not_resumed_beside_another_with_the_same_key(stage: Stage, calls: type[Scripted]) -> None:
    calls.script = {"one": [Failure("broken", "It broke.")]}
    made = stage.publish(CHAIN)
    run = runs.start(made, inputs={}, actor=stage.actor, dedupe_key="db-7").run
    stage.drive(run)
    runs.start(made, inputs={}, actor=stage.actor, dedupe_key="db-7")
    with pytest.raises(Conflict, match="same key"):
        resuming.resume(run.pk, actor=stage.actor, reason="again")
    run.refresh_from_db()
    assert not run.is_open


def test_a_run_is_not_resumed_beside_as_many_as_may_go_on_with_its_concurrency_key(
    stage: Stage, calls: type[Scripted]
) -> None:
    calls.script = {"one": [Failure("broken", "It broke.")]}
    made = stage.publish(CHAIN, rest="concurrency: {key: all, limit: 1, on_conflict: queue}")
    run = stage.start(made)
    stage.drive(run)
    other = stage.start(made)
    assert (run.state, other.state) == ("failed", "running")
    assert "concurrency limit 1" in resuming.preview_resume(run.pk, stage.actor).refusal
    with pytest.raises(Conflict, match="concurrency limit 1"):
        resuming.resume(run.pk, actor=stage.actor, reason="again")
    stopping.stop(other.pk, actor=stage.actor, reason="the first one goes on")
    assert resuming.preview_resume(run.pk, stage.actor).refusal == ""
    resuming.resume(run.pk, actor=stage.actor, reason="again")
    third = stage.start(made)
    stage.drive(run)
    third.refresh_from_db()
    assert (run.state, third.state) == ("succeeded", "running"), "it waited for the one that was resumed"


# Restart ---------------------------------------------------------------------------------------------------------


def test_a_run_is_restarted_on_a_newer_version_as_a_new_one_that_is_linked(
    stage: Stage, calls: type[Scripted]
) -> None:
    calls.script = {"one": [Failure("broken", "It broke.")]}
    made = stage.publish(CHAIN, rest="inputs: {host: {type: string}, old: {type: string}}")
    run = stage.start(made, host="db-7", old="x")
    stage.drive(run)
    with pytest.raises(Conflict, match="no newer version"):
        resuming.restart(run.pk, actor=stage.actor, reason="again")
    newer = "inputs: {host: {type: string}, zone: {type: string, required: true}}"
    draft = document(CHAIN, rest=newer)
    versions.save_draft(made, draft, actor=stage.actor, expected_revision=versions.revision_of(made))
    versions.publish(made, actor=stage.actor, message="second")
    preview = resuming.preview_restart(run.pk, stage.actor)
    assert ([p["name"] for p in preview.problems], preview.dropped) == (["zone"], ["old"])
    with pytest.raises(Invalid, match="zone"):
        resuming.restart(run.pk, actor=stage.actor, reason="again")
    new = resuming.restart(run.pk, actor=stage.actor, reason="again", inputs={"zone": "eu-1"})
    assert (new.version.number, new.inputs, new.restart_of_id) == (
        2,
        {"host": "db-7", "zone": "eu-1"},
        run.pk,
    )
    assert run.restarts.get() == new
    with pytest.raises(Conflict, match="restarted already"):
        resuming.restart(run.pk, actor=stage.actor, reason="again", inputs={"zone": "eu-1"})
    with pytest.raises(Conflict, match="restarted as a new run"):
        resuming.resume(run.pk, actor=stage.actor, reason="again")


def test_people_are_told_of_a_restart_that_the_runbooks_limits_refuse(
    stage: Stage, calls: type[Scripted]
) -> None:
    calls.script = {"one": [Failure("broken", "It broke.")]}
    limit = "rate_limit: {key: all, max_runs: 1, per: 1h, on_exceed: page}"
    made = stage.publish(CHAIN, rest=limit)
    run = stage.start(made)
    stage.drive(run)
    draft = document(f"{CHAIN}\n- {{id: four, uses: test.call}}", rest=limit)
    versions.save_draft(made, draft, actor=stage.actor, expected_revision=versions.revision_of(made))
    versions.publish(made, actor=stage.actor, message="second")
    with pytest.raises(NotAdmitted, match="rate_limit"):
        resuming.restart(run.pk, actor=stage.actor, reason="again")
    assert RefusedStart.objects.get().code == "rate_limited"
    assert AuditEntry.objects.filter(action="run.refused").count() == 1


# Skip ------------------------------------------------------------------------------------------------------------


def test_a_step_that_failed_in_a_pause_is_skipped_and_the_run_goes_on(
    stage: Stage, calls: type[Scripted]
) -> None:
    box: list[Run] = []

    def fail(_context: object) -> Failure:
        resuming.pause(box[0].pk, actor=stage.actor, reason="wait")
        return Failure("broken", "It broke.")

    calls.script = {"two": [fail]}
    steps = CHAIN + "\n- {id: after, kind: set, values: {said: '${{ steps.two.status }}'}}"
    box.append(stage.start(stage.publish(steps)))
    stage.drive(box[0])
    skipping.skip_step(box[0].pk, "two", actor=stage.actor, reason="not needed today")
    resuming.resume(box[0].pk, actor=stage.actor)
    stage.drive(box[0])
    assert (box[0].state, row(box[0], "after").outputs) == ("succeeded", {"said": "skipped"})
    assert row(box[0], "two").reason == f"{stage.actor.name}: not needed today"


def test_waiting_is_cut_short_by_skipping_it(stage: Stage, calls: type[Scripted]) -> None:
    run = stage.start(stage.publish("- {id: rest, kind: wait, for: 1h}\n- {id: one, uses: test.call}"))
    skipping.skip_step(run.pk, str(row(run, "rest").pk), actor=stage.actor, reason="long enough")
    stage.drive(run)
    assert (run.state, states(run)["rest"]) == ("succeeded", "skipped")


def test_a_step_is_skipped_before_its_turn(stage: Stage, calls: type[Scripted]) -> None:
    run = stage.start(stage.publish(CHAIN))
    skipping.skip_step(run.pk, "two", actor=stage.actor, reason="not today")
    stage.drive(run)
    assert (run.state, called(calls)) == ("succeeded", ["one", "three"])


def test_what_executes_and_what_asks_people_is_never_skipped(
    stage: Stage, calls: type[Scripted], project: Project
) -> None:
    box: list[Run] = []

    def skip(_context: object) -> Success:
        with pytest.raises(Conflict, match="It executes"):
            skipping.skip_step(box[0].pk, "one", actor=stage.actor, reason="no")
        return Success({})

    approver = factories.person(roles={project: "approver"})
    calls.script = {"one": [skip]}
    steps = "- {id: one, uses: test.call}\n" + asking(approver.username, "two")
    box.append(stage.start(stage.publish(steps)))
    stage.drive(box[0])
    assert called(calls) == ["one"]
    with pytest.raises(Conflict, match="answered, never skipped"):
        skipping.skip_step(box[0].pk, "ask", actor=stage.actor, reason="no")
    with pytest.raises(Conflict, match="succeeded already"):
        skipping.skip_step(box[0].pk, "one", actor=stage.actor, reason="no")


def test_a_manual_step_may_be_answered_in_a_pause_after_its_time(stage: Stage, calls: type[Scripted]) -> None:
    run = stage.start(stage.publish("- {id: look, kind: manual, prompt: Look., timeout: 1h}"))
    resuming.pause(run.pk, actor=stage.actor, reason="wait")
    manual.answer(row(run, "look").pk, actor=stage.actor, choice="done")
    run.refresh_from_db()
    assert run.state == "paused"
    resuming.resume(run.pk, actor=stage.actor)
    run.refresh_from_db()
    assert run.state == "succeeded"


def test_several_steps_in_doubt_are_decided_together(stage: Stage, calls: type[Scripted]) -> None:
    doubt = Failure("timeout", "No answer.", uncertain=True)
    calls.script = {"a": [doubt], "b": [doubt]}
    steps = "- id: both\n  kind: parallel\n  steps: [{id: a, uses: test.call}, {id: b, uses: test.call}]"
    run = stage.start(stage.publish(steps))
    stage.drive(run)
    doubtful = [row(run, "a").pk, row(run, "b").pk]
    runs.decide_steps(run.pk, doubtful, actor=stage.actor, choice="done", reason="I looked at both")
    run.refresh_from_db()
    assert run.state == "succeeded"


def test_what_is_in_doubt_is_not_tried_again_in_a_run_that_was_handed_over(
    stage: Stage, calls: type[Scripted]
) -> None:
    calls.script = {"one": [Failure("timeout", "No answer.", uncertain=True)]}
    run = stage.start(stage.publish("- {id: one, uses: test.call}"))
    stage.drive(run)
    stopping.stop(run.pk, actor=stage.actor, reason="by hand", how="hand_over")
    with pytest.raises(Conflict, match="say done or fail"):
        runs.decide_step(row(run, "one").pk, actor=stage.actor, choice="retry", reason="again")
    runs.decide_step(row(run, "one").pk, actor=stage.actor, choice="fail", reason="it is not there")
    checklist.tick(run.pk, actor=stage.actor, items=["one"], choice="done")
    run.refresh_from_db()
    assert run.state == "cancelled"


def test_nothing_of_a_group_that_undoes_itself_can_be_skipped(stage: Stage, calls: type[Scripted]) -> None:
    steps = """
- id: all
  kind: group
  on_failure: {compensate: true}
  steps:
    - {id: a, uses: test.call, compensate: {uses: test.call}}
    - {id: b, uses: test.call}
    - {id: c, uses: test.call}
"""

    def skip(_context: object) -> Success:
        for step in ("b", "c"):
            with pytest.raises(Conflict, match="is being undone"):
                skipping.skip_step(run.pk, step, actor=stage.actor, reason="leave it out")
        return Success({})

    calls.script = {"a": [Success({}), skip], "b": [Failure("broken", "It broke.")]}
    run = stage.start(stage.publish(steps))
    stage.drive(run)
    assert states(run) == {
        "all": "compensated",
        "a": "compensated",
        "a/compensate": "succeeded",
        "b": "failed",
    }
