"""Puts an alert into an incident: the link with its reason, the earliest start, the worst severity, the timeline."""

from __future__ import annotations

from datetime import datetime

from handrail.alerts.models import Alert
from handrail.incidents import timeline
from handrail.incidents.models import Incident, IncidentAlert, TimelineEvent
from handrail.incidents.severities import severity_of_alert, worse
from handrail.shared.actors import Actor, ActorKind
from handrail.shared.links import alert_url
from handrail.shared.statements.compiled import Compiled
from handrail.shared.statements.writing import insert

MAX_REASON = 500

_LINK = Compiled(
    lambda incident, alert: (
        IncidentAlert.objects.order_by().filter(incident=incident, alert=alert).values_list("pk")[:1]
    )
)


def join(
    row: Incident, alert: Alert, why: str, *, actor: Actor, at: datetime, is_new: bool = False
) -> Incident:
    """Join the locked incident; joining again only brings severity and start up to date.

    ``is_new``: this transaction has just opened it, so that nothing has joined it yet.
    """
    # Under the incident's lock nobody else can join it in between.
    if is_new or not _LINK.rows(row.pk, alert.pk):
        reason = timeline.shortened(why, MAX_REASON)
        insert(IncidentAlert(incident=row, alert=alert, joined_at=at, reason=reason))
        _tell(row, alert, actor, at)
    changed = ["resolve_due_at"] if row.resolve_due_at is not None else []
    row.resolve_due_at = None
    if alert.started_at < row.started_at and not is_corrected(row, "started_at"):
        row.started_at = alert.started_at
        changed.append("started_at")
    if _escalate(row, alert, actor, at):
        changed.append("severity")
    if changed:
        row.save(update_fields=[*changed, "updated_at"])
    return row


def _tell(row: Incident, alert: Alert, actor: Actor, at: datetime) -> None:
    source = alert.source
    since = f", since {alert.started_at:%H:%M:%S} UTC" if alert.started_at < at else ""
    timeline.add(
        row,
        "alert.fired",
        f"{alert.title} ({alert.severity}) fires, says {source.name}{since}",
        actor=actor,
        at=at,
        data={
            "alert": str(alert.pk),
            "title": alert.title,
            "severity": alert.severity,
            "source": source.name,
            "source_kind": source.kind,
            "service": alert.service.slug if alert.service else "",
            "environment": alert.environment.slug if alert.environment else "",
            "started_at": alert.started_at.isoformat(),
            "value": alert.value,
            "links": alert.links[:5],
        },
        subject=alert,
        url=alert_url(alert.pk),
        dedupe_key=f"alert.fired:{alert.pk}",
    )


def _escalate(row: Incident, alert: Alert, actor: Actor, at: datetime) -> bool:
    """Raise the severity to the alert's when that is worse, unless a person has judged otherwise."""
    tier = alert.service.tier if alert.service else None
    after = worse(row.severity, severity_of_alert(alert.severity, tier))
    if after == row.severity:
        return False
    judged = TimelineEvent.objects.filter(
        incident=row, kind="incident.severity_changed", actor_kind=ActorKind.USER
    )
    if judged.exists():
        return False
    before, row.severity = row.severity, after
    timeline.add(
        row,
        "incident.severity_changed",
        f"Severity raised from {before} to {after}: {alert.title} is {alert.severity}",
        actor=actor,
        at=at,
        data={"from": before, "to": after, "reason": f"{alert.title} is {alert.severity}"},
        subject=alert,
    )
    return True


def is_corrected(row: Incident, time: str) -> bool:
    """Whether a person has corrected the time of that name, such as ``started_at``: then it stands."""
    corrections = TimelineEvent.objects.filter(incident=row, kind="incident.corrected")
    return corrections.filter(data__after__has_key=time).exists()
