"""``runbook.start``: another runbook's run, once, as the same person, and nobody waits for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import override_settings

from handrail.accounts.actions import remove_role
from handrail.accounts.models import Project
from handrail.audit.models import AuditEntry
from runbooks import runs
from runbooks.execution import recover
from runbooks.execution.effect import perform
from runbooks.models import RefusedStart, Run, Runbook, StepRun
from runbooks.priorities import CONTAINMENT
from runbooks.start_action import RunbookStart
from runbooks.steps.base import InvalidInputs
from tests import factories
from tests.runbooks.execution.stage import HEARTS, Stage, claim_step, ready_steps

pytestmark = pytest.mark.django_db(transaction=True)

OTHER = "- {id: pause, kind: wait, for: 1h}"
CALLS = "- {id: go, uses: runbook.start, with: {runbook: other, inputs: {host: '${{ inputs.host }}'}}}"
HOST = "inputs: {host: {type: string, default: db-7}}"


@pytest.fixture
def stage(project: Project) -> Iterator[Stage]:
    user = factories.person(roles={project: "admin"})
    yield Stage(project, factories.actor(user))
    while HEARTS:
        HEARTS.pop().stop()


def others(stage: Stage, rest: str = HOST) -> Runbook:
    return stage.publish(OTHER, slug="other", rest=rest)


def step_of(run: Run) -> StepRun:
    return StepRun.objects.get(run=run, node="go")


def error_code(run: Run) -> object:
    return (step_of(run).error or {}).get("code")


def test_it_starts_a_run_as_the_starter_and_goes_on(stage: Stage) -> None:
    other = others(stage)
    incident = factories.incident(stage.project)
    calling = stage.publish(CALLS, slug="calling", rest=HOST)
    run = runs.start(
        calling, inputs={"host": "db-9"}, actor=stage.actor, incident=incident, priority=CONTAINMENT
    ).run
    stage.drive(run)
    assert run.state == "succeeded"
    made = Run.objects.get(runbook=other)
    assert (made.inputs, made.incident, made.priority, made.starter_id, made.starter_channel) == (
        {"host": "db-9"}, incident, CONTAINMENT, stage.actor.user_id, "automation",
    )  # fmt: skip
    outputs = step_of(run).outputs
    assert (outputs["run"], outputs["created"], outputs["state"]) == (str(made.pk), True, "waiting")
    assert AuditEntry.objects.get(action="run.started", object_id=str(made.pk)).on_behalf_of.startswith(
        "run "
    )
    assert step_of(run).idempotent


def test_a_repeated_attempt_finds_the_run_even_when_it_is_over(stage: Stage) -> None:
    other = others(stage)
    run = stage.start(stage.publish(CALLS, slug="calling", rest=HOST))
    work = claim_step(ready_steps(run)[0], stage.driver.me)
    assert work is not None
    perform(work, HEARTS[-1])
    runs.stop(Run.objects.get(runbook=other).pk, actor=stage.actor, reason="enough")
    StepRun.objects.filter(pk=work.step_id).update(lease_until=run.created_at)
    assert recover.recover_expired() == 1, "its worker died before it could tell"
    stage.drive(run)
    assert run.state == "succeeded"
    assert Run.objects.filter(runbook=other).count() == 1
    assert step_of(run).outputs["reason"] == "An earlier attempt of this step started it."


def test_what_cannot_be_started_fails_the_step_in_words(stage: Stage) -> None:
    run = stage.start(stage.publish(CALLS, slug="calling", rest=HOST))
    stage.drive(run)
    assert error_code(run) == "not_found"
    others(stage, rest="inputs: {port: {type: integer, required: true}}")
    run = stage.start(Runbook.objects.get(slug="calling"))
    stage.drive(run)
    assert error_code(run) == "invalid_input"


def test_a_starter_who_lost_the_role_starts_nothing(stage: Stage) -> None:
    others(stage)
    responder = factories.person(roles={stage.project: "responder"})
    calling = stage.publish(CALLS, slug="calling", rest=HOST)
    run = runs.start(calling, inputs={}, actor=factories.actor(responder)).run
    remove_role(stage.project, responder, "responder", actor=stage.actor)
    stage.drive(run)
    assert error_code(run) == "permission_denied"


def test_the_limits_of_the_other_runbook_count(stage: Stage) -> None:
    others(stage, rest=f"{HOST}\nconcurrency: {{key: all, on_conflict: skip}}")
    stage.start(Runbook.objects.get(slug="other"))
    run = stage.start(stage.publish(CALLS, slug="calling", rest=HOST))
    stage.drive(run)
    assert error_code(run) == "concurrency"


@override_settings(LOOP_GUARD_RUNS=2)
def test_runbooks_that_start_each_other_are_stopped_by_the_guard(stage: Stage) -> None:
    stage.publish("- {id: go, uses: runbook.start, with: {runbook: self}}", slug="self")
    stage.drive(stage.start(Runbook.objects.get(slug="self")))
    while going := list(Run.objects.filter(is_open=True)):
        for run in going:
            stage.drive(run)
    assert Run.objects.count() == 3, "one by a person, two by itself"
    assert RefusedStart.objects.get().code == "loop_guard"


def test_inputs_that_are_none_are_refused() -> None:
    action = RunbookStart()
    for wrong in (
        {},
        {"runbook": " "},
        {"runbook": "x" * 64},
        {"runbook": "a", "inputs": 3},
        {"runbook": "a", "b": 1},
    ):
        with pytest.raises(InvalidInputs):
            action.read(wrong)
