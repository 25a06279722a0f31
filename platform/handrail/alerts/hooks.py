"""What alerts tell those above them: an episode opened, changed, was repeated, ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

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
