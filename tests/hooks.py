"""Who hears of a hook while a test looks: those that it names, in place of the product's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Payload = TypeVar("Payload")


def heard_by(
    *subscribers: Callable[[Payload], None],
) -> dict[Callable[[Payload], None], Callable[[Payload], bool]]:
    """Subscribers that are told of everything, in the form that a hook keeps them."""
    return {subscriber: lambda _: True for subscriber in subscribers}
