"""What people and automation do to incidents: one function a verb, for web, Slack, API and steps alike.

Every verb authorises (``respond`` on the project), writes row, timeline, hook and audit entry in one
transaction, and raises Conflict in words when the incident has moved on.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django.db import transaction

from handrail.accounts.models import Project, User
from handrail.accounts.permissions import Permission, authorize
from handrail.audit.actions import record
from handrail.catalog.models import Environment, Service
from handrail.incidents import opening, resolving, timeline, transitions
from handrail.incidents.hooks import ChangeKind, IncidentChange, incident_changed
from handrail.incidents.lifecycle import Status, Verb
from handrail.incidents.merging import merge_into
from handrail.incidents.models import Incident, TimelineEvent
from handrail.incidents.numbering import lock_project
from handrail.incidents.severities import Sev
from handrail.shared.actors import Actor, ActorKind
from handrail.shared.clock import now
from handrail.shared.errors import Conflict, Invalid
from handrail.shared.jsonvalue import JsonValue

MAX_NOTE = timeline.MAX_TEXT


@transaction.atomic
def open_incident(
    project: Project,
    *,
    title: str,
    actor: Actor,
    severity: str = Sev.SEV3,
    service: Service | None = None,
    environment: Environment | None = None,
) -> Incident:
    """Open an incident that a person (or a step) reports; detected now, started now until corrected."""
    authorize(actor, Permission.RESPOND, project)
    title = " ".join(title.split())
    if not title:
        raise Invalid("Give the incident a title: one line that says what is wrong.")
    for part in (service, environment):
        if part is not None and part.project_id != project.pk:
            raise Invalid(f"{part.slug} belongs to another project: choose one of {project.slug}.")
    moment = now()
    why = f"reported by {actor.name}"
    told = opening.Opening(
        title=title,
        severity=_severity(severity),
        started_at=moment,
        detected_at=moment,
        why=why,
        service=service,
        environment=environment,
        trace_id=actor.trace_id,
        data={"reported_by": actor.name, "human": actor.kind is ActorKind.USER},
    )
    lock_project(project)
    incident = opening.create(project, told, actor=actor)
    if actor.kind is ActorKind.USER:
        # A human who reports it has seen it.
        incident.acknowledged_at = moment
        incident.save(update_fields=["acknowledged_at"])
    incident_changed(IncidentChange(incident=incident, kind=ChangeKind.OPENED, actor=actor))
    opening.audited(incident, actor=actor, why=why)
    return incident


def acknowledge(incident: Incident, *, actor: Actor) -> Incident:
    """Say that somebody looks at it; ``acknowledged_at`` is the first time that a human does."""
    return _move(incident, Verb.ACKNOWLEDGE, actor=actor)


def investigate(incident: Incident, *, actor: Actor, reason: str = "") -> Incident:
    """Look for the cause, also again after it seemed identified or mitigated."""
    return _move(incident, Verb.INVESTIGATE, actor=actor, reason=reason)


def identify(incident: Incident, *, actor: Actor, reason: str = "") -> Incident:
    """Say that the cause is known; ``reason`` says which."""
    return _move(incident, Verb.IDENTIFY, actor=actor, reason=reason)


def mitigate(incident: Incident, *, actor: Actor, reason: str = "") -> Incident:
    """Say that the customers are well again, though the cause may still be there."""
    return _move(incident, Verb.MITIGATE, actor=actor, reason=reason)


def resolve(incident: Incident, *, actor: Actor, reason: str = "") -> Incident:
    """Say that it is over; the postmortem's draft follows."""
    return _move(incident, Verb.RESOLVE, actor=actor, reason=reason)


def close(incident: Incident, *, actor: Actor, reason: str = "") -> Incident:
    """Put a resolved incident to rest: its alerts open a new one from now on."""
    return _move(incident, Verb.CLOSE, actor=actor, reason=reason)


def cancel(incident: Incident, *, actor: Actor, reason: str) -> Incident:
    """Say that it never was an incident; needs a reason."""
    return _move(incident, Verb.CANCEL, actor=actor, reason=reason)


@transaction.atomic
def reopen(incident: Incident, *, actor: Actor, reason: str = "") -> Incident:
    """Take up a resolved, closed or cancelled incident again, unless its successor is open."""
    authorize(actor, Permission.RESPOND, incident)
    lock_project(incident.project)
    if incident.key:
        successor = Incident.objects.filter(project=incident.project_id, key=incident.key, is_open=True)
        other = successor.exclude(pk=incident.pk).first()
        if other is not None:
            raise Conflict(f"{other} is open for the same alerts: act on that one.")
    return transitions.move(incident, Verb.REOPEN, actor=actor, reason=reason)


@transaction.atomic
def merge(incident: Incident, *, into: Incident, actor: Actor, reason: str = "") -> Incident:
    """Merge an open incident into another open one of the same project: its alerts go with it."""
    authorize(actor, Permission.RESPOND, incident)
    authorize(actor, Permission.RESPOND, into)
    return merge_into(incident, into, actor=actor, reason=reason)


@transaction.atomic
def take_command(incident: Incident, *, actor: Actor) -> Incident:
    """Become the incident's commander; taking it from somebody else is allowed and stands in the timeline."""
    authorize(actor, Permission.RESPOND, incident)
    if actor.kind is not ActorKind.USER or actor.user_id is None:
        raise Invalid("Only a person can command an incident.")
    row = _open_row(incident, "take command of")
    if row.commander_id == actor.user_id:
        raise Conflict(f"You command {row} already.")
    before = row.commander.name or row.commander.username if row.commander else ""
    row.commander = User.objects.get(pk=actor.user_id)
    row.acknowledged_at = row.acknowledged_at or now()
    row.save(update_fields=["commander", "acknowledged_at", "updated_at"])
    text = f"{actor.name} took command" + (f" from {before}" if before else "")
    data: dict[str, JsonValue] = {"commander": actor.name, "before": before}
    return _told(row, ChangeKind.COMMAND_TAKEN, text, actor=actor, data=data)


@transaction.atomic
def add_note(incident: Incident, text: str, *, actor: Actor) -> TimelineEvent:
    """Put a human's words (at most 4,000 characters) on the timeline, whatever the incident's status."""
    authorize(actor, Permission.RESPOND, incident)
    words = text.strip()
    if not words:
        raise Invalid("The note is empty: write what you saw or did.")
    if len(words) > MAX_NOTE:
        raise Invalid(f"The note has {len(words):,} characters: keep it below {MAX_NOTE:,}.")
    row = transitions.lock(incident)
    event = timeline.add(row, "note", words, actor=actor)
    incident_changed(IncidentChange(incident=row, kind=ChangeKind.NOTED, actor=actor))
    record(actor, "incident.noted", row, data={"event": str(event.pk)})
    return event


@transaction.atomic
def set_severity(incident: Incident, severity: str, *, actor: Actor, reason: str = "") -> Incident:
    """Correct how bad it is; alerts that join later do not overrule a person's judgement."""
    authorize(actor, Permission.RESPOND, incident)
    row = _open_row(incident, "change the severity of")
    after = _severity(severity)
    if row.severity == after:
        raise Conflict(f"{row} is {after} already.")
    before, row.severity = row.severity, after
    row.save(update_fields=["severity", "updated_at"])
    text = f"{actor.name} changed the severity from {before} to {after}" + (f": {reason}" if reason else "")
    data: dict[str, JsonValue] = {"from": before, "to": after, "reason": reason}
    return _told(row, ChangeKind.SEVERITY_CHANGED, text, actor=actor, data=data)


@transaction.atomic
def set_auto_resolve(incident: Incident, mode: str, *, actor: Actor) -> Incident:
    """``never``: hold the incident open whatever its alerts do; ``all``: let them resolve it again."""
    authorize(actor, Permission.RESPOND, incident)
    row = _open_row(incident, "change how to resolve")
    if mode not in Incident.AutoResolve.values:
        raise Invalid("Choose all (resolve with the alerts) or never.")
    if row.auto_resolve == mode:
        raise Conflict(f"{row} is set to {mode} already.")
    row.auto_resolve = mode
    # Turned on again after the last alert went away: nobody else will set the clock.
    row.resolve_due_at = resolving.quiet_at(row) if mode == Incident.AutoResolve.ALL else None
    row.save(update_fields=["auto_resolve", "resolve_due_at", "updated_at"])
    held = mode == Incident.AutoResolve.NEVER
    text = f"{actor.name} holds {row} open" if held else f"{actor.name} lets the alerts resolve {row}"
    return _told(row, ChangeKind.CORRECTED, text, actor=actor, data={"auto_resolve": mode})


CORRECTABLE = ("started_at", "detected_at", "acknowledged_at", "contained_at", "mitigated_at", "resolved_at")


@transaction.atomic
def correct_times(
    incident: Incident, times: Mapping[str, datetime | None], *, actor: Actor, reason: str
) -> Incident:
    """Correct timestamps (of ``CORRECTABLE``); the durations follow. Start and detection cannot be unset."""
    authorize(actor, Permission.RESPOND, incident)
    row = transitions.lock(incident)
    if not reason.strip():
        raise Invalid("Say why the times are corrected.")
    before: dict[str, JsonValue] = {}
    after: dict[str, JsonValue] = {}
    for name, moment in times.items():
        if name not in CORRECTABLE:
            raise Invalid(f"{name} is not a time of an incident: choose of {', '.join(CORRECTABLE)}.")
        if moment is None and name in ("started_at", "detected_at"):
            raise Invalid(f"{name} cannot be empty.")
        if moment is not None and (moment.tzinfo is None or moment > now()):
            raise Invalid(f"{name} must be a moment in the past, with its time zone.")
        old: datetime | None = getattr(row, name)
        before[name] = old.isoformat() if old else None
        after[name] = moment.isoformat() if moment else None
        setattr(row, name, moment)
    if not after:
        raise Invalid("Give at least one time to correct.")
    row.save(update_fields=[*after, "updated_at"])
    text = f"{actor.name} corrected {', '.join(after)}: {reason.strip()}"
    return _told(row, ChangeKind.CORRECTED, text, actor=actor, data={"before": before, "after": after})


@transaction.atomic
def mark_contained(incident: Incident, *, at: datetime, by: str, actor: Actor, url: str = "") -> bool:
    """Record the containment run's verified recovery; False when it was contained already or is over.

    For the engine, inside the transaction that finishes the run: ``by`` names it (``high-error-rate v7``).
    It asks for no permission of its own: whoever started the run had it. What was merged meanwhile is followed.
    """
    row = transitions.lock_followed(incident)
    if row.contained_at is not None or row.status not in (*_OPEN_NAMES, Status.RESOLVED):
        return False
    row.contained_at = at
    row.save(update_fields=["contained_at", "updated_at"])
    timeline.add(row, "incident.contained", f"Contained by {by}: recovery is verified", actor=actor, at=at,
                 data={"by": by}, url=url)  # fmt: skip
    incident_changed(IncidentChange(incident=row, kind=ChangeKind.CONTAINED, actor=actor))
    record(actor, "incident.contained", row, data={"by": by})
    return True


_OPEN_NAMES = (Status.TRIAGE, Status.INVESTIGATING, Status.IDENTIFIED, Status.MITIGATED)


@transaction.atomic
def _move(incident: Incident, verb: Verb, *, actor: Actor, reason: str = "") -> Incident:
    authorize(actor, Permission.RESPOND, incident)
    return transitions.move(incident, verb, actor=actor, reason=reason)


def _open_row(incident: Incident, what: str) -> Incident:
    row = transitions.lock(incident)
    if not row.is_open:
        raise Conflict(f"{row} is {row.status}: reopen it to {what} it.")
    return row


def _told(
    row: Incident, kind: ChangeKind, text: str, *, actor: Actor, data: Mapping[str, JsonValue]
) -> Incident:
    name = f"incident.{kind.value}"
    timeline.add(row, name, text, actor=actor, data=data)
    incident_changed(IncidentChange(incident=row, kind=kind, actor=actor))
    record(actor, name, row, data=data)
    return row


def _severity(word: str) -> str:
    try:
        return Sev(word.strip().upper()).value
    except ValueError:
        raise Invalid(f"There is no severity {word[:20]!r}: choose of {', '.join(Sev)}.") from None
