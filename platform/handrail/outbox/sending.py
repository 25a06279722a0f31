"""Send what is due: claim one message under a lease, send it, mark it; at least once, never two at once.

A process that dies between sending and marking leaves the message to be sent again when its lease ends, so
senders update in place where the vendor can do so. Each destination has a lane with its own rate; what a
vendor's ``Retry-After`` says becomes a due time, nobody sleeps.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from handrail.letters import actions as letters
from handrail.outbox.backoff import MAX_ATTEMPTS, delay_seconds
from handrail.outbox.errors import Retry, Undeliverable
from handrail.outbox.models import OutboxLane, OutboxMessage
from handrail.shared.clock import database_now
from handrail.shared.failpoints import reach
from handrail.shared.statements.literal import literally

log = structlog.get_logger(__name__)

LEASE = timedelta(seconds=60)
"""Longer than any sender's timeout, so that a lease that ended means a process that died."""

State = OutboxMessage.State


class Sender(Protocol):
    """Sends one message of a channel. Raises :class:`Retry` or :class:`Undeliverable`."""

    def __call__(self, message: OutboxMessage) -> None:
        """Send; returning means sent."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A channel's sender and its pace: seconds between two messages to one destination."""

    sender: Sender
    interval: float


_senders: dict[str, Registered] = {}


def register_sender(channel: str, sender: Sender, *, interval: float = 0.0) -> None:
    """Say who sends the messages of ``channel``, and how many seconds lie between two to one destination."""
    _senders[channel] = Registered(sender, interval)


def unregister_sender(channel: str) -> None:
    """Forget a channel's sender: its messages wait."""
    _senders.pop(channel, None)


def deliver_due(limit: int = 50) -> int:
    """Send at most ``limit`` messages that are due, most urgent first; returns how many were tried."""
    tried = 0
    while tried < limit:
        message = claim()
        if message is None:
            break
        tried += 1
        reach("outbox.after_claim")
        deliver(message)
    return tried


def deliver(message: OutboxMessage) -> None:
    """Send one claimed message and mark how it went."""
    registered = _senders[message.channel]
    try:
        registered.sender(message)
    except Retry as refusal:
        _put_back(message, refusal)
    except Undeliverable as refusal:
        _bury(message, refusal.reason)
    else:
        reach("outbox.after_send")
        _mark_sent(message)
        reach("outbox.after_mark")


def claim() -> OutboxMessage | None:
    """Take the most urgent due message whose lane is free, under a lease and a new fence; None when none is."""
    while True:
        with transaction.atomic():
            now = database_now()
            message = _candidates(now).select_for_update(skip_locked=True).first()
            if message is None:
                return None
            if message.attempts >= MAX_ATTEMPTS:
                _bury(message, message.last_error or "Its sender died each time that it was tried.")
                continue
            if not _take_lane(message, now):
                continue
            message.state = State.SENDING
            message.fence += 1
            message.attempts += 1
            message.lease_until = now + LEASE
            message.save(update_fields=["state", "fence", "attempts", "lease_until"])
            return message


def _candidates(now: datetime) -> QuerySet[OutboxMessage]:
    """What may be claimed at ``now``: due or abandoned, of a known channel, in a free lane; urgent first."""
    busy = OutboxLane.objects.filter(
        channel=OuterRef("channel"), destination=OuterRef("destination"), free_at__gt=now
    )
    return (
        OutboxMessage.objects.filter(channel__in=list(_senders))
        .filter(
            Q(state=State.PENDING, due_at__lte=now) | Q(state=State.SENDING, lease_until__lte=now),
            state__in=literally(State.PENDING, State.SENDING),
        )
        .exclude(Exists(busy))
        .order_by("priority", "due_at", "id")
    )


def _take_lane(message: OutboxMessage, now: datetime) -> bool:
    """Reserve the lane until its next turn; False when another process has just taken it."""
    interval = _senders[message.channel].interval
    if interval <= 0:
        return True
    lane = {"channel": message.channel, "destination": message.destination}
    OutboxLane.objects.bulk_create([OutboxLane(**lane, free_at=now)], ignore_conflicts=True)
    taken = OutboxLane.objects.filter(**lane, free_at__lte=now).update(
        free_at=now + timedelta(seconds=interval)
    )
    return taken == 1


def _mine(message: OutboxMessage) -> QuerySet[OutboxMessage]:
    """The row, as long as nobody has claimed it since: a late sender changes nothing."""
    return OutboxMessage.objects.filter(pk=message.pk, fence=message.fence, state=State.SENDING)


def _mark_sent(message: OutboxMessage) -> None:
    """Sent; or pending again at once when the content changed meanwhile."""
    with transaction.atomic():
        now = database_now()
        sent = (
            _mine(message)
            .filter(version=message.version)
            .update(state=State.SENT, sent_at=now, lease_until=None, last_error="")
        )
        if not sent:
            _mine(message).update(
                state=State.PENDING, sent_at=now, due_at=now, lease_until=None, attempts=0, last_error=""
            )


def _put_back(message: OutboxMessage, refusal: Retry) -> None:
    """Due again later, or a dead letter after the last attempt."""
    delay = delay_seconds(message.attempts)
    if delay is None and refusal.counts:
        _bury(message, f"Given up after {message.attempts} attempts: {refusal.reason}")
        return
    seconds = refusal.after_seconds if refusal.after_seconds is not None else (delay or 0.0)
    with transaction.atomic():
        due_at = database_now() + timedelta(seconds=seconds)
        attempts = F("attempts") if refusal.counts else F("attempts") - 1
        _mine(message).update(
            state=State.PENDING,
            due_at=due_at,
            lease_until=None,
            attempts=attempts,
            last_error=refusal.reason,
        )
        if refusal.holds_lane:
            OutboxLane.objects.filter(
                channel=message.channel, destination=message.destination, free_at__lt=due_at
            ).update(free_at=due_at)
    log.info("message_put_back", message=str(message.pk), seconds=seconds, reason=refusal.reason)


def _bury(message: OutboxMessage, reason: str) -> None:
    """A dead letter, unless the content changed meanwhile: the new one deserves its own attempts."""
    with transaction.atomic():
        row = OutboxMessage.objects.filter(pk=message.pk, fence=message.fence)
        buried = row.filter(version=message.version).update(
            state=State.DEAD, lease_until=None, last_error=reason
        )
        if buried:
            list_dead(message, reason)
        else:
            row.update(state=State.PENDING, due_at=database_now(), lease_until=None, attempts=0)
    log.warning("message_undeliverable", message=str(message.pk), kind=message.kind, reason=reason)


def list_dead(message: OutboxMessage, reason: str) -> None:
    """Put a message that will not be sent on the list of dead letters."""
    to = f" to {message.destination}" if message.destination else ""
    told = f"{message.channel} message “{message.kind}”{to}"
    letters.bury("message", message.pk, project=message.project_id, what=told, why=reason)
