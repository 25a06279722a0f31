"""Merging: an incident ends in another one, and its alerts go with it."""

from __future__ import annotations

import uuid

from handrail.incidents import resolving, timeline, transitions
from handrail.incidents.joining import is_corrected
from handrail.incidents.lifecycle import Verb
from handrail.incidents.models import Incident, IncidentAlert
from handrail.shared.actors import Actor
from handrail.shared.clock import now
from handrail.shared.errors import Conflict, Invalid


def follow(incident: Incident) -> Incident:
    """The incident that this one was merged into, over any number of merges; itself if none."""
    incident = Incident.objects.select_related("merged_into").get(pk=incident.pk)
    seen = {incident.pk}
    while incident.merged_into is not None and incident.merged_into_id not in seen:
        incident = incident.merged_into
        seen.add(incident.pk)
    return incident


def merged_into(incident: Incident) -> set[uuid.UUID]:
    """The ids of all incidents that ended in this one, over any number of merges."""
    found: set[uuid.UUID] = set()
    latest = {incident.pk}
    while latest:
        latest = set(Incident.objects.filter(merged_into__in=latest).values_list("pk", flat=True)) - found
        found |= latest
    return found


def merge_into(incident: Incident, into: Incident, *, actor: Actor, reason: str = "") -> Incident:
    """Merge inside the caller's transaction; locks both rows in the order of their ids."""
    target = follow(into)
    if target.pk == incident.pk:
        raise Invalid(f"{incident} cannot be merged into itself: choose another incident.")
    if target.project_id != incident.project_id:
        raise Invalid("Both incidents must belong to the same project.")
    rows = {row.pk: transitions.lock(row) for row in sorted((incident, target), key=lambda row: row.pk)}
    target = rows[target.pk]
    if not target.is_open:
        raise Conflict(f"{target} is {target.status}: reopen it before merging into it.")
    merged = transitions.move(rows[incident.pk], Verb.MERGE, actor=actor, reason=reason, into=target)
    carried = _carry_alerts(merged, target)
    _take_earlier_times(merged, target)
    # The alerts that came along may still fire; if none does, nobody else will set the clock again.
    held = target.auto_resolve == Incident.AutoResolve.NEVER
    target.resolve_due_at = None if held else resolving.quiet_at(target)
    target.save(update_fields=[*_TIMES, "resolve_due_at", "updated_at"])
    timeline.add(
        target,
        "incident.absorbed",
        f"{actor.name} merged {merged} ({merged.title}) into this incident, with {carried} alerts",
        actor=actor,
        data={"incident": str(merged.pk), "number": merged.number, "alerts": carried},
        subject=merged,
    )
    return merged


_TIMES = ("started_at", "detected_at", "acknowledged_at")


def _take_earlier_times(merged: Incident, target: Incident) -> None:
    """What began, was detected or acknowledged as the one began as the other: unless a person has said otherwise."""
    for name in _TIMES:
        moments = [moment for moment in (getattr(merged, name), getattr(target, name)) if moment is not None]
        if moments and not is_corrected(target, name):
            setattr(target, name, min(moments))


def _carry_alerts(merged: Incident, target: Incident) -> int:
    known = set(IncidentAlert.objects.filter(incident=target).values_list("alert_id", flat=True))
    moment = now()
    carried = [
        IncidentAlert(incident=target, alert_id=alert_id, joined_at=moment, reason=f"came with {merged}")
        for alert_id in IncidentAlert.objects.filter(incident=merged).values_list("alert_id", flat=True)
        if alert_id not in known
    ]
    IncidentAlert.objects.bulk_create(carried)
    return len(carried)
