"""What waits in the outbox, and what could not be delivered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Max, Min, Q, QuerySet

from handrail.accounts.models import Project
from handrail.outbox.models import OutboxMessage
from handrail.shared.clock import database_now
from handrail.shared.statements.literal import literally


@dataclass(frozen=True, slots=True)
class Backlog:
    """How the outbox is doing. ``oldest_seconds`` is how long the oldest due message has been due."""

    waiting: int
    oldest_seconds: float
    dead: int


def is_due(moment: datetime) -> bool:
    """Is there a message that was due at ``moment`` and is not being sent?"""
    return OutboxMessage.objects.filter(
        Q(state=OutboxMessage.State.PENDING, due_at__lte=moment)
        | Q(state=OutboxMessage.State.SENDING, lease_until__lte=moment),
        state__in=literally(OutboxMessage.State.PENDING, OutboxMessage.State.SENDING),
    ).exists()


def dead_letters(projects: QuerySet[Project]) -> QuerySet[OutboxMessage]:
    """The messages that could not be delivered, of projects that the reader may see; newest first."""
    return OutboxMessage.objects.filter(state=OutboxMessage.State.DEAD, project__in=projects).order_by(
        "-due_at"
    )


def backlog() -> Backlog:
    """The figures for the machine room and for metrics; counts only, no content."""
    pending = OutboxMessage.objects.filter(state=OutboxMessage.State.PENDING)
    oldest = pending.aggregate(at=Min("due_at"))["at"]
    late = (database_now() - oldest).total_seconds() if oldest is not None else 0.0
    return Backlog(
        waiting=pending.count(),
        oldest_seconds=max(0.0, late),
        dead=OutboxMessage.objects.filter(state=OutboxMessage.State.DEAD).count(),
    )


@dataclass(frozen=True, slots=True)
class ChannelHealth:
    """How sending to one channel goes. ``trouble`` is the last error of a message that is still retried."""

    sent_at: datetime | None
    waiting: int
    dead: int
    trouble: str


def health_of(channel: str) -> ChannelHealth:
    """The channel's figures in one query, and a second one for the error when something is being retried."""
    messages = OutboxMessage.objects.filter(channel=channel)
    retried = Q(state=OutboxMessage.State.PENDING, attempts__gt=0) & ~Q(last_error="")
    counted = messages.aggregate(
        sent_at=Max("sent_at"),
        waiting=Count("pk", filter=Q(state__in=[OutboxMessage.State.PENDING, OutboxMessage.State.SENDING])),
        dead=Count("pk", filter=Q(state=OutboxMessage.State.DEAD)),
        retried=Count("pk", filter=retried),
    )
    trouble = ""
    if counted["retried"]:
        trouble = messages.filter(retried).order_by("-due_at").values_list("last_error", flat=True)[0]
    return ChannelHealth(counted["sent_at"], counted["waiting"], counted["dead"], trouble)
