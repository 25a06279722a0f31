"""Resolves incidents by their alerts: all resolved for a while, and nothing is still going on."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Max

from handrail.alerts import decisions
from handrail.alerts.hooks import AlertChange
from handrail.alerts.models import Alert
from handrail.incidents import timeline, transitions
from handrail.incidents.hooks import ChangeKind, IncidentChange, blocker_of, incident_changed
from handrail.incidents.lifecycle import Verb
from handrail.incidents.metrics import in_words
from handrail.incidents.models import Incident, IncidentAlert
from handrail.shared.actors import Actor
from handrail.shared.clock import database_now
from handrail.shared.links import alert_url

LONGEST_WAIT = timedelta(seconds=30)
"""How long until a blocked incident is looked at again, at most."""

LEASE = timedelta(seconds=60)


def quiet_time() -> timedelta:
    """For how long all alerts must have been resolved."""
    return timedelta(seconds=settings.AUTO_RESOLVE_AFTER)


def quiet_at(row: Incident) -> datetime | None:
    """When its alerts will have been resolved for long enough; None while one of them fires, or if it has none."""
    alerts = Alert.objects.filter(incident_alerts__incident=row)
    last: datetime | None = alerts.aggregate(last=Max("last_seen_at"))["last"]
    if last is None or _still_open(row):
        return None
    return min(last, database_now()) + quiet_time()


def on_resolved(change: AlertChange) -> None:
    """Tell the open incidents of an alert that it is over, and set their clock when it was the last one."""
    alert = change.alert
    links = IncidentAlert.objects.filter(alert=alert, incident__is_open=True).select_related("incident")
    told: set[uuid.UUID] = set()
    for link in links.order_by("incident_id"):
        # Merged while we waited for its lock, it has taken the alert along.
        row = transitions.lock_followed(link.incident)
        if row.is_open and row.pk not in told:
            told.add(row.pk)
            _tell_resolved(row, change)


def _tell_resolved(row: Incident, change: AlertChange) -> None:
    alert = change.alert
    timeline.add(
        row,
        "alert.resolved",
        f"{alert.title} is resolved, says {alert.source.name}",
        actor=change.actor,
        at=change.delivery.received_at,
        data={
            "alert": str(alert.pk),
            "title": alert.title,
            "ended_at": alert.ended_at.isoformat() if alert.ended_at else "",
            "seen_count": alert.seen_count,
        },
        subject=alert,
        url=alert_url(alert.pk),
        dedupe_key=f"alert.resolved:{alert.pk}",
    )
    left = _still_open(row)
    if left:
        decisions.add(alert, f"{row} stays open: {left} of its alerts still fire")
    elif row.auto_resolve == Incident.AutoResolve.NEVER:
        decisions.add(alert, f"{row} stays open: a person holds it open")
    else:
        row.resolve_due_at = database_now() + quiet_time()
        row.save(update_fields=["resolve_due_at", "updated_at"])
        decisions.add(alert, f"{row} resolves in {in_words(quiet_time())} unless an alert fires again")
    incident_changed(
        IncidentChange(
            incident=row,
            kind=ChangeKind.ALERT_RESOLVED,
            actor=change.actor,
            alert=alert,
            source=alert.source,
        )
    )


def resolve_due(limit: int = 50) -> int:
    """The sweeper's duty: resolve the incidents whose alerts have been quiet for long enough.

    Returns how many were looked at. Each is claimed first, so that one that fails does not hold up the others.
    """
    due = Incident.objects.filter(resolve_due_at__lte=database_now()).order_by("resolve_due_at")
    identifiers = list(due.values_list("pk", flat=True)[:limit])
    for identifier in identifiers:
        if _claim(identifier):
            _resolve(identifier)
    return len(identifiers)


def _claim(identifier: uuid.UUID) -> bool:
    moment = database_now()
    due = Incident.objects.filter(pk=identifier, resolve_due_at__lte=moment)
    return due.update(resolve_due_at=moment + LEASE) == 1


@transaction.atomic
def _resolve(identifier: uuid.UUID) -> None:
    row = transitions.lock(Incident.objects.get(pk=identifier))
    if row.resolve_due_at is None or not row.is_open:
        return
    if row.auto_resolve == Incident.AutoResolve.NEVER or _still_open(row):
        _put_off(row, None)
        return
    actor = Actor.system("sweeper")
    blocker = blocker_of(row)
    if blocker is not None:
        timeline.add(
            row,
            "incident.resolve_blocked",
            f"{row} is not resolved yet: {blocker}",
            actor=actor,
            data={"blocker": blocker},
            # Said once for each thing that is in the way, not with every look.
            dedupe_key=f"blocked:{row.flaps}:{blocker}",
        )
        _put_off(row, database_now() + min(max(quiet_time(), timedelta(seconds=1)), LONGEST_WAIT))
        return
    reason = f"all its alerts have been resolved for {in_words(quiet_time())}"
    transitions.move(row, Verb.RESOLVE, actor=actor, reason=reason)


def _put_off(row: Incident, until: datetime | None) -> None:
    row.resolve_due_at = until
    row.save(update_fields=["resolve_due_at", "updated_at"])


def _still_open(row: Incident) -> int:
    return Alert.objects.filter(incident_alerts__incident=row, is_open=True).count()
