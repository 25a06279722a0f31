"""Nobody answers an approval: more people are asked, by timers in rows, and nothing is ever approved by it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import LazySettings

from handrail.audit.models import AuditEntry
from handrail.incidents.models import TimelineEvent
from handrail.outbox.models import OutboxMessage
from handrail.shared.clock import database_now
from runbooks import approvals, escalating, runs
from runbooks.models import Approval, Escalation
from tests import factories
from tests.runbooks.execution.stage import Stage

pytestmark = pytest.mark.django_db(transaction=True)

ASKING = """
- id: ask
  kind: approval
  prompt: Fail the database over?
  timeout: 15m
  approvers: {teams: [dba]}
  channels: [{slack: "#dba"}]
  escalate:
    - {after: 5m, to: {slack: "#leads", team: leads}}
    - {after: 8m, to: {slack: "@olga", pagerduty: oncall}}
"""


@pytest.fixture
def stage(project: object, settings: LazySettings) -> Stage:
    settings.SLACK_BOT_TOKEN, settings.SLACK_CHANNEL = "xoxb-test", "#incidents"
    return Stage(project, factories.actor(factories.person(roles={project: "admin"})))  # type: ignore[arg-type]


def asked(stage: Stage) -> Approval:
    incident = factories.incident(stage.project, title="It burns")
    run = runs.start(stage.publish(ASKING), inputs={}, actor=stage.actor, incident=incident).run
    return Approval.objects.get(run=run)


def due(n: int) -> int:
    """Let the ``n``-th escalation be due, and sweep."""
    Escalation.objects.filter(n=n).update(due_at=database_now() - timedelta(seconds=1))
    return escalating.escalate_due()


def posts() -> list[tuple[str, str]]:
    rows = OutboxMessage.objects.filter(channel="slack", kind="post").order_by("created_at")
    return [(row.destination, f"{row.payload['text']} {row.payload['url']}") for row in rows]


def cards() -> set[str]:
    return set(OutboxMessage.objects.filter(kind="approval").values_list("destination", flat=True))


def test_nothing_happens_before_its_time(stage: Stage) -> None:
    approval = asked(stage)
    assert [row.due_at - approval.created_at for row in approval.escalations.all()] == [
        timedelta(minutes=5),
        timedelta(minutes=8),
    ]
    assert escalating.escalate_due() == 0
    assert cards() == {"#dba"}


def test_one_more_channel_and_team_are_asked_and_told_what_comes_if_nobody_answers(stage: Stage) -> None:
    approval = asked(stage)
    lead = factories.person("lea", roles={stage.project: "approver"})
    factories.team(stage.project, slug="leads").members.add(lead)
    assert not approvals.may_decide(approval, factories.actor(lead)).allowed
    assert due(0) == 1
    approval.refresh_from_db()
    assert approval.state == "pending"
    assert cards() == {"#dba", "#leads"}
    ((channel, text),) = posts()
    assert channel == "#leads"
    assert "Fail the database over?" in text
    assert f"If nobody answers by {approval.expires_at:%H:%M} UTC, it is rejected" in text
    assert f"/approvals/{approval.pk}/" in text
    assert approvals.may_decide(approval, factories.actor(lead)).allowed
    assert TimelineEvent.objects.filter(kind="approval.escalated", text__contains="slack #leads").exists()
    assert AuditEntry.objects.filter(action="approval.escalated").count() == 1
    assert escalating.escalate_due() == 0


def test_a_team_is_asked_also_where_a_person_of_its_name_is_asked(stage: Stage) -> None:
    run = stage.start(stage.publish(ASKING.replace("{teams: [dba]}", "{users: [leads]}")))
    lead = factories.person("lea", roles={stage.project: "approver"})
    factories.team(stage.project, slug="leads").members.add(lead)
    assert due(0) == 1
    assert approvals.may_decide(Approval.objects.get(run=run), factories.actor(lead)).allowed


def test_a_person_is_asked_directly_and_pagerduty_pages_until_it_is_decided(stage: Stage) -> None:
    approval = asked(stage)
    factories.linked(factories.person("olga"), "U42")
    assert due(1) == 1
    assert cards() == {"#dba", "U42"}
    page = OutboxMessage.objects.get(channel="pagerduty")
    assert (page.payload["connection"], page.payload["key"]) == ("oncall", f"handrail:approval:{approval.pk}")
    assert "Fail the database over?" in page.payload["summary"]
    dba = factories.person(roles={stage.project: "approver"})
    factories.team(stage.project, slug="dba").members.add(dba)
    approvals.decide(approval.pk, actor=factories.actor(dba), decision="deny", reason="Not now.")
    page.refresh_from_db()
    assert page.payload["summary"] == ""


def test_a_stale_timer_does_nothing(stage: Stage) -> None:
    approval = asked(stage)
    runs.stop(approval.run_id, actor=stage.actor, reason="enough")
    assert due(0) == 0
    assert Escalation.objects.get(n=0).done_at is not None
    assert posts() == []
    assert not AuditEntry.objects.filter(action="approval.escalated").exists()


def test_one_whose_time_is_over_is_not_escalated(stage: Stage) -> None:
    asked(stage)
    Approval.objects.update(expires_at=database_now() - timedelta(seconds=1))
    assert due(0) == 0


def test_somebody_without_a_linked_account_is_not_asked_and_the_rest_is(stage: Stage) -> None:
    asked(stage)
    assert due(1) == 1
    assert cards() == {"#dba"}
    assert OutboxMessage.objects.filter(channel="pagerduty").exists()
