"""The machine room: whether Handrail itself is well, in a few figures without any project's content."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import Max

from handrail.alerts.models import Delivery
from handrail.letters.queries import Figures, figures
from handrail.outbox.queries import ChannelHealth, health_of
from runbooks.queries.machine import Machine, machine


@dataclass(frozen=True, slots=True)
class MachineRoom:
    """``letters`` are the open dead letters of all projects together."""

    machine: Machine
    slack: ChannelHealth
    slack_is_set_up: bool
    letters: Figures
    last_delivery_at: datetime | None

    @property
    def dead_letters(self) -> int:
        """What was given up, and waits for somebody."""
        return self.letters.open

    @property
    def is_well(self) -> bool:
        """Whether nothing here needs an operator."""
        return self.machine.is_well and not self.dead_letters and not self.slack.trouble

    @property
    def marks(self) -> tuple[object, ...]:
        """What a page that follows it compares: without ages, which the page counts on by itself."""
        ready_long = self.machine.oldest_ready_seconds >= 5
        return (
            self.machine.workers_alive,
            self.machine.workers,
            self.machine.ready,
            self.machine.circuits_open,
            ready_long,
            self.slack,
            self.letters,
            self.last_delivery_at,
        )


def machine_room() -> MachineRoom:
    """The figures, in some six queries."""
    return MachineRoom(
        machine=machine(),
        slack=health_of("slack"),
        slack_is_set_up=bool(settings.SLACK_BOT_TOKEN),
        letters=figures(),
        last_delivery_at=Delivery.objects.aggregate(at=Max("last_seen_at"))["at"],
    )
