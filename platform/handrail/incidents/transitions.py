"""The one place where an incident's status is written: lock, ask the table, write, tell."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from handrail.alerts.models import Alert
from handrail.audit.actions import record
from handrail.incidents import timeline
from handrail.incidents.hooks import ChangeKind, IncidentChange, incident_changed
from handrail.incidents.keys import STORM_KEY
from handrail.incidents.lifecycle import EVENT_KINDS, OPEN, TABLE, Status, Verb, refusal, target
from handrail.incidents.models import Incident, TimelineEvent
from handrail.shared.actors import Actor, ActorKind
from handrail.shared.clock import database_now, now
from handrail.shared.errors import Conflict, Invalid
from handrail.shared.statements.compiled import Compiled

MAX_REASON = 500

_STAMPS: dict[Verb, str] = {
    Verb.MITIGATE: "mitigated_at",
    Verb.RESOLVE: "resolved_at",
    Verb.CLOSE: "closed_at",
}
_ACKNOWLEDGING = frozenset({Verb.ACKNOWLEDGE, Verb.INVESTIGATE, Verb.IDENTIFY, Verb.MITIGATE, Verb.RESOLVE})
"""Whoever does one of these looks at the incident: a human who does has acknowledged it."""

_CHANGES: dict[Verb, ChangeKind] = {
    Verb.ACKNOWLEDGE: ChangeKind.ACKNOWLEDGED,
    Verb.INVESTIGATE: ChangeKind.INVESTIGATING,
    Verb.IDENTIFY: ChangeKind.IDENTIFIED,
    Verb.MITIGATE: ChangeKind.MITIGATED,
    Verb.RESOLVE: ChangeKind.RESOLVED,
    Verb.CLOSE: ChangeKind.CLOSED,
    Verb.CANCEL: ChangeKind.CANCELLED,
    Verb.MERGE: ChangeKind.MERGED,
    Verb.REOPEN: ChangeKind.REOPENED,
}


def lock(incident: Incident) -> Incident:
    """The incident's row, fresh and locked until the transaction ends."""
    row = _LOCKED.first(incident.pk)
    if row is None:
        raise Incident.DoesNotExist
    return row


_LOCKED = Compiled(
    lambda incident: (
        Incident.objects.order_by()
        .select_for_update(no_key=True, of=("self",))
        .select_related("project", "service", "environment")
        .filter(pk=incident)
    )
)


def lock_followed(incident: Incident) -> Incident:
    """The incident that this one was merged into, over any number of merges, fresh and locked; itself if none."""
    row = lock(incident)
    while row.merged_into is not None:
        row = lock(row.merged_into)
    return row


@transaction.atomic
def move(
    incident: Incident,
    verb: Verb,
    *,
    actor: Actor,
    reason: str = "",
    into: Incident | None = None,
    alert: Alert | None = None,
) -> Incident:
    """Do ``verb``: row, timeline, hook and audit entry in one transaction. Returns the fresh row.

    Whoever calls this has checked that the actor may. ``into`` is where a merged incident goes, ``alert`` what is
    behind the change.
    Raises Conflict in words when the verb does not apply any more, Invalid when a needed reason is missing.
    """
    row = lock(incident)
    timeline.moved_here(row.pk)
    before = Status(row.status)
    after = target(before, verb)
    if after is None or (verb is Verb.ACKNOWLEDGE and _is_acknowledged(row, actor)):
        raise Conflict(_refused(row, verb))
    reason = timeline.shortened(reason.strip(), MAX_REASON)
    if TABLE[verb].needs_reason and not reason:
        raise Invalid(f"Say why {row} is {TABLE[verb].done}: a reason is needed.")
    moment = now()
    _write(row, verb, after, actor, moment)
    row.status_reason = reason
    if into is not None:
        row.merged_into = into
    row.save(update_fields=_WRITTEN)
    timeline.add(
        row,
        EVENT_KINDS[verb],
        _in_words(row, verb, actor, reason, into),
        actor=actor,
        at=moment,
        data={"from": before.value, "to": after.value, "reason": reason},
    )
    source = alert.source if alert is not None else None
    incident_changed(
        IncidentChange(
            incident=row,
            kind=_CHANGES[verb],
            actor=actor,
            alert=alert,
            source=source,
            storm=row.key == STORM_KEY,
        )
    )
    record(
        actor,
        EVENT_KINDS[verb],
        row,
        data={"from": before.value, "to": after.value, "reason": reason},
    )
    return row


_WRITTEN = [
    "status", "status_reason", "is_open", "acknowledged_at", "contained_at", "mitigated_at", "resolved_at",
    "closed_at", "merged_into", "resolve_due_at", "draft_due_at", "updated_at",
]  # fmt: skip


def _write(row: Incident, verb: Verb, after: Status, actor: Actor, moment: datetime) -> None:
    row.status = after.value
    row.is_open = after in OPEN
    stamp = _STAMPS.get(verb)
    if stamp is not None:
        setattr(row, stamp, moment)
    if verb in _ACKNOWLEDGING and actor.kind is ActorKind.USER and row.acknowledged_at is None:
        row.acknowledged_at = moment
    if verb is Verb.REOPEN:
        # What was contained and resolved did not hold: the clocks run on, the timeline keeps the old moments.
        row.contained_at = row.mitigated_at = row.resolved_at = row.closed_at = None
        row.draft_due_at = None
    if verb is Verb.INVESTIGATE:
        row.mitigated_at = None
    if not row.is_open:
        row.resolve_due_at = None
    if after is Status.RESOLVED:
        row.draft_due_at = database_now()


def _is_acknowledged(row: Incident, actor: Actor) -> bool:
    if actor.kind is ActorKind.USER:
        return row.acknowledged_at is not None
    return row.status != Status.TRIAGE


def _refused(row: Incident, verb: Verb) -> str:
    """The table's words, and who was faster, when, and where."""
    if verb is Verb.ACKNOWLEDGE and row.is_open:
        message, kind = f"{row} is acknowledged already.", ""
    else:
        message, kind = refusal(str(row), Status(row.status), verb), f"incident.{row.status}"
    events = TimelineEvent.objects.filter(incident=row)
    if kind:
        last = events.filter(kind=kind).order_by("-n").first()
    else:
        last = events.filter(actor_kind=ActorKind.USER, kind__in=_ACKNOWLEDGING_KINDS).order_by("n").first()
    if last is None:
        return message
    return f"{message} ({last.actor_name}, {last.at:%H:%M:%S} UTC, {last.channel})"


_ACKNOWLEDGING_KINDS = [EVENT_KINDS[verb] for verb in sorted(_ACKNOWLEDGING)]


def _in_words(row: Incident, verb: Verb, actor: Actor, reason: str, into: Incident | None) -> str:
    words = {
        Verb.ACKNOWLEDGE: f"{actor.name} acknowledged {row}",
        Verb.INVESTIGATE: f"{actor.name} is investigating {row}",
        Verb.IDENTIFY: f"{actor.name} identified the cause of {row}",
        Verb.MITIGATE: f"{actor.name} mitigated {row}",
        Verb.RESOLVE: f"{actor.name} resolved {row}",
        Verb.CLOSE: f"{actor.name} closed {row}",
        Verb.CANCEL: f"{actor.name} cancelled {row}",
        Verb.MERGE: f"{actor.name} merged {row} into {into}",
        Verb.REOPEN: f"{actor.name} reopened {row}",
    }[verb]
    return f"{words}: {reason}" if reason else words
