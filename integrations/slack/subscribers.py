"""What changes in Handrail becomes a message to Slack, in the same transaction."""

from __future__ import annotations

import uuid

import structlog
from django.conf import settings

from handrail.accounts.models import LinkedIdentity, Project
from handrail.incidents.hooks import IncidentChange
from handrail.outbox.actions import enqueue
from handrail.shared.ids import new_id
from handrail.shared.links import approval_url
from integrations.slack.client import is_configured
from integrations.slack.messages import CHANNEL
from integrations.slack.reading import approval_channels
from runbooks.escalating import Escalated
from runbooks.hooks import RunChange
from runbooks.matters import Matter
from runbooks.models import Approval

log = structlog.get_logger(__name__)

PROVIDER = "slack"
"""Of linked identities."""

FIRST = 0
"""Approvals: people are waited for."""

SOON = 3
"""Incidents."""


def on_approval_changed(approval: Approval) -> None:
    """Show the approval as it is now in each of its channels."""
    if not is_configured():
        return
    for channel in approval_channels(approval):
        enqueue(
            CHANNEL,
            "approval",
            f"slack:approval:{approval.pk}:{channel}"[:200],
            {"id": str(approval.pk), "channel": channel},
            project=Project(pk=approval.project_id),
            priority=FIRST,
            destination=channel,
        )


def on_matter(matter: Matter) -> None:
    """Tell the channel of what has become a human's matter, once for each time that it does."""
    if is_configured() and not matter.settled:
        said = {"text": matter.text, "url": matter.url}
        _post(settings.SLACK_CHANNEL, said, f"{matter.key}:{new_id()}", matter.project)


def on_escalated(escalated: Escalated) -> None:
    """Show the approval in one more channel, or to one more person, with a word on what happens if nobody answers."""
    wanted, approval = escalated.to.get("slack", ""), escalated.approval
    if not wanted or not is_configured():
        return
    place = _person(wanted[1:]) if wanted.startswith("@") else wanted
    if not place:
        log.warning("slack_escalation_to_nobody", approval=str(approval.pk), to=wanted)
        return
    shown = approval_channels(approval)
    if place not in shown:
        approval.channels = [{"slack": channel} for channel in (*shown, place)]
        approval.save(update_fields=["channels"])
    said = {"text": escalated.text, "url": approval_url(approval.pk)}
    _post(place, said, f"approval:{approval.pk}:{new_id()}", approval.project)


def _person(username: str) -> str:
    """The Slack account that a person has linked: a message to it is a direct message. Empty if there is none."""
    linked = LinkedIdentity.objects.filter(
        provider=PROVIDER, user__username=username, user__is_active=True
    ).order_by("-linked_at")
    return linked.values_list("external_id", flat=True).first() or ""


def _post(channel: str, said: dict[str, str], key: str, project: Project) -> None:
    enqueue(
        CHANNEL,
        "post",
        f"slack:notice:{key}"[:200],
        {"channel": channel, **said},
        project=project,
        priority=FIRST,
        destination=channel,
    )


def on_incident_changed(change: IncidentChange) -> None:
    """Show the incident as it is now."""
    show_incident(change.incident.pk, change.incident.project_id)


def on_run_changed(change: RunChange) -> None:
    """Show the incident of a run whose own state has changed; single steps do not change the message."""
    if change.run.incident_id is not None and change.kind.startswith("run."):
        show_incident(change.run.incident_id, change.run.project_id)


def show_incident(incident_id: uuid.UUID, project_id: uuid.UUID) -> None:
    """Enqueue the incident's message to the installation's channel."""
    if not is_configured():
        return
    channel = settings.SLACK_CHANNEL
    enqueue(
        CHANNEL,
        "incident",
        f"slack:incident:{incident_id}",
        {"id": str(incident_id), "channel": channel},
        project=Project(pk=project_id),
        priority=SOON,
        destination=channel,
    )
