"""Who listens to whom, and which duties the sweeper has: the one visible place where the apps are joined."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from handrail.accounts import idempotency
from handrail.alerts import kinds, processing
from handrail.alerts.hooks import alert_changed, message_received
from handrail.audit import checkpoints
from handrail.catalog import kinds as connection_kinds
from handrail.incidents import resolving, routing
from handrail.incidents.hooks import asks_blockers, incident_changed
from handrail.incidents.postmortems import drafting
from handrail.outbox import tasks as outbox
from handrail.outbox.sending import register_sender
from integrations import INTEGRATIONS
from integrations.aws.kind import KIND as AWS
from integrations.aws.steps import AwsCall, LambdaInvoke
from integrations.email import sending as email_sending
from integrations.email.kind import KIND as SMTP
from integrations.email.steps import EmailSend
from integrations.kubernetes.jobs import JobStatus, StartJob
from integrations.kubernetes.kind import KIND as KUBERNETES
from integrations.kubernetes.nodes import Cordon, Drain
from integrations.kubernetes.workloads import Get, Patch, Restart, RolloutStatus, Scale
from integrations.pagerduty import kind as pagerduty_kinds
from integrations.pagerduty import notices as pagerduty_notices
from integrations.pagerduty import steps as pagerduty
from integrations.slack import messages as slack_messages
from integrations.slack import subscribers as slack
from integrations.slack.steps import SlackPost
from integrations.ssh.kind import KIND as SSH
from integrations.ssh.steps import SshRun
from integrations.webhook.kind import KIND as WEBHOOK
from integrations.webhook.steps import WebhookSend
from runbooks import (
    admitting,
    approvals,
    blockers,
    dead_letters,
    escalating,
    incident_timeline,
    matters,
    schedules,
    triggers,
)
from runbooks.execution import answers, children, recover
from runbooks.execution.patience import PATIENCE
from runbooks.hooks import approval_changed, live_changed, run_changed
from runbooks.retention import deliveries, files, logs, values
from runbooks.start_action import RunbookStart
from runbooks.steps import registry


class Duty(NamedTuple):
    """What the sweeper does by itself, whatever messages were lost. Repeating a duty is always harmless."""

    name: str
    perform: Callable[[], object]
    every_seconds: float


DUTIES: list[Duty] = [
    Duty("audit.checkpoint", checkpoints.checkpoint_if_due, 10.0),
    Duty("accounts.forget_answers", idempotency.forget_answers, 600.0),
    Duty("outbox.deliver_overdue", outbox.deliver_overdue, 1.0),
    Duty("alerts.process_due", processing.process_due, 2.0),
    Duty("letters.find_missed", dead_letters.find_missed, 30.0),
    Duty("incidents.resolve_due", resolving.resolve_due, 1.0),
    Duty("postmortems.draft_due", drafting.draft_due, 2.0),
    Duty("runs.fire_due", recover.fire_due, 0.5),
    Duty("runs.admit_due", admitting.admit_due, 1.0),
    Duty("runs.stop_unwanted", children.stop_unwanted, 1.0),
    Duty("runs.follow_parents", children.follow_parents, 1.0),
    Duty("schedules.fire_due", schedules.fire_due, 1.0),
    Duty("runs.hint_ready", recover.hint_ready, 1.0),
    Duty("runs.recover_expired", PATIENCE.recover_expired, 1.0),
    Duty("approvals.expire_due", approvals.expire_due, 1.0),
    Duty("approvals.escalate_due", escalating.escalate_due, 1.0),
    Duty("approvals.recheck_votes", approvals.recheck_votes, 5.0),
    Duty("retention.remove_logs", logs.remove_logs, 300.0),
    Duty("retention.remove_values", values.remove_values, 300.0),
    Duty("retention.remove_bodies", deliveries.remove_bodies, 300.0),
    Duty("retention.remove_unnamed", files.remove_unnamed, 6 * 3600.0),
]


CONNECTION_KINDS: list[connection_kinds.ConnectionKind] = [
    AWS,
    KUBERNETES,
    pagerduty_kinds.EVENTS,
    pagerduty_kinds.REST,
    SMTP,
    SSH,
    WEBHOOK,
]
"""The connections that integrations bring, beside plain HTTP."""

ACTIONS: list[type[registry.AnyAction]] = [
    *(Get, RolloutStatus, Scale, Restart, Patch, StartJob, JobStatus, Cordon, Drain),
    *(pagerduty.Trigger, pagerduty.Acknowledge, pagerduty.Resolve, pagerduty.Note, pagerduty.Status),
    RunbookStart,
    AwsCall,
    LambdaInvoke,
    EmailSend,
    SlackPost,
    SshRun,
    WebhookSend,
]
"""The action types that integrations bring, and the one that needs all of the engine."""


def connect() -> None:
    """Connect every subscriber to its hook. Called once, when all apps are ready."""
    kinds.install(INTEGRATIONS)
    alert_changed.connect(routing.on_alert)
    incident_changed.connect(triggers.on_incident_changed)
    message_received.connect(triggers.on_message)
    incident_changed.connect(slack.on_incident_changed)
    incident_changed.connect(drafting.on_incident)
    live_changed.connect(schedules.on_live_changed)
    run_changed.connect(incident_timeline.on_run_changed, when=incident_timeline.is_told)
    run_changed.connect(slack.on_run_changed, when=incident_timeline.is_told)
    run_changed.connect(children.on_run_changed, when=children.is_told)
    run_changed.connect(matters.on_run_changed, when=matters.is_told)
    matters.matter_arose.connect(slack.on_matter)
    matters.matter_arose.connect(pagerduty_notices.on_matter)
    escalating.approval_escalated.connect(slack.on_escalated)
    escalating.approval_escalated.connect(pagerduty_notices.on_escalated)
    run_changed.connect(dead_letters.on_run_changed, when=dead_letters.is_told)
    # Last: it locks a place after the incident, as everybody does.
    run_changed.connect(admitting.on_run_changed, when=admitting.is_told)
    approval_changed.connect(answers.on_approval)
    approval_changed.connect(pagerduty_notices.on_approval_changed)
    approval_changed.connect(slack.on_approval_changed)
    register_sender(slack_messages.CHANNEL, slack_messages.send, interval=slack_messages.INTERVAL_SECONDS)
    register_sender(pagerduty_notices.CHANNEL, pagerduty_notices.send)
    register_sender(email_sending.CHANNEL, email_sending.send)
    for kind in CONNECTION_KINDS:
        connection_kinds.register(kind)
    for action in ACTIONS:
        registry.register(action)
    if blockers.active_run not in asks_blockers:
        asks_blockers.append(blockers.active_run)
