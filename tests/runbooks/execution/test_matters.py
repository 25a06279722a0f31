"""What becomes a human's matter is told: in the outbox for Slack and PagerDuty, on the timeline, on Now."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.test import Client

from handrail.incidents.models import TimelineEvent
from handrail.letters.models import DeadLetter
from handrail.outbox.models import OutboxMessage
from runbooks import dead_letters, runs
from runbooks.models import Run, StepRun
from runbooks.steps.base import Failure, Success
from tests import factories
from tests.runbooks.execution.stage import Scripted, Stage, claim_step, complete, states

pytestmark = pytest.mark.django_db(transaction=True)

UNDONE = """
- id: g
  kind: group
  on_failure: {compensate: true}
  steps:
    - {id: a, title: Shift, uses: test.call, compensate: {uses: test.call}}
    - {id: b, uses: test.call}
"""


@pytest.fixture(autouse=True)
def _told(settings: LazySettings, stage: Stage) -> None:
    settings.SLACK_BOT_TOKEN, settings.SLACK_CHANNEL = "xoxb-test", "#incidents"
    factories.connection(stage.project, "oncall", kind="pagerduty_events", options={"notices": True})
    factories.connection(stage.project, "other", kind="pagerduty_events")


def told(channel: str) -> list[OutboxMessage]:
    rows = OutboxMessage.objects.filter(channel=channel, kind__in=["post", "event"])
    return list(rows.order_by("created_at"))


def with_incident(stage: Stage, steps: str) -> Run:
    incident = factories.incident(stage.project, title="It burns")
    return runs.start(stage.publish(steps), inputs={}, actor=stage.actor, incident=incident).run


def test_a_failed_undoing_pages(stage: Stage, calls: type[Scripted], client: Client) -> None:
    broken = Failure("broken", "The weight stayed.")
    calls.script = {"a": [Success({}), broken], "b": [broken]}
    run = with_incident(stage, UNDONE)
    stage.drive(run)
    assert states(run)["a"] == "compensation_failed"
    page = told("pagerduty")
    assert [message.payload["connection"] for message in page] == ["oncall"]
    assert page[0].project == stage.project
    assert (
        f"Undo: Shift of A runbook v1 ({run.incident}): it could not be undone. The weight stayed."
        in page[0].payload["summary"]
    )
    post = told("slack")[0]
    assert post.destination == "#incidents"
    assert "could not be undone" in post.payload["text"]
    assert f"/runs/{run.pk}/steps/" in post.payload["url"]
    assert TimelineEvent.objects.filter(incident=run.incident, kind="step.compensation_failed").exists()
    client.force_login(factories.person(roles={stage.project: "responder"}))
    text = client.get("/").content.decode()
    assert "1 thing needs you" in text  # it is a dead letter, too, which is not told a second time
    assert "Could not be undone: “Shift”" in text
    assert "given up, and waiting for somebody" not in text


def test_a_failed_undoing_needs_nobody_any_more_once_its_dead_letter_has_ended(
    stage: Stage, calls: type[Scripted], client: Client
) -> None:
    broken = Failure("broken", "The weight stayed.")
    calls.script = {"a": [Success({}), broken], "b": [broken]}
    run = with_incident(stage, UNDONE)
    stage.drive(run)
    letter = DeadLetter.objects.get(kind="step")
    dead_letters.discard(letter, actor=stage.actor, reason="Put right by hand.")
    client.force_login(factories.person(roles={stage.project: "responder"}))
    assert "Could not be undone" not in client.get("/").content.decode()
    # What is no need of its own any more is told among the letters again.
    DeadLetter.objects.filter(pk=letter.pk).update(state="open")
    Run.objects.filter(pk=run.pk).update(incident=None, ended_at=run.created_at - timedelta(days=2))
    text = client.get("/").content.decode()
    assert ("Could not be undone" in text, "1 dead letter: given up" in text) == (False, True)


def test_an_unknown_outcome_is_told_and_is_settled_by_the_decision(
    stage: Stage, calls: type[Scripted]
) -> None:
    calls.script = {"a": [Failure("timeout", "No answer.", retryable=True, uncertain=True)]}
    run = with_incident(stage, "- {id: a, title: Shift, uses: test.call}")
    stage.drive(run)
    (page,) = told("pagerduty")
    assert "nobody knows whether it happened. No answer." in page.payload["summary"]
    assert len(told("slack")) == 1
    step = StepRun.objects.get(run=run)
    runs.decide_step(step.pk, actor=stage.actor, choice="done", reason="I looked.")
    (resolved,) = told("pagerduty")
    assert (resolved.pk, resolved.payload["summary"]) == (page.pk, "")
    assert resolved.payload["key"] == page.payload["key"] == f"handrail:step:{step.pk}"
    assert len(told("slack")) == 1


def test_a_parked_step_is_told_and_can_be_decided(
    stage: Stage, calls: type[Scripted], client: Client
) -> None:
    poison = Failure("heartbeat_timeout", "Silent.", retryable=True, uncertain=True)
    from runbooks.execution.effect import Ended
    from runbooks.execution.worker import Me
    from tests.runbooks.execution.stage import ready_steps

    run = stage.start(stage.publish("- {id: a, title: Shift, uses: test.call, idempotent: true}"))
    me = Me.in_pools("default")
    for _ in range(3):
        work = claim_step(ready_steps(run)[0], me)
        assert work is not None
        complete(work, Ended(poison, silent=True), me)
    assert states(run) == {"a": "uncertain"}
    assert len(told("pagerduty")) == 1
    client.force_login(factories.person(roles={stage.project: "responder"}))
    text = client.get("/").content.decode()
    assert "Outcome unknown" in text
    assert "Decide" in text
    assert ("1 thing needs you" in text, "given up, and waiting for somebody" in text) == (True, False)
    page = client.get(f"/runs/{run.pk}/steps/{StepRun.objects.get(run=run).pk}/").content.decode()
    assert "decide/" in page


def test_a_question_that_the_probe_answers_is_nobodys_matter(stage: Stage, calls: type[Scripted]) -> None:
    calls.script = {"a": [Failure("timeout", "No answer.", uncertain=True), Success({"weight": 0})]}
    run = stage.start(
        stage.publish("- {id: a, uses: test.call, probe: {uses: test.read, done_when: result.weight == 0}}")
    )
    stage.drive(run)
    assert run.state == "succeeded"
    assert told("pagerduty") == told("slack") == []
