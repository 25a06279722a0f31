"""What a run does to its own incident: status, severity and notes, in the name of the runbook."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from django.db import transaction

from handrail.audit.actions import record
from handrail.incidents import timeline, transitions
from handrail.incidents.hooks import ChangeKind, IncidentChange, incident_changed
from handrail.incidents.lifecycle import Status, Verb
from handrail.incidents.models import Incident
from handrail.incidents.severities import Sev
from handrail.shared.actors import Actor
from handrail.shared.errors import Conflict, Invalid, NotFound

MAX_NOTE = 4000
VERBS = {
    Status.INVESTIGATING: Verb.INVESTIGATE,
    Status.IDENTIFIED: Verb.IDENTIFY,
    Status.MITIGATED: Verb.MITIGATE,
    Status.RESOLVED: Verb.RESOLVE,
}
"""The statuses that a runbook may say, and the verb for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunUpdate:
    """What to change; None leaves it. ``key`` makes a repeated note one note."""

    status: Status | None = None
    severity: Sev | None = None
    note: str | None = None
    key: str = ""


@transaction.atomic
def update_by_run(incident_id: uuid.UUID, update: RunUpdate, *, actor: Actor) -> Incident:
    """Apply all of the update or none of it. What is so already stays so: repeating it changes nothing.

    An incident that was merged meanwhile is followed: production is as it is, whatever number that has now.
    It asks for no permission of its own: whoever started the run had it, and the runbook was reviewed.
    Raises NotFound, Conflict (the status cannot be reached from here) or Invalid.
    """
    incident = Incident.objects.filter(pk=incident_id).first()
    if incident is None:
        raise NotFound("The incident of this run does not exist any more.")
    row = transitions.lock_followed(incident)
    if update.severity is not None and update.severity != row.severity:
        _set_severity(row, update.severity, actor)
    if update.note is not None:
        _note(row, update.note, update.key, actor)
    if update.status is not None and update.status != row.status:
        row = transitions.move(row, VERBS[update.status], actor=actor)
    return row


def _set_severity(row: Incident, severity: Sev, actor: Actor) -> None:
    if not row.is_open:
        raise Conflict(f"{row} is {row.status}: its severity stands.")
    before, row.severity = row.severity, severity.value
    row.save(update_fields=["severity", "updated_at"])
    data: dict[str, object] = {"from": before, "to": severity.value}
    text = f"{actor.name} changed the severity from {before} to {severity.value}"
    timeline.add(row, f"incident.{ChangeKind.SEVERITY_CHANGED.value}", text, actor=actor, data=data)
    incident_changed(IncidentChange(incident=row, kind=ChangeKind.SEVERITY_CHANGED, actor=actor))
    record(actor, "incident.severity_changed", row, data={"from": before, "to": severity.value})


def _note(row: Incident, note: str, key: str, actor: Actor) -> None:
    words = note.strip()
    if not words or len(words) > MAX_NOTE:
        raise Invalid(f"A note has 1 to {MAX_NOTE:,} characters.")
    before = row.timeline_n
    event = timeline.add(row, "note", words, actor=actor, dedupe_key=key)
    if event.n <= before:
        return
    incident_changed(IncidentChange(incident=row, kind=ChangeKind.NOTED, actor=actor))
    record(actor, "incident.noted", row, data={"event": str(event.pk)})
