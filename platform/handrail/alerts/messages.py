"""Applies a message, which is no alert: tells what is above, and keeps what was decided about it."""

from __future__ import annotations

from django.db import transaction

from handrail.alerts.events import Message
from handrail.alerts.hooks import MessageReceived, message_received
from handrail.alerts.models import Delivery
from handrail.shared.actors import Actor


def apply(message: Message, delivery: Delivery, *, actor: Actor) -> str:
    """Tell of one message in one transaction; returns what was made of it, in words.

    Whoever is told makes sure that the same delivery twice does no more than once.
    """
    told: list[str] = []
    with transaction.atomic():
        message_received(MessageReceived(message=message, delivery=delivery, actor=actor, tell=told.append))
    return f"{message.title}: {' '.join(told)}"
