"""Manual steps: who may confirm them, with what, until when, and what later steps see of it."""

from __future__ import annotations

import pytest

from handrail.accounts.models import Project
from handrail.audit.models import AuditEntry
from handrail.shared.actors import Actor
from handrail.shared.clock import database_now
from handrail.shared.errors import Conflict, Forbidden, Invalid, NotFound
from runbooks import manual, queries, runs
from runbooks.execution import recover
from runbooks.models import Run, RunEvent, StepRun
from tests import factories
from tests.runbooks.execution.stage import Stage, states, until

pytestmark = pytest.mark.django_db(transaction=True)

STEPS = """
- id: cable
  kind: manual
  prompt: "Replug ${{ inputs.host }}."
  assignees: {teams: [datacentre], users: [grace]}
  inputs: {ticket: {type: string, pattern: "DC-[0-9]+", required: true}}
  timeout: 1h
  continue_on_error: true
- id: note
  uses: noop
  when: steps.cable.status == 'succeeded'
  with: {outputs: {ticket: "${{ steps.cable.outputs.ticket }}"}}
"""
DONE = {"ticket": "DC-7"}


@pytest.fixture
def stage(project: Project) -> Stage:
    return Stage(project, factories.actor(factories.person(roles={project: "admin"})))


@pytest.fixture
def run(stage: Stage) -> Run:
    return stage.start(stage.publish(STEPS, rest="inputs: {host: {type: string}}"), host="db-7")


@pytest.fixture
def row(run: Run) -> StepRun:
    return StepRun.objects.get(run=run, node="cable")


@pytest.fixture
def assignee(project: Project) -> Actor:
    person = factories.person(roles={project: "responder"})
    factories.team(project, person, slug="datacentre")
    return factories.actor(person)


def test_it_waits_for_a_person_and_says_what_for(run: Run, row: StepRun) -> None:
    run.refresh_from_db()
    assert (run.state, row.state, row.inputs) == (
        "waiting", "awaiting_human", {"prompt": "Replug db-7."},
    )  # fmt: skip
    assert row.due_at is not None
    assert queries.state_in_words(run) == "Waiting for a person: cable"


def test_whoever_it_is_assigned_to_confirms_and_later_steps_see_the_answers(
    stage: Stage, run: Run, row: StepRun, assignee: Actor
) -> None:
    answered = manual.answer(row.pk, actor=assignee, choice="done", reason="Port 3.", inputs=DONE)
    assert (answered.state, answered.outputs) == ("succeeded", DONE)
    assert answered.reason == f"{assignee.name}: Port 3."
    stage.drive(run)
    assert run.state == "succeeded"
    assert StepRun.objects.get(run=run, node="note").outputs == DONE
    event = RunEvent.objects.get(run=run, type="manual.answered")
    assert (event.data["by"], event.data["channel"]) == (assignee.name, assignee.channel.value)
    assert AuditEntry.objects.filter(action="step.answered", actor_name=assignee.name).count() == 1
    with pytest.raises(Conflict, match="This step is succeeded: there is nothing to confirm"):
        manual.answer(row.pk, actor=assignee, choice="done", inputs=DONE)


def test_what_cannot_be_done_needs_a_reason_and_has_failed(
    stage: Stage, run: Run, row: StepRun, assignee: Actor
) -> None:
    with pytest.raises(Invalid, match="Say why it cannot be done"):
        manual.answer(row.pk, actor=assignee, choice="cannot", reason=" ")
    manual.answer(row.pk, actor=assignee, choice="cannot", reason="The cage is locked.")
    assert states(run) == {"cable": "failed", "note": "skipped"}
    assert StepRun.objects.get(pk=row.pk).error == {
        "code": "not_done",
        "message": f"It could not be done. {assignee.name}: The cage is locked.",
        "retryable": False,
    }


def test_nobody_else_confirms(project: Project, stage: Stage, row: StepRun, assignee: Actor) -> None:
    with pytest.raises(Forbidden, match="This one is for datacentre, grace"):
        manual.answer(row.pk, actor=stage.actor, choice="done", inputs=DONE)
    with pytest.raises(Forbidden):
        manual.answer(row.pk, actor=Actor.system("sweeper"), choice="done", inputs=DONE)
    robot = factories.actor(factories.service_account(project, "responder"))
    with pytest.raises(Forbidden, match="Only people confirm"):
        manual.answer(row.pk, actor=robot, choice="done", inputs=DONE)
    stranger = factories.actor(factories.person())
    with pytest.raises((Forbidden, NotFound)):
        manual.answer(row.pk, actor=stranger, choice="done", inputs=DONE)
    with pytest.raises(Invalid, match="missing or do not fit") as refused:
        manual.answer(row.pk, actor=assignee, choice="done", inputs={"ticket": "7"})
    assert refused.value.details["problems"][0]["path"] == "ticket"
    row.refresh_from_db()
    assert row.state == "awaiting_human"


def test_after_its_time_it_has_timed_out(stage: Stage) -> None:
    steps = "- {id: cable, kind: manual, prompt: Replug., timeout: 10ms}"
    run = stage.start(stage.publish(steps, slug="short"))
    row = StepRun.objects.get(run=run, node="cable")
    until(lambda: row.due_at is not None and database_now() > row.due_at)
    with pytest.raises(Conflict, match="The time of this step was over"):
        manual.answer(row.pk, actor=stage.actor, choice="done")
    assert recover.fire_due() == 1
    row.refresh_from_db()
    assert (row.state, (row.error or {})["message"]) == ("timed_out", "Nobody confirmed it within 0.01 s.")


def test_a_stop_ends_the_waiting(stage: Stage, run: Run, row: StepRun) -> None:
    runs.stop(run.pk, actor=stage.actor, reason="enough")
    row.refresh_from_db()
    run.refresh_from_db()
    assert (row.state, run.state) == ("cancelled", "cancelled")
    assert recover.fire_due() == 0
