"""A message is a view of a row: posted once, rewritten in place, sent at Slack's pace."""

from __future__ import annotations

import pytest
from django.db import transaction
from pytest_django import Settings

from handrail.accounts.models import Project, User
from handrail.demo.slack.limits import Fault
from handrail.demo.slack.server import Server
from handrail.incidents.hooks import ChangeKind, IncidentChange
from handrail.outbox.models import OutboxMessage
from handrail.outbox.sending import deliver_due
from handrail.shared.actors import Actor, Channel
from handrail.shared.clock import database_now, now
from integrations.slack.models import SlackMessage
from integrations.slack.subscribers import (
    on_approval_changed,
    on_incident_changed,
    on_matter,
    on_run_changed,
)
from runbooks.approvals import decide
from runbooks.engine.events import Event, RunFinished, StepScheduled
from runbooks.engine.state import RunState
from runbooks.hooks import RunChange
from runbooks.matters import Matter
from runbooks.models import Approval, Run
from tests import factories
from tests.integrations.slack.conftest import deliver

pytestmark = pytest.mark.django_db


def announce(approval: Approval) -> None:
    with transaction.atomic():
        on_approval_changed(approval)
    deliver()


def told(run: Run, event: Event) -> RunChange:
    return RunChange(run, event.type, event, RunState())


def outbox() -> OutboxMessage:
    return OutboxMessage.objects.get()


def test_the_card_is_posted_to_the_installations_channel(fake: Server, approval: Approval) -> None:
    announce(approval)
    [message] = fake.slack.workspace.messages
    assert message.channel == "C0INCIDENTS"
    assert message.blocks[0]["text"]["text"] == "Approve: Fail over the checkout database?"
    assert "POST database: /failover  [irreversible]" in str(message.blocks)


def test_the_runbooks_channels_win(fake: Server, approval: Approval) -> None:
    approval.channels = [{"slack": "#inc-payments"}, {"slack": "#general"}, {"slack": "#inc-payments"}]
    approval.save()
    announce(approval)
    assert [message.channel for message in fake.slack.workspace.messages] == ["C0PAYMENTS", "C0GENERAL"]


@pytest.mark.django_db(transaction=True)
def test_a_decision_on_the_web_rewrites_the_card_and_takes_its_buttons(
    fake: Server, approval: Approval, lin: User
) -> None:
    announce(approval)
    decide(approval.pk, actor=factories.actor(lin), decision="approve", reason="no lag")
    deliver()
    [message] = fake.slack.workspace.messages
    assert message.edited == 1
    assert "actions" not in {block["type"] for block in message.blocks}
    assert "*Approved* by lin (web)" in str(message.blocks)


def test_an_unchanged_row_costs_no_call(fake: Server, approval: Approval) -> None:
    announce(approval)
    announce(approval)
    assert [name for name, _ in fake.slack.workspace.calls] == ["chat.postMessage"]


@pytest.mark.django_db(transaction=True)
def test_a_deleted_message_is_posted_anew(fake: Server, approval: Approval, lin: User) -> None:
    announce(approval)
    fake.slack.workspace.messages.clear()
    decide(approval.pk, actor=factories.actor(lin), decision="deny", reason="too risky")
    deliver()
    [message] = fake.slack.workspace.messages
    assert "*Denied* by lin" in str(message.blocks)
    assert SlackMessage.objects.get().ts == message.ts


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=429, retry_after=30),
        Fault(error="ratelimited"),
        Fault(error="rate_limited"),
    ],
)
def test_a_rate_limit_becomes_a_due_time(fake: Server, approval: Approval, fault: Fault) -> None:
    fake.slack.limits.faults["chat.postMessage"] = fault
    before = database_now()
    with transaction.atomic():
        on_approval_changed(approval)
    deliver_due()
    waiting = outbox()
    assert waiting.state == "pending"
    assert 29 < (waiting.due_at - before).total_seconds() < 40
    assert waiting.attempts == 0


@pytest.mark.parametrize(
    ("fault", "state", "reason"),
    [
        (Fault(error="channel_not_found"), "dead", "create it, or invite the app there"),
        (Fault(error="invalid_auth"), "pending", "set HANDRAIL_SLACK_BOT_TOKEN"),
        (Fault(status=503), "pending", "status 503"),
        (Fault(error="message_limit_exceeded"), "pending", "message_limit_exceeded"),
        (Fault(error="something_new"), "dead", "something_new"),
    ],
)
def test_what_slack_refuses_is_kept_with_what_to_do(
    fake: Server, approval: Approval, fault: Fault, state: str, reason: str
) -> None:
    fake.slack.limits.faults["chat.postMessage"] = fault
    with transaction.atomic():
        on_approval_changed(approval)
    deliver_due()
    assert outbox().state == state
    assert reason in outbox().last_error


def test_without_a_connection_it_is_tried_again(fake: Server, approval: Approval, settings: Settings) -> None:
    settings.SLACK_BASE_URL = "http://127.0.0.1:9/api/"
    with transaction.atomic():
        on_approval_changed(approval)
    deliver_due()
    assert outbox().state == "pending"
    assert "cannot be reached" in outbox().last_error


def test_without_a_slack_app_nothing_is_enqueued(approval: Approval, settings: Settings) -> None:
    settings.SLACK_BOT_TOKEN = ""
    with transaction.atomic():
        on_approval_changed(approval)
    assert not OutboxMessage.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_an_incident_has_one_message_that_follows_it(fake: Server, project: Project, lin: User) -> None:
    alert = factories.alert(project)
    incident = factories.incident(project, alert, service=factories.service(project))
    run = factories.run(factories.runbook(project, "contain"), incident=incident)
    actor = Actor.system("test").through(Channel.AUTOMATION)
    with transaction.atomic():
        on_incident_changed(IncidentChange(incident=incident, kind=ChangeKind.OPENED, actor=actor))
    deliver()
    [message] = fake.slack.workspace.messages
    shown = str(message.blocks)
    for part in (
        f"SEV2 {incident}",
        "triage",
        "Checkout",
        "Contain v1",
        "running",
        "no commander",
        "1 firing of 1",
    ):
        assert part in shown
    incident.status, incident.commander = "mitigated", lin
    incident.save()
    run.state = "succeeded"
    run.save()
    with transaction.atomic():
        on_run_changed(told(run, RunFinished(status="succeeded", at=now())))
    deliver()
    [message] = fake.slack.workspace.messages
    assert message.edited == 1
    assert "mitigated" in str(message.blocks)
    assert "commander: lin" in str(message.blocks)


def test_however_long_a_notice_is_it_leads_to_what_it_tells_of(fake: Server, project: Project) -> None:
    url = "https://handrail.example/runs/1/steps/2/"
    with transaction.atomic():
        on_matter(Matter(project, "uncertain", "step:2", "It broke: <" + "x & " * 1000, url))
    deliver()
    [message] = fake.slack.workspace.messages
    assert message.text.endswith(f"… {url}")
    assert len(message.text) <= 3500


def test_a_step_does_not_rewrite_the_incidents_message(project: Project, fake: Server) -> None:
    incident = factories.incident(project)
    run = factories.run(factories.runbook(project), incident=incident)
    with transaction.atomic():
        on_run_changed(told(run, StepScheduled(key="look", at=now())))
    assert not OutboxMessage.objects.exists()
