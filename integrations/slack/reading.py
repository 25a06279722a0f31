"""From rows to what the messages show."""

from __future__ import annotations

import uuid

from django.conf import settings

from handrail.alerts.models import Alert
from handrail.incidents.models import Incident
from handrail.shared.links import approval_url, incident_url, postmortem_url, run_url
from integrations.slack.card import ApprovalCard, CastVote, PlannedStep
from integrations.slack.incident_card import MAX_RUNS, IncidentCard, ShownRun
from runbooks.approvals import input_specs
from runbooks.models import Approval, Run
from runbooks.queries import circumstances, steps_of
from runbooks.queries.words import state_in_words
from runbooks.quorum import needs

_ON_TIMEOUT = {"reject": "rejected", "fail": "rejected, and the run fails"}

_HAS_POSTMORTEM = (Incident.Status.RESOLVED, Incident.Status.CLOSED)
"""Its draft is written within seconds of the resolution."""

_RUN_STATES = {
    Run.State.PENDING: "about to start",
    Run.State.RUNNING: "running",
    Run.State.WAITING: "waiting",
    Run.State.PAUSED: "paused",
    Run.State.CANCELLING: "being stopped",
    Run.State.SUCCEEDED: "succeeded",
    Run.State.FAILED: "failed",
    Run.State.CANCELLED: "stopped",
}


def approval_row(approval_id: uuid.UUID) -> Approval | None:
    """The approval with all that its card shows."""
    related = ("project", "step", "run__runbook", "run__version", "run__incident", "run__alert")
    return Approval.objects.select_related(*related).filter(pk=approval_id).first()


def approval_channels(approval: Approval) -> list[str]:
    """The channels that the runbook names, else the installation's."""
    named = [str(channel["slack"]) for channel in approval.channels if channel.get("slack")]
    return list(dict.fromkeys(named)) or [settings.SLACK_CHANNEL]


def approval_card(approval: Approval) -> ApprovalCard:
    """What the card of this approval shows."""
    run = approval.run
    return ApprovalCard(
        approval_id=str(approval.pk),
        prompt=approval.prompt,
        state=approval.state,
        plan=planned_steps(approval),
        digest=approval.digest,
        runbook=run.runbook.slug,
        version=f"v{run.version.number}",
        quorum=approval.quorum,
        url=approval_url(approval.pk),
        evidence_url=incident_url(run.incident_id) if run.incident_id else run_url(run.pk),
        why=tuple(reason.text for reason in circumstances(approval, steps_of(run))),
        needs=needs(approval),
        votes=tuple(
            CastVote(vote.user_name, vote.decision, vote.at, vote.channel, vote.reason, vote.void_reason)
            for vote in approval.votes.all()
        ),
        deadline=approval.expires_at,
        on_timeout=_ON_TIMEOUT.get(approval.on_timeout, "rejected"),
        asks_inputs=approval.state == Approval.State.PENDING and bool(input_specs(approval)),
        decided_at=approval.decided_at,
        decided_by=approval.decided_by,
        decided_channel=approval.decided_channel,
        reason=approval.reason,
    )


def planned_steps(approval: Approval) -> tuple[PlannedStep, ...]:
    """The guarded steps, as the row has them (secrets masked)."""
    return tuple(
        PlannedStep(
            title=str(step.get("title") or step.get("step") or ""),
            preview=str(step.get("preview") or ""),
            effect=str(step.get("effect") or ""),
            target=str(step.get("target") or ""),
        )
        for step in approval.plan
    )


def _run_state(run: Run) -> str:
    """In a word while it works, because the message does not follow each step; in a sentence when it waits."""
    if run.state == Run.State.WAITING:
        return state_in_words(run)
    return _RUN_STATES[Run.State(run.state)]


def incident_card(incident_id: uuid.UUID) -> IncidentCard | None:
    """What the message of this incident shows; None when there is no such incident any more."""
    related = ("service", "environment", "commander")
    incident = Incident.objects.select_related(*related).filter(pk=incident_id).first()
    if incident is None:
        return None
    alerts = Alert.objects.filter(incident_alerts__incident=incident)
    runs = Run.objects.filter(incident=incident).select_related("runbook", "version").order_by("-created_at")
    return IncidentCard(
        label=str(incident),
        title=incident.title,
        severity=incident.severity,
        status=incident.status,
        url=incident_url(incident.pk),
        started_at=incident.started_at,
        service=incident.service.name if incident.service else "",
        environment=incident.environment.name if incident.environment else "",
        commander=str(incident.commander) if incident.commander else "",
        alerts_open=alerts.filter(status="firing").count(),
        alerts_seen=alerts.count(),
        resolved_at=incident.resolved_at,
        runs=tuple(
            ShownRun(
                title=f"{run.runbook.title} {run.version}",
                state=_run_state(run),
                url=run_url(run.pk),
            )
            for run in reversed(runs[:MAX_RUNS])
        ),
        postmortem_url=postmortem_url(incident.pk) if incident.status in _HAS_POSTMORTEM else "",
    )
