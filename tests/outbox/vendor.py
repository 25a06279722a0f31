"""A vendor that is a list."""

from __future__ import annotations

from collections.abc import Callable

from handrail.outbox.models import OutboxMessage


class Vendor:
    """Keeps what it is sent; ``then`` may act or refuse while a message is being sent."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.then: Callable[[OutboxMessage], None] = lambda message: None

    def __call__(self, message: OutboxMessage) -> None:
        self.then(message)
        self.sent.append(str(message.payload["text"]))
