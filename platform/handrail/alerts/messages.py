"""Applies a message, which is no alert: tells what is above, and keeps what was decided about it."""

from __future__ import annotations

from django.db import transaction

from handrail.alerts.events import Message
from handrail.alerts.hooks import MessageReceived, message_received
from handrail.alerts.models import Delivery
from handrail.shared.actors import Actor


def apply(message: Message, delivery: Delivery, *, actor: Actor) -> str:
    """Tell of one message, and write its verdict, in one transaction; returns what was made of it, in words."""
    told: list[str] = []
    waiting = Delivery.objects.filter(pk=delivery.pk, verdict=Delivery.Verdict.RECEIVED)
    with transaction.atomic():
        if not waiting.select_for_update(no_key=True).exists():
            return f"{message.title}: applied before"
        message_received(MessageReceived(message=message, delivery=delivery, actor=actor, tell=told.append))
        words = f"{message.title}: {' '.join(told)}"
        # With what it has started: nobody who dies after this commit leaves it to be taken up again.
        waiting.update(verdict=Delivery.Verdict.PROCESSED, explanation=[words], error="", due_at=None)
    return words
