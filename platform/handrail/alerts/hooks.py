"""What is told to those above: an episode opened, changed, was repeated, ended; a message came."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from handrail.alerts.events import Message
from handrail.alerts.models import Alert, Delivery
from handrail.shared.actors import Actor
from handrail.shared.hooks import Hook


class AlertChangeKind(StrEnum):
    """What an event did to its episode."""

    OPENED = "opened"
    REPEATED = "repeated"
    UPDATED = "updated"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertChange:
    """One change, told in the transaction that makes it, while the alert's row is locked.

    ``updated``: its status or its severity is another one. ``repeated``: nothing that matters is new.
    """

    alert: Alert
    kind: AlertChangeKind
    delivery: Delivery
    actor: Actor


alert_changed: Hook[AlertChange] = Hook("alert_changed")


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageReceived:
    """A message came, told in the transaction that holds all that follows from it.

    It is told again when that transaction failed; the delivery's verdict is part of it.
    ``tell`` keeps what is decided about it, in words, with the delivery.
    """

    message: Message
    delivery: Delivery
    actor: Actor
    tell: Callable[[str], None]


message_received: Hook[MessageReceived] = Hook("message_received")
