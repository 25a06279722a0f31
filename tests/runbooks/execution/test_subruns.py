"""Runs that start runs: pinned, waited for, stopped together, refused where they would never end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from handrail.accounts.actions import remove_role
from handrail.audit.models import AuditEntry
from handrail.shared.errors import Conflict, Invalid
from runbooks import pins, runs, versions
from runbooks.execution import children, recover
from runbooks.models import Run, Runbook, RunEvent, StepRun
from runbooks.steps.base import Failure
from tests import factories
from tests.runbooks.execution.stage import Scripted, Stage, document, states

pytestmark = pytest.mark.django_db(transaction=True)

INNER = "- {id: act, uses: test.call, with: {to: '${{ inputs.host }}'}}\n- {id: last, uses: noop}"
INNER_REST = """
inputs: {host: {type: string, required: true}}
outputs: {said: "${{ steps.act.outputs.said.to }}"}
outcome: {drained: steps.act.status == 'succeeded'}
finally: [{id: tidy, uses: noop}]
"""
OUTER = """
- {id: sub, kind: runbook, runbook: inner, inputs: {host: db-7}}
- id: after
  kind: set
  values: {heard: "${{ steps.sub.outputs.said }}", well: "${{ steps.sub.outputs.outcome.drained }}"}
"""


@pytest.fixture
def inner(stage: Stage, calls: type[Scripted]) -> Runbook:
    return stage.publish(INNER, slug="inner", rest=INNER_REST)


def child_of(run: Run, node: str = "sub") -> Run:
    return Run.objects.get(parent_step__run=run, parent_step__node=node)


def test_the_parent_waits_for_its_child_and_gets_its_outputs(stage: Stage, inner: Runbook) -> None:
    run = stage.start(stage.publish(OUTER, slug="outer"))
    child = child_of(run)
    run.refresh_from_db()
    assert (run.state, states(run), child.starter_name) == ("waiting", {"sub": "executing"}, run.starter_name)
    stage.drive(child)
    assert child.state == "succeeded"
    run.refresh_from_db()
    assert run.state == "succeeded"
    assert StepRun.objects.get(run=run, node="after").outputs == {"heard": "db-7", "well": True}
    assert AuditEntry.objects.filter(action="run.started", object_id=str(child.pk)).count() == 1


def test_the_version_is_that_of_the_parents_start(stage: Stage, inner: Runbook) -> None:
    outer = stage.publish("- {id: pause, uses: noop}\n" + OUTER, slug="outer")
    run = stage.start(outer)
    versions.save_draft(
        inner,
        document(INNER + "\n- {id: more, uses: noop}", "inner", INNER_REST),
        actor=stage.actor,
        expected_revision=versions.revision_of(inner),
    )
    versions.publish(inner, actor=stage.actor, message="second")
    stage.drive(run)
    assert child_of(run).version.number == 1
    later = stage.start(outer)
    stage.drive(later)
    assert child_of(later).version.number == 2


def test_the_childs_failure_is_the_steps_error(stage: Stage, inner: Runbook, calls: type[Scripted]) -> None:
    calls.script = {"act": [Failure("broken", "It broke.")]}
    run = stage.start(stage.publish(OUTER, slug="outer"))
    child = child_of(run)
    stage.drive(child)
    run.refresh_from_db()
    assert run.state == "failed"
    assert StepRun.objects.get(run=run, node="sub").error == {
        "code": "broken", "message": "It broke.", "retryable": False, "run": str(child.pk),
    }  # fmt: skip


def test_stopping_the_parent_stops_the_child_whose_last_steps_still_run(stage: Stage, inner: Runbook) -> None:
    run = stage.start(stage.publish(OUTER, slug="outer"))
    child = child_of(run)
    runs.stop(run.pk, actor=stage.actor, reason="enough")
    run.refresh_from_db()
    child.refresh_from_db()
    assert (run.state, child.state) == ("cancelling", "cancelling")
    stage.drive(child)
    run.refresh_from_db()
    assert (states(child)["tidy"], child.state, run.state) == ("succeeded", "cancelled", "cancelled")
    assert states(run) == {"sub": "cancelled"}


@pytest.fixture
def deaf() -> Iterator[None]:
    """Nobody acts after a commit: as if the process died there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(children, "_wake", lambda step_id: None)
        yield


@pytest.mark.usefixtures("deaf")
def test_a_parent_that_was_not_told_is_found_by_the_sweeper(stage: Stage, inner: Runbook) -> None:
    run = stage.start(stage.publish(OUTER, slug="outer"))
    stage.drive(child_of(run))
    run.refresh_from_db()
    assert run.state == "waiting"
    assert recover.fire_due() == 1
    run.refresh_from_db()
    assert run.state == "succeeded"


def test_a_child_that_was_not_told_to_stop_is_found_by_the_sweeper(
    stage: Stage, inner: Runbook, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = stage.start(stage.publish(OUTER, slug="outer"))
    with monkeypatch.context() as patch:
        patch.setattr(children, "_stop", lambda run_id, reason: False)
        runs.stop(run.pk, actor=stage.actor, reason="enough")
    child = child_of(run)
    assert not child.cancel_requested
    assert children.stop_unwanted() == 1
    child.refresh_from_db()
    assert (child.state, children.stop_unwanted()) == ("cancelling", 0)


def test_a_child_that_needs_no_worker_is_over_at_once(stage: Stage) -> None:
    stage.publish(
        "- {id: v, kind: set, values: {n: 1}}", slug="inner", rest='outputs: {n: "${{ steps.v.outputs.n }}"}'
    )
    after = "{id: after, kind: set, values: {n: '${{ steps.sub.outputs.n }}'}}"
    steps = f"- {{id: sub, kind: runbook, runbook: inner}}\n- {after}"
    run = stage.start(stage.publish(steps, slug="outer"))
    run.refresh_from_db()
    assert run.state == "succeeded"
    assert StepRun.objects.get(run=run, node="after").outputs == {"n": 1}


def test_a_loop_runs_a_runbook_for_each_item(stage: Stage, inner: Runbook) -> None:
    steps = """
- id: each
  kind: for_each
  items: '["p", "q"]'
  concurrency: 2
  steps: [{id: sub, kind: runbook, runbook: inner, inputs: {host: "${{ item }}"}}]
"""
    run = stage.start(stage.publish(steps, slug="outer"))
    for child in Run.objects.filter(parent_step__run=run).order_by("pk"):
        stage.drive(child)
    run.refresh_from_db()
    assert run.state == "succeeded"
    assert [
        row.outputs["said"] for row in StepRun.objects.filter(run=run, node="sub").order_by("iteration")
    ] == ["p", "q"]


def test_runbooks_that_start_each_other_are_refused_when_published(stage: Stage) -> None:
    second = stage.publish("- {id: act, uses: noop}", slug="second")
    stage.publish("- {id: sub, kind: runbook, runbook: second}", slug="first")
    versions.save_draft(
        second,
        document("- {id: sub, kind: runbook, runbook: first}", "second"),
        actor=stage.actor,
        expected_revision=versions.revision_of(second),
    )
    with pytest.raises(Conflict, match=r"second -> first -> second\. Take one step out"):
        versions.publish(second, actor=stage.actor, message="circle")


@pytest.mark.parametrize(
    ("inputs", "slug", "message"),
    [
        ("{}", "inner", "Step sub: inner needs the input host."),
        ("{host: a, hots: b}", "inner", "Step sub: inner has no input hots."),
        ("{host: null}", "inner", "Step sub: inner needs the input host."),
        (
            "{host: 7}",
            "inner",
            "Step sub: inner would refuse its input host: This must be text, not a number.",
        ),
        ("{host: a}", "other", "Step sub: this project has no runbook 'other'."),
    ],
)
def test_what_could_not_start_is_refused_when_published(
    stage: Stage, inner: Runbook, inputs: str, slug: str, message: str
) -> None:
    with pytest.raises(Invalid) as refused:
        stage.publish(f"- {{id: sub, kind: runbook, runbook: {slug}, inputs: {inputs}}}", slug="outer")
    assert refused.value.message == message


def test_what_the_other_runbook_fills_in_by_itself_need_not_be_given(stage: Stage) -> None:
    stage.publish(
        "- {id: act, kind: set, values: {n: '${{ inputs.n }}'}}",
        slug="counting",
        rest="inputs: {n: {type: integer, required: true, default: 3}}\noutputs: {n: '${{ steps.act.outputs.n }}'}",
    )
    run = stage.start(stage.publish("- {id: sub, kind: runbook, runbook: counting}", slug="outer"))
    run.refresh_from_db()
    given = StepRun.objects.get(run=run, node="sub").outputs
    assert isinstance(given, dict)
    assert (run.state, given["n"]) == ("succeeded", 3)


def test_no_more_than_so_many_levels(stage: Stage) -> None:
    stage.publish("- {id: act, uses: noop}", slug="level-0")
    for n in range(1, 6):
        stage.publish(f"- {{id: sub, kind: runbook, runbook: level-{n - 1}}}", slug=f"level-{n}")
    with pytest.raises(Conflict, match="Runs may be 5 levels deep"):
        stage.publish("- {id: sub, kind: runbook, runbook: level-5}", slug="level-6")


def test_runbooks_that_are_started_often_are_followed_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Following every way to them takes for ever: six steps on each of four levels are 1,554 ways."""
    stage.publish("- {id: act, uses: noop}", slug="level-0")
    for n in range(1, 5):
        steps = [f"- {{id: s{m}, kind: runbook, runbook: level-{n - 1}}}" for m in range(6)]
        stage.publish("\n".join(steps), slug=f"level-{n}")
    looked_at: list[str] = []
    monkeypatch.setattr(pins, "_refuse_unfit", lambda step, _: looked_at.append(step.runbook))
    top = Runbook.objects.get(slug="level-4")
    assert top.live is not None
    found = pins.pins_of(stage.project, versions.definition_of(top.live), versions.definition_of)
    assert set(found) == {f"level-{n}" for n in range(4)}
    assert len(looked_at) == 24


def test_a_starter_who_may_no_longer_start_runs_makes_the_step_fail(stage: Stage, inner: Runbook) -> None:
    run = stage.start(stage.publish("- {id: pause, uses: noop}\n" + OUTER, slug="outer"))
    assert run.starter is not None
    remove_role(stage.project, run.starter, "admin", actor=factories.CONSOLE)
    stage.drive(run)
    assert run.state == "failed"
    assert (StepRun.objects.get(run=run, node="sub").error or {})["code"] == "permission_denied"
    assert not Run.objects.filter(parent_step__run=run).exists()


def test_what_is_limited_takes_its_turn_after_a_run_has_told_their_incident(
    stage: Stage, inner: Runbook
) -> None:
    """Others tell the incident while they hold the limit: whoever did it the other way round would wait for ever."""
    sub = "    - {id: sub, kind: runbook, runbook: inner, inputs: {host: db-7}}"
    call = "    - {id: call, uses: test.call, rate: 5/m}"
    steps = f"- {{id: first, uses: noop}}\n- id: both\n  kind: parallel\n  steps:\n{sub}\n{call}"
    outer = stage.publish(steps, slug="outer")
    incident = factories.incident(stage.project)
    run = runs.start(outer, inputs={}, actor=stage.actor, incident=incident).run
    stage.drive(run)
    told, called = (
        RunEvent.objects.get(run=run, type=kind, data__key=key).at
        for kind, key in (("subrun.started", "sub"), ("step.started", "call"))
    )
    assert called > told, "not in the transaction that has locked the incident"
    assert states(run)["call"] == "succeeded"
    stage.drive(child_of(run))
    run.refresh_from_db()
    assert run.state == "succeeded"
