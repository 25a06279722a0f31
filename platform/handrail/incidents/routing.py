"""Brings each alert to its incident: opens one, joins it, reopens it, follows a merge, or gathers a storm."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from handrail.alerts import decisions
from handrail.alerts.events import AlertStatus
from handrail.alerts.hooks import AlertChange, AlertChangeKind
from handrail.alerts.models import Alert
from handrail.incidents import opening, resolving, timeline, transitions
from handrail.incidents.hooks import ChangeKind, IncidentChange, incident_changed
from handrail.incidents.joining import join
from handrail.incidents.keys import STORM_KEY, IncidentKey, key_of
from handrail.incidents.lifecycle import Status, Verb
from handrail.incidents.merging import follow
from handrail.incidents.models import Incident, IncidentAlert
from handrail.incidents.numbering import lock_project
from handrail.incidents.severities import severity_of_alert
from handrail.shared.actors import Actor
from handrail.shared.clock import now
from handrail.shared.statements.compiled import Compiled
from handrail.shared.statements.reading import fetch
from handrail.shared.statements.shapes import table

REOPEN_WITHIN = timedelta(minutes=30)
STORM_WINDOW = timedelta(minutes=10)


_OPEN = Compiled(
    lambda project, key: (
        Incident.objects.order_by().filter(project=project, key=key, is_open=True).only("pk")[:1]
    )
)
_LAST = Compiled(
    lambda project, key: (
        Incident.objects.filter(project=project, key=key)
        .select_related("merged_into")
        .order_by("-is_open", "-number")[:1]
    )
)


@dataclass(frozen=True, slots=True)
class _Routing:
    """One alert on its way, with what decides where it goes."""

    alert: Alert
    key: IncidentKey
    actor: Actor
    at: datetime


@transaction.atomic(savepoint=False)
def on_alert(change: AlertChange) -> None:
    """Route one change of an alert; every decision is written beside the alert, in words."""
    match change.kind:
        case AlertChangeKind.RESOLVED:
            resolving.on_resolved(change)
        case AlertChangeKind.OPENED:
            _route(change)
        case AlertChangeKind.UPDATED:
            if not _told_its_incidents(change):
                _route(change)
        case AlertChangeKind.REPEATED:
            # Everything was decided when it opened; a storm of repetitions costs nothing here.
            return


def _route(change: AlertChange) -> None:
    alert = change.alert
    if alert.status == AlertStatus.NO_DATA:
        decisions.add(
            alert, "Opened no incident: the source has no data, which says nothing of a failure yet"
        )
        return
    routing = _Routing(alert, key_of(alert), change.actor, change.delivery.received_at)
    current, last = _open_incident(alert, routing.key.value), None
    if current is None:
        # Only now the project's lock: most alerts find their incident without it.
        lock_project(alert.project)
        last = _last_incident(alert, routing.key.value)
        if last is not None and last.is_open:
            last = transitions.lock(last)
            current = last if last.is_open else None
    if current is not None:
        _join(routing, current, f"Joined {current}: it is open for {routing.key.words}")
        return
    _by_the_last_one(routing, last)


def _open_incident(alert: Alert, key: str) -> Incident | None:
    found = _OPEN.first(alert.project_id, key)
    if found is None:
        return None
    row = transitions.lock(found)
    return row if row.is_open else None


def _last_incident(alert: Alert, key: str) -> Incident | None:
    """The open incident of the key, else the newest."""
    return _LAST.first(alert.project_id, key)


def _by_the_last_one(routing: _Routing, last: Incident | None) -> None:
    """No incident is open for the key: what became of the last one decides."""
    key = routing.key
    if last is None:
        _open(routing, None, f"nothing is open for {key.words}")
        return
    if last.status == Status.MERGED:
        target = transitions.lock(follow(last))
        if target.is_open:
            _join(routing, target, f"Joined {target}: {last}, for {key.words}, was merged into it")
            return
        _open(routing, last, f"{last}, for {key.words}, was merged into {target}, which is {target.status}")
        return
    resolved = last.resolved_at
    if last.status == Status.RESOLVED and resolved is not None and routing.at - resolved <= REOPEN_WITHIN:
        _reopen(routing, last)
        return
    _open(routing, last, f"{last}, the last one for {key.words}, is {last.status}")


def _join(routing: _Routing, incident: Incident, why: str, *, storm: bool = False) -> None:
    alert, actor = routing.alert, routing.actor
    decisions.add(alert, why)
    row = join(incident, alert, why, actor=actor, at=routing.at)
    incident_changed(
        IncidentChange(
            incident=row,
            kind=ChangeKind.JOINED,
            actor=actor,
            alert=alert,
            source=alert.source,
            storm=storm,
        )
    )


def _reopen(routing: _Routing, last: Incident) -> None:
    alert, actor = routing.alert, routing.actor
    within = int(REOPEN_WITHIN.total_seconds() // 60)
    why = f"Reopened {last}: it was resolved less than {within} minutes ago for {routing.key.words}"
    decisions.add(alert, why)
    row = transitions.move(last, Verb.REOPEN, actor=actor, reason=f"{alert.title} fires again", alert=alert)
    row.flaps += 1
    row.save(update_fields=["flaps"])
    join(row, alert, why, actor=actor, at=routing.at)
    incident_changed(
        IncidentChange(
            incident=row, kind=ChangeKind.JOINED, actor=actor, alert=alert, source=alert.source, reopens=True
        )
    )


def _open(routing: _Routing, related: Incident | None, why: str) -> None:
    alert, actor = routing.alert, routing.actor
    if _over_budget(alert):
        _gather(routing)
        return
    severity = severity_of_alert(alert.severity, alert.service.tier if alert.service else None)
    told = opening.Opening(
        title=_title(alert),
        severity=severity,
        started_at=alert.started_at,
        detected_at=alert.first_seen_at,
        why=f"{alert.title} from {alert.source.name}; {why}",
        key=routing.key.value,
        service=alert.service,
        environment=alert.environment,
        alert=alert,
        related_to=related,
        trace_id=actor.trace_id,
        data={"alert": str(alert.pk), "source": alert.source.name, "human": False},
    )
    incident = opening.create(alert.project, told, actor=actor)
    _announce(routing, incident, f"Opened {incident}: {why}")


def _announce(routing: _Routing, incident: Incident, decision: str, *, storm: bool = False) -> None:
    alert, actor = routing.alert, routing.actor
    decisions.add(alert, decision)
    row = join(incident, alert, decision, actor=actor, at=routing.at, is_new=True)
    incident_changed(
        IncidentChange(
            incident=row,
            kind=ChangeKind.OPENED,
            actor=actor,
            alert=alert,
            source=alert.source,
            storm=storm,
        )
    )
    opening.audited(row, actor=actor, why=decision)


def _title(alert: Alert) -> str:
    """The alert's name and where it happens, as far as the title does not say so already."""
    title = alert.title
    for part, place in (("on", alert.service), ("in", alert.environment)):
        if place is not None and place.slug.lower() not in title.lower():
            title = f"{title} {part} {place.slug}"
    return title


def _over_budget(alert: Alert) -> bool:
    """Whether the project's budget of new incidents is used up; exact, as the project is locked."""
    since = now() - STORM_WINDOW
    text = [
        "SELECT count(*) FROM",
        table(Incident),
        "WHERE project_id = %s AND created_at > %s AND key <> ''",
    ]
    return int(fetch(" ".join(text), [alert.project_id, since])[0][0]) >= settings.INCIDENT_BUDGET


def _gather(routing: _Routing) -> None:
    alert = routing.alert
    minutes = int(STORM_WINDOW.total_seconds() // 60)
    budget = f"{settings.INCIDENT_BUDGET} new incidents in {minutes} minutes are used up"
    current = _open_incident(alert, STORM_KEY)
    if current is not None:
        _join(routing, current, f"Gathered under {current}: {budget}", storm=True)
        return
    told = opening.Opening(
        title=f"Alert storm: more than {settings.INCIDENT_BUDGET} new incidents in {minutes} minutes",
        severity=severity_of_alert(alert.severity, alert.service.tier if alert.service else None),
        started_at=alert.started_at,
        detected_at=alert.first_seen_at,
        why=f"{budget}; further alerts without an incident gather here",
        key=STORM_KEY,
        alert=alert,
        trace_id=routing.actor.trace_id,
        data={"alert": str(alert.pk), "source": alert.source.name, "human": False, "storm": True},
    )
    incident = opening.create(alert.project, told, actor=routing.actor)
    _announce(routing, incident, f"Gathered under {incident}: {budget}", storm=True)


def _told_its_incidents(change: AlertChange) -> bool:
    """Let the open incidents that the alert belongs to know of its new severity; False when there are none."""
    alert = change.alert
    links = IncidentAlert.objects.filter(alert=alert, incident__is_open=True).select_related("incident")
    locked = [transitions.lock(link.incident) for link in links.order_by("incident_id")]
    # One may have ended, or been merged, while its lock was waited for.
    rows = [row for row in locked if row.is_open]
    for row in rows:
        timeline.add(
            row,
            "alert.changed",
            f"{alert.title} is {alert.status}, severity {alert.severity}",
            actor=change.actor,
            at=change.delivery.received_at,
            data={"alert": str(alert.pk), "status": alert.status, "severity": alert.severity},
            subject=alert,
        )
        before = row.severity
        join(row, alert, "", actor=change.actor, at=change.delivery.received_at)
        if row.severity != before:
            incident_changed(
                IncidentChange(
                    incident=row,
                    kind=ChangeKind.SEVERITY_CHANGED,
                    actor=change.actor,
                    alert=alert,
                    source=alert.source,
                )
            )
    return bool(rows)
