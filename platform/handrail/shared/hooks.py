"""What is below tells what is above: typed hooks, called in the same transaction, wired in one place.

A lower app declares ``alert_changed: Hook[AlertChange] = Hook("alert_changed")`` and calls it; the
subscribers are connected in :mod:`handrail.config.wiring`, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

Payload = TypeVar("Payload")


class Hook(Generic[Payload]):
    """One kind of event and its subscribers, called in the order in which they were connected."""

    def __init__(self, name: str) -> None:
        """``name`` is for people who read a traceback."""
        self.name = name
        self._subscribers: dict[Callable[[Payload], None], Callable[[Payload], bool]] = {}

    def connect(
        self, subscriber: Callable[[Payload], None], *, when: Callable[[Payload], bool] = lambda _: True
    ) -> None:
        """Add a subscriber, who is told only ``when`` is true; connecting the same one again changes nothing.

        ``when`` looks at the payload alone and asks no database: it says whether anything has to be told at all.
        """
        self._subscribers.setdefault(subscriber, when)

    def is_heard(self, payload: Payload) -> bool:
        """Whether any subscriber would be told."""
        return any(when(payload) for when in self._subscribers.values())

    def __call__(self, payload: Payload) -> None:
        """Tell every subscriber; what one raises undoes the whole transaction."""
        for subscriber, when in self._subscribers.items():
            if when(payload):
                subscriber(payload)
