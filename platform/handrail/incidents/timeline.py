"""The timeline of an incident: append-only events, numbered without gaps, each leading to its evidence."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias, TypedDict, Unpack

from django.db import connection, models, transaction

from handrail.incidents.lifecycle import Status
from handrail.incidents.models import Incident, TimelineEvent
from handrail.shared.actors import Actor
from handrail.shared.clock import database_now, now
from handrail.shared.notes import Note, last_note, note
from handrail.shared.statements.reading import Row, fetch
from handrail.shared.statements.shapes import table
from handrail.shared.statements.writing import Batch, new_row, written

MAX_TEXT = 4_000
MAX_URL = 300
MAX_KEY = 120

Subject: TypeAlias = models.Model | tuple[str, uuid.UUID | str]
"""What an event is about: a row, or the kind of thing (``run``, ``step``) and its id."""


class Details(TypedDict, total=False):
    """What an event may carry beside its words.

    ``at``: when it happened (default: now). ``data``: JSON facts, which the postmortem is composed from.
    ``url``: where the evidence is. ``dedupe_key``: an event with this key is written once in the incident.
    """

    at: datetime | None
    data: Mapping[str, object] | None
    subject: Subject | None
    url: str
    dedupe_key: str


def add(
    incident: Incident, kind: str, text: str, *, actor: Actor, **details: Unpack[Details]
) -> TimelineEvent:
    """Append one event and return it; for a known ``dedupe_key``, return the event that is there already.

    Locks the incident's row until the transaction ends: in the lock order it comes after run, limiter and
    step, and before the audit head. ``incident`` is brought up to date in its ``timeline_n``.
    """
    dedupe_key = details.get("dedupe_key", "")[:MAX_KEY]
    # Nobody comes back from a failure in here: the transaction around it has the savepoint, if it wants one.
    with transaction.atomic(savepoint=False):
        ours = _ours(incident.pk)
        if ours is not None and (not dedupe_key or dedupe_key not in ours.keys):
            last, status, draft_due_at, known = ours.n, incident.status, incident.draft_due_at, None
        else:
            last, status, draft_due_at, known = _locked(incident.pk, dedupe_key)
        if known is not None:
            return TimelineEvent.objects.get(pk=known)
        place = last + 1
        event = _event(incident, kind, text, actor, details)
        event.n = place
        event.dedupe_key = dedupe_key
        changes: dict[str, object] = {"timeline_n": place}
        if status in (Status.RESOLVED, Status.CLOSED) and draft_due_at is None:
            # What happens after the end belongs into the postmortem, too.
            changes["draft_due_at"] = incident.draft_due_at = database_now()
        batch = Batch()
        batch.insert(TimelineEvent, [new_row(event)])
        batch.update(Incident, incident.pk, changes, guarded=True)
        batch.execute()
        if ours is not None:
            keys = ours.keys | {dedupe_key} if dedupe_key else ours.keys
            note(_Ours(incident.pk, place, keys))
    written(event)
    incident.timeline_n = place
    return event


@dataclass(frozen=True, slots=True)
class _Ours(Note):
    """An incident that this transaction has opened: nobody else sees it, so that its last place and the keys of its
    events are known. Of the notes about one incident the last counts.
    """

    incident_id: uuid.UUID
    n: int = 0
    keys: frozenset[str] = frozenset()
    is_known: bool = True


@dataclass(frozen=True, slots=True)
class _Held(Note):
    """An incident whose row this transaction has locked."""

    incident_id: uuid.UUID


def lock(incident_id: uuid.UUID) -> None:
    """Lock the incident's row until the transaction ends, before whatever comes after it in the lock order.

    It asks nothing where this transaction has opened the incident, or locked it.
    """
    if not holds(incident_id):
        _locked(incident_id, "")


def holds(incident_id: uuid.UUID) -> bool:
    """Whether this transaction has opened the incident, or locked its row."""
    held = last_note(_Held, lambda held: held.incident_id == incident_id)
    return held is not None or _ours(incident_id) is not None


def opened_here(incident: Incident) -> None:
    """Say that the current transaction has just inserted the incident; its first event need not ask for its place."""
    note(_Ours(incident.pk))


def moved_here(incident_id: uuid.UUID) -> None:
    """Say that the current transaction changes the incident's status: from now on its row is asked."""
    if _ours(incident_id) is not None:
        note(_Ours(incident_id, is_known=False))


def _ours(incident_id: uuid.UUID) -> _Ours | None:
    last = last_note(_Ours, lambda ours: ours.incident_id == incident_id)
    return last if last is not None and last.is_known else None


def _locked(incident_id: uuid.UUID, dedupe_key: str) -> Row:
    """The incident's last place, its status, when its draft is due, and the id of the event that has the key already.

    Raises Incident.DoesNotExist. One question: what it sees of the events was there before it waited for the lock, so
    that it is asked again if the place has moved meanwhile, which every event does.
    """
    # Inserting rows that point to the incident need not wait for us.
    lock = "FOR NO KEY UPDATE OF it" if connection.vendor == "postgresql" else ""
    text = ["SELECT it.timeline_n, it.status, it.draft_due_at,"]
    text += ["(SELECT seen.timeline_n FROM", table(Incident), "AS seen WHERE seen.id = it.id),"]
    text += ["(", _known_text("it.id"), ")"] if dedupe_key else ["NULL"]
    text += ["FROM", table(Incident), "AS it WHERE it.id = %s", lock]
    rows = fetch(" ".join(text), [*([dedupe_key] if dedupe_key else []), incident_id])
    if not rows:
        raise Incident.DoesNotExist
    note(_Held(incident_id))
    last, status, draft_due_at, seen, known = rows[0]
    if dedupe_key and seen != last:
        known = next((row[0] for row in fetch(_known_text("%s"), [incident_id, dedupe_key])), None)
    return last, status, draft_due_at, known


def _known_text(incident: str) -> str:
    """Asks for an incident's event by its key. The index holds only events that have one."""
    text = ["SELECT id FROM", table(TimelineEvent), "WHERE incident_id =", incident]
    return " ".join([*text, "AND dedupe_key = %s AND dedupe_key <> ''"])


def _event(incident: Incident, kind: str, text: str, actor: Actor, details: Details) -> TimelineEvent:
    subject_type, subject_id = _named(details.get("subject"))
    return TimelineEvent(
        incident=incident,
        kind=kind,
        text=shortened(text),
        data=dict(details.get("data") or {}),
        at=details.get("at") or now(),
        actor_kind=actor.kind,
        actor_id=str(actor.user_id or ""),
        actor_name=actor.name[:200],
        channel=actor.channel,
        subject_type=subject_type,
        subject_id=subject_id,
        url=details.get("url", "")[:MAX_URL],
    )


def shortened(text: str, limit: int = MAX_TEXT) -> str:
    """``text`` without NUL, which PostgreSQL refuses, cut to ``limit`` characters with an ellipsis."""
    clean = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def _named(subject: Subject | None) -> tuple[str, str]:
    match subject:
        case None:
            return "", ""
        case (kind, identifier):
            return str(kind), str(identifier)
        case _:
            return type(subject).__name__.lower(), str(subject.pk)
