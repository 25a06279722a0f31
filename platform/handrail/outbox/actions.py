"""Put a message into the outbox, in the transaction of the act that it tells of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, TypedDict, Unpack

from django.db import connection, transaction
from django.db.models import F

from handrail.accounts.models import Project
from handrail.accounts.permissions import Permission, authorize
from handrail.audit.actions import record
from handrail.letters import actions as letters
from handrail.letters.models import DeadLetter
from handrail.outbox.models import OutboxMessage
from handrail.shared.actors import Actor
from handrail.shared.clock import database_now, estimated_now
from handrail.shared.errors import Conflict
from handrail.shared.notes import Note, last_note, note
from handrail.shared.statements.reading import columns
from handrail.shared.statements.shapes import row_places, table
from handrail.shared.statements.writing import new_row, parameters, returned
from handrail.shared.wakeups import wake

DELIVER_TASK = "outbox.deliver"


class Options(TypedDict, total=False):
    """What most messages leave out. ``priority`` 0 leaves first, 9 last, 5 is usual.

    ``due_at`` keeps the message until then. ``destination`` is the lane whose rate counts.
    """

    project: Project | None
    priority: int
    due_at: datetime | None
    destination: str


def enqueue(
    channel: str, kind: str, dedupe_key: str, payload: dict[str, Any], **options: Unpack[Options]
) -> OutboxMessage:
    """Write a message that leaves when the current transaction has committed.

    ``payload`` is JSON data: ids of what to render, not what was rendered, so that the newest truth leaves.
    The same ``dedupe_key`` again replaces what has not left yet, and sends anew what has: a burst of changes
    of one row costs one message. Raises TransactionManagementError outside of a transaction, because a
    message that is not committed with its act may tell of something that never happened.
    """
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError(
            "enqueue() must be called inside transaction.atomic(), together with the act it tells of."
        )
    said = _Said(channel, kind, dedupe_key, payload, options)
    if (before := _said_before(said)) is not None:
        return before
    fresh = OutboxMessage(
        channel=channel,
        kind=kind,
        dedupe_key=dedupe_key,
        payload=payload,
        project=options.get("project"),
        priority=options.get("priority", 5),
        due_at=options.get("due_at") or estimated_now() or database_now(),
        destination=options.get("destination", ""),
    )
    message = _stored(fresh)
    note(_Enqueued(said, message))
    wake(DELIVER_TASK)
    return message


@dataclass(frozen=True, slots=True)
class _Said:
    """What :func:`enqueue` was called with."""

    channel: str
    kind: str
    dedupe_key: str
    payload: dict[str, Any]
    options: Options


@dataclass(frozen=True, slots=True)
class _Enqueued(Note):
    """What this transaction has put into the outbox: nobody can have sent it yet."""

    said: _Said
    message: OutboxMessage


def _said_before(said: _Said) -> OutboxMessage | None:
    """The message that this transaction has enqueued already with the very same words, last of all with its key."""
    last = last_note(_Enqueued, lambda enqueued: enqueued.said.dedupe_key == said.dedupe_key)
    return last.message if last is not None and last.said == said else None


@transaction.atomic
def retry_message(message: OutboxMessage, *, actor: Actor) -> OutboxMessage:
    """Make a dead message due again, with all its attempts. Needs ``operate``, or ``own`` without a project.

    Raises Conflict for one that is not dead.
    """
    if message.project_id is None:
        authorize(actor, Permission.OWN, None)
    else:
        authorize(actor, Permission.OPERATE, message)
    revived = OutboxMessage.objects.filter(pk=message.pk, state=OutboxMessage.State.DEAD).update(
        state=OutboxMessage.State.PENDING,
        attempts=0,
        due_at=database_now(),
        lease_until=None,
        version=F("version") + 1,
    )
    if not revived:
        raise Conflict("This message is not a dead letter (any more).")
    letters.end("message", message.pk, DeadLetter.State.RETRIED, by=actor.name)
    wake(DELIVER_TASK)
    record(actor, "message.retried", message, data={"channel": message.channel, "kind": message.kind})
    return OutboxMessage.objects.get(pk=message.pk)


def _stored(fresh: OutboxMessage) -> OutboxMessage:
    """Insert the message, or re-arm the stored one of its key; what had become a dead letter is none any more."""
    if (message := _upserted(fresh)) is not None:
        return message
    message = _upserted(fresh, even_dead=True) or fresh
    there_is_newer = "There is something newer to send."
    letters.end("message", message.pk, DeadLetter.State.SETTLED, by="Handrail", reason=there_is_newer)
    return message


def _upserted(fresh: OutboxMessage, *, even_dead: bool = False) -> OutboxMessage | None:
    """The message as it is stored now; None when the one of its key is dead, unless ``even_dead``."""
    row = new_row(fresh)
    rows = returned(_upsert(tuple(row), even_dead=even_dead), parameters(OutboxMessage, row))
    return columns(OutboxMessage).instance(rows[0]) if rows else None


@cache
def _upsert(names: tuple[str, ...], *, even_dead: bool) -> str:
    """The text of the statement. One that has left, or died, begins anew, with the new content.

    One that is being sent stays with its sender, who finds the version changed and sends again: two senders at once
    could leave the older text on top. One that waits for a retry keeps waiting.
    """
    least = "least" if connection.vendor == "postgresql" else "min"
    sent, dead = OutboxMessage.State.SENT.value, OutboxMessage.State.DEAD.value

    def anew(value: str, otherwise: str) -> str:
        return f"CASE WHEN it.state IN ('{sent}', '{dead}') THEN {value} ELSE {otherwise} END"

    waiting = f"CASE WHEN it.attempts = 0 THEN {least}(it.due_at, excluded.due_at) ELSE it.due_at END"
    changes = {
        "state": anew(f"'{OutboxMessage.State.PENDING.value}'", "it.state"),
        "attempts": anew("0", "it.attempts"),
        "last_error": anew("''", "it.last_error"),
        "due_at": anew("excluded.due_at", waiting),
        "priority": anew("excluded.priority", f"{least}(it.priority, excluded.priority)"),
        **{name: f"excluded.{name}" for name in ("kind", "payload", "destination")},
        "version": "it.version + 1",
    }
    text = ["INSERT INTO", table(OutboxMessage), f"AS it ({', '.join(names)}) VALUES"]
    text += [f"({', '.join(row_places(OutboxMessage, names))}) ON CONFLICT (dedupe_key) DO UPDATE SET"]
    text += [", ".join(f"{name} = {value}" for name, value in changes.items())]
    text += [] if even_dead else [f"WHERE it.state <> '{dead}'"]
    return " ".join([*text, "RETURNING", ", ".join(columns(OutboxMessage).names)])
