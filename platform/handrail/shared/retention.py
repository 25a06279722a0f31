"""What people are told where something is not kept any more: nothing that was removed ends in silence."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from time import monotonic

from handrail.shared.clock import database_now
from handrail.shared.errors import HandrailError

AT_ONCE_SECONDS = 20.0
"""For so long a duty goes on with further batches; what is left then waits for its next turn."""


class Removed(HandrailError):
    """It was there once, and retention has removed it; the message says when."""

    code = "removed"
    status = 410


def removed_words(what: str, at: datetime, days: int) -> str:
    """One sentence about ``what`` ("The log"), which was kept for ``days`` days."""
    return f"{what} was removed on {at:%Y-%m-%d} by retention of {days} days."


def cutoff(days: int) -> datetime | None:
    """What ended before this moment has been kept for ``days`` days; None for 0, which means for ever."""
    return database_now() - timedelta(days=days) if days else None


def in_batches(batch: Callable[[], bool]) -> int:
    """Remove batch after batch as long as each says that there may be more; how many there were."""
    began, count = monotonic(), 1
    while batch() and monotonic() - began < AT_ONCE_SECONDS:
        count += 1
    return count
