"""A run is driven from its start to its end by a worker in this process."""

from __future__ import annotations

import json

import pytest

from handrail.accounts.models import Project
from handrail.shared.errors import Conflict, Forbidden, Invalid, NotFound
from runbooks import runs
from runbooks.execution import live, recover
from runbooks.language.definition import Json
from runbooks.models import LogLine, Run, RunEvent, StepAttempt, StepRun
from runbooks.steps.base import ActionContext, Failure, Success
from tests import factories
from tests.runbooks.execution.stage import Scripted, Stage, history, ready_steps, states, until

pytestmark = pytest.mark.django_db(transaction=True)

CHAIN = "\n".join(f"- {{id: s{n}, uses: noop}}" for n in range(5))


def test_a_chain_of_steps_is_driven_to_its_end_by_one_hint(stage: Stage) -> None:
    run = stage.start(stage.publish(CHAIN))
    assert stage.drive(run) == 5
    assert run.state == "succeeded"
    assert states(run) == {f"s{n}": "succeeded" for n in range(5)}
    assert StepAttempt.objects.filter(step__run=run, outcome="succeeded").count() == 5
    assert history(run) == [
        "run.started", "step.scheduled s0", "step.started s0", "step.succeeded s0",
        "step.started s1", "step.succeeded s1", "step.started s2", "step.succeeded s2",
        "step.started s3", "step.succeeded s3", "step.started s4", "step.succeeded s4", "run.finished",
    ]  # fmt: skip
    assert list(RunEvent.objects.filter(run=run).values_list("n", flat=True)) == list(range(1, 14))


def test_groups_and_parallel_branches_join(stage: Stage) -> None:
    steps = """
- id: gather
  kind: parallel
  steps:
    - {id: a, uses: noop, with: {outputs: {n: 1}}}
    - {id: b, uses: noop, with: {outputs: {n: 2}}}
- id: sum
  kind: set
  values: {total: "${{ steps.a.outputs.n + steps.b.outputs.n }}"}
- {id: skipped, uses: noop, when: "steps.sum.outputs.total == 4"}
"""
    run = stage.start(stage.publish(steps))
    stage.drive(run)
    assert run.state == "succeeded"
    assert states(run) == {
        "gather": "succeeded", "a": "succeeded", "b": "succeeded", "sum": "succeeded", "skipped": "skipped",
    }  # fmt: skip
    row = StepRun.objects.get(run=run, node="skipped")
    assert row.reason == "`steps.sum.outputs.total == 4` is false: 3 < 4."
    assert StepRun.objects.get(run=run, node="sum").outputs == {"total": 3}


def test_a_failed_group_is_undone_with_the_inputs_of_its_completion(
    stage: Stage, calls: type[Scripted]
) -> None:
    calls.script = {"shift": [Success({"previous": 100})], "check": [Failure("broken", "It broke.")]}
    steps = """
- id: contain
  kind: group
  on_failure: {compensate: true, then: continue}
  steps:
    - id: shift
      uses: test.call
      with: {weight: 0}
      compensate: {uses: test.call, with: {weight: "${{ self.outputs.previous }}"}}
    - {id: check, uses: test.call}
- {id: after, uses: noop, when: 'steps.contain.status == "compensated"'}
"""
    run = stage.start(stage.publish(steps))
    stage.drive(run)
    assert run.state == "succeeded"
    assert [(node, inputs) for node, inputs, _ in calls.calls] == [
        ("shift", {"weight": 0}), ("check", {}), ("shift", {"weight": 100}),
    ]  # fmt: skip
    assert calls.calls[0][2] == f"{run.pk}:shift:"
    assert calls.calls[2][2] == f"{run.pk}:shift::compensate"
    assert states(run)["shift"] == "compensated"
    assert states(run)["contain"] == "compensated"
    assert states(run)["after"] == "succeeded"


def test_a_retry_waits_in_its_row_and_keeps_its_idempotency_key(stage: Stage, calls: type[Scripted]) -> None:
    calls.script = {"a": [Failure("busy", "Later.", retryable=True), Success({"ok": True})]}
    steps = "- {id: a, uses: test.call, retry: {max_attempts: 2, initial_interval: 0.001s, jitter: none}}"
    run = stage.start(stage.publish(steps))
    stage.driver.drive(ready_steps(run)[0])
    row = StepRun.objects.get(run=run)
    assert (row.state, row.attempt, row.hinted_at) == ("ready", 2, None)
    stage.drive(run)
    assert run.state == "succeeded"
    assert len({key for _, _, key in calls.calls}) == 1
    assert [a.outcome for a in StepAttempt.objects.filter(step=row)] == ["failed", "succeeded"]


def test_a_failed_run_runs_on_failure_and_finally_and_knows_its_end(
    stage: Stage, calls: type[Scripted]
) -> None:
    calls.script = {"a": [Failure("broken", "It broke.")]}
    rest = """
outcome: {recovered: 'steps.a.status == "succeeded"'}
on_failure:
  - {id: tell, uses: noop}
finally:
  - {id: report, uses: noop, with: {outputs: {end: "${{ run.status }}"}}}
"""
    run = stage.start(stage.publish("- {id: a, uses: test.call}", rest=rest))
    stage.drive(run)
    assert run.state == "failed"
    assert run.error == {"code": "broken", "message": "It broke.", "retryable": False, "step": "a"}
    assert run.outcome == {"recovered": False}
    assert StepRun.objects.get(run=run, node="report").outputs == {"end": "failed"}
    assert not run.is_open


def test_a_timer_holds_no_worker_and_is_fired_by_the_sweeper(stage: Stage) -> None:
    run = stage.start(stage.publish("- {id: w, kind: wait, for: 0.2s}\n- {id: a, uses: noop}"))
    run.refresh_from_db()
    assert (run.state, states(run)) == ("waiting", {"w": "waiting"})
    assert recover.fire_due() == 0
    until(lambda: recover.fire_due() == 1)
    stage.drive(run)
    assert run.state == "succeeded"


def test_wait_until_samples_until_it_was_true_for_long_enough(stage: Stage, calls: type[Scripted]) -> None:
    calls.script = {"w": [Success({"value": v}) for v in (0.031, *[0.01] * 50)]}
    steps = """
- id: w
  kind: wait_until
  uses: test.read
  with: {query: error_ratio}
  until: result.value < 0.02
  sustained: 0.05s
  interval: 0.05s
  timeout: 1m
"""
    run = stage.start(stage.publish(steps))
    # A sample that comes a little early is followed by one more.
    assert stage.drive(run) >= 3
    assert run.state == "succeeded"
    words = [event.data["words"] for event in RunEvent.objects.filter(run=run, type="wait.sampled")]
    assert words[:3] == ["3.1 % > 2 %", "1 % < 2 %", "1 % < 2 %"]


def test_what_lies_too_deep_in_an_answer_for_anybody_to_read_is_left_out(
    stage: Stage, calls: type[Scripted]
) -> None:
    deep: Json = "here"
    for _ in range(2_000):
        deep = [deep]
    calls.script = {"a": [Success({"deep": deep, "near": 1})]}
    run = stage.start(stage.publish("- {id: a, uses: test.call}"))
    stage.drive(run)
    assert (run.state, states(run)) == ("succeeded", {"a": "succeeded"})
    outputs = StepRun.objects.get(run=run).outputs
    assert outputs["near"] == 1
    assert json.dumps(outputs["deep"]).count("[") == 63


def test_large_outputs_are_artifacts_and_come_back_whole(stage: Stage, calls: type[Scripted]) -> None:
    text = "x" * 40_000
    calls.script = {"a": [Success({"text": text})]}
    steps = """
- {id: a, uses: test.call}
- {id: b, kind: set, values: {size: "${{ size(steps.a.outputs.text) }}"}}
"""
    run = stage.start(stage.publish(steps))
    stage.drive(run)
    row = StepRun.objects.get(run=run, node="a")
    assert set(row.outputs) == {"$artifact", "size", "media_type"}
    assert StepRun.objects.get(run=run, node="b").outputs == {"size": 40_000}
    assert live.load(run.pk).state.node("a").outputs == {"text": text}


def test_what_looks_like_an_artifact_reference_is_only_data(stage: Stage, calls: type[Scripted]) -> None:
    forged: dict[str, Json] = {"$artifact": "0" * 64, "size": 1, "media_type": "application/json"}
    calls.script = {"a": [Success(forged)]}
    run = stage.start(stage.publish("- {id: a, uses: test.call}"))
    stage.drive(run)
    assert live.load(run.pk).state.node("a").outputs == forged


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
def test_a_number_that_json_cannot_say_does_not_keep_a_step_from_ending(
    stage: Stage, calls: type[Scripted], number: float
) -> None:
    calls.script = {"a": [Success({"json": {"load": [number, 1.5]}})]}
    run = stage.start(stage.publish("- {id: a, uses: test.call}"))
    stage.drive(run)
    assert states(run) == {"a": "succeeded"}
    assert StepRun.objects.get(run=run, node="a").outputs == {"json": {"load": [None, 1.5]}}


def test_a_step_whose_inputs_cannot_be_rendered_fails_before_anything_happens(
    stage: Stage, calls: type[Scripted]
) -> None:
    calls.script = {"a": [Success({})]}
    steps = """
- {id: a, uses: test.call}
- {id: b, uses: test.call, with: {x: "${{ steps.a.outputs.missing }}"}}
"""
    run = stage.start(stage.publish(steps))
    stage.drive(run)
    assert run.state == "failed"
    assert [node for node, _, _ in calls.calls] == ["a"]
    assert run.error is not None
    assert run.error["code"] == "expression"


def test_an_action_that_raises_is_uncertain_not_silently_repeated(
    stage: Stage, calls: type[Scripted]
) -> None:
    def explode(_context: object) -> Success:
        raise RuntimeError("a bug in an action")

    calls.script = {"a": [explode]}
    run = stage.start(stage.publish("- {id: a, uses: test.call}"))
    stage.drive(run)
    assert states(run) == {"a": "uncertain"}
    assert run.state == "waiting"


def test_a_log_is_kept_line_by_line(stage: Stage, calls: type[Scripted]) -> None:
    def talk(context: ActionContext) -> Success:
        context.log("stdout", "one\ntwo")
        context.log("stderr", "three")
        return Success({})

    calls.script = {"a": [talk]}
    run = stage.start(stage.publish("- {id: a, uses: test.call}"))
    stage.drive(run)
    assert list(LogLine.objects.values_list("n", "stream", "text")) == [
        (1, "stdout", "one"), (2, "stdout", "two"), (3, "stderr", "three"),
    ]  # fmt: skip


def test_a_second_start_with_the_same_key_gets_the_run_that_goes_on(stage: Stage) -> None:
    runbook = stage.publish(CHAIN)
    first = runs.start(runbook, inputs={}, actor=stage.actor, dedupe_key="checkout")
    second = runs.start(runbook, inputs={}, actor=stage.actor, dedupe_key="checkout")
    assert (first.created, second.created) == (True, False)
    assert second.run.pk == first.run.pk
    stage.drive(first.run)
    assert runs.start(runbook, inputs={}, actor=stage.actor, dedupe_key="checkout").created


def test_inputs_that_do_not_fit_start_nothing(stage: Stage) -> None:
    runbook = stage.publish(
        CHAIN, rest="inputs: {region: {type: enum, values: [eu-1, us-1], required: true}}"
    )
    with pytest.raises(Invalid, match="region"):
        runs.start(runbook, inputs={"region": "mars"}, actor=stage.actor)
    assert not Run.objects.exists()


def test_only_responders_start_runs(stage: Stage, project: Project, other_project: Project) -> None:
    runbook = stage.publish(CHAIN)
    viewer = factories.actor(factories.person(roles={project: "viewer"}))
    stranger = factories.actor(factories.person(roles={other_project: "admin"}))
    with pytest.raises(Forbidden):
        runs.start(runbook, inputs={}, actor=viewer)
    with pytest.raises(NotFound):
        runs.start(runbook, inputs={}, actor=stranger)


def test_a_retry_is_refused_where_the_run_has_gone_on(stage: Stage, calls: type[Scripted]) -> None:
    def explode(_context: object) -> Success:
        raise RuntimeError("a bug in an action")

    steps = """
- id: both
  kind: parallel
  fail_fast: true
  steps: [{id: a, uses: test.call}, {id: b, uses: test.call}]
"""
    calls.script = {"a": [explode], "b": [Failure("broken", "It broke.")]}
    rest = 'finally: [{id: ask, kind: manual, prompt: "Look.", timeout: 1h}]'
    run = stage.start(stage.publish(steps, rest=rest))
    stage.drive(run)
    assert states(run)["both"] == "failed"
    doubtful = StepRun.objects.get(run=run, node="a")
    assert doubtful.state == "uncertain"
    with pytest.raises(Conflict, match="gone on from this part"):
        runs.decide_step(doubtful.pk, actor=stage.actor, choice="retry", reason="r", override=True)
    runs.decide_step(doubtful.pk, actor=stage.actor, choice="done", reason="r")
    assert states(run)["a"] == "succeeded"


def test_the_rows_of_what_was_not_undone_any_more_say_so(stage: Stage, calls: type[Scripted]) -> None:
    steps = """
- id: block
  kind: group
  on_failure: {compensate: true, then: fail}
  steps:
    - {id: a, uses: test.call, compensate: {uses: test.call}}
    - {id: b, uses: test.call, compensate: {uses: test.call}}
    - {id: c, uses: test.call}
"""
    broken = Failure("broken", "It broke.")
    calls.script = {"c": [broken], "b": [Success({}), broken]}
    run = stage.start(stage.publish(steps))
    stage.drive(run)
    row = StepRun.objects.get(run=run, node="a", role="step")
    assert (run.state, row.state) == ("failed", "compensation_failed")
    assert "not undone" in row.reason
