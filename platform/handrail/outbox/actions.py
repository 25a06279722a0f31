"""Put a message into the outbox, in the transaction of the act that it tells of."""

from __future__ import annotations

from datetime import datetime
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
from handrail.shared.clock import database_now
from handrail.shared.errors import Conflict
from handrail.shared.statements.reading import columns, fetch
from handrail.shared.statements.shapes import table
from handrail.shared.statements.writing import Batch, insert_once
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
    due_at = options.get("due_at") or database_now()
    fresh = OutboxMessage(
        channel=channel,
        kind=kind,
        dedupe_key=dedupe_key,
        payload=payload,
        project=options.get("project"),
        priority=options.get("priority", 5),
        due_at=due_at,
        destination=options.get("destination", ""),
    )
    message = fresh if insert_once(fresh) else _replaced(fresh)
    wake(DELIVER_TASK)
    return message


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


def _replaced(fresh: OutboxMessage) -> OutboxMessage:
    """Re-arm the stored message of the same key; one that was removed just now is stored anew."""
    existing = _rearm(fresh)
    if existing is None:
        fresh.save(force_insert=True)
    return existing or fresh


def _rearm(fresh: OutboxMessage) -> OutboxMessage | None:
    """Give the stored message of this key the new content; None when there is none yet.

    One that is being sent stays with its sender, who finds the version changed and sends again: two senders
    at once could leave the older text on top. One that waits for a retry keeps waiting.
    """
    existing = _locked(fresh.dedupe_key)
    if existing is None:
        return None
    was_dead = existing.state == OutboxMessage.State.DEAD
    done = existing.state in (OutboxMessage.State.SENT, OutboxMessage.State.DEAD)
    if done:
        existing.state = OutboxMessage.State.PENDING
        existing.attempts = 0
        existing.last_error = ""
        existing.due_at = fresh.due_at
    elif existing.attempts == 0:
        existing.due_at = min(existing.due_at, fresh.due_at)
    existing.kind = fresh.kind
    existing.payload = fresh.payload
    existing.priority = min(existing.priority, fresh.priority) if not done else fresh.priority
    existing.destination = fresh.destination
    existing.version += 1
    changed = (
        "state",
        "attempts",
        "last_error",
        "due_at",
        "kind",
        "payload",
        "priority",
        "destination",
        "version",
    )
    batch = Batch()
    batch.update(
        OutboxMessage, existing.pk, {name: getattr(existing, name) for name in changed}, guarded=True
    )
    batch.execute()
    if was_dead:
        letters.end(
            "message",
            existing.pk,
            DeadLetter.State.SETTLED,
            by="Handrail",
            reason="There is something newer to send.",
        )
    return existing


def _locked(dedupe_key: str) -> OutboxMessage | None:
    lock = "FOR UPDATE" if connection.vendor == "postgresql" else ""
    text = ["SELECT", columns(OutboxMessage).of("message"), "FROM", table(OutboxMessage), "AS message"]
    rows = fetch(" ".join([*text, "WHERE message.dedupe_key = %s", lock]), [dedupe_key])
    return columns(OutboxMessage).instance(rows[0]) if rows else None
