"""Time: aware UTC datetimes; the database's clock where leases and timers are decided."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from django.db import connection


def now() -> datetime:
    """This process's wall clock, for what people read. Never for leases, timers or deadlines."""
    return datetime.now(UTC)


def database_now() -> datetime:
    """The database's clock, the only one that decides leases, timers and deadlines."""
    began = steady()
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {clock_expression()}")
        row = cursor.fetchone()
    return tell_time(row[0], began)


def clock_expression() -> str:
    """The database's clock in SQL, for :func:`tell_time`.

    SQLite's is the machine's, to a millisecond, whatever this process takes for the time: days since a noon in
    -4713, as seconds since 1970.
    """
    if connection.vendor == "postgresql":
        return "clock_timestamp()"
    return "(julianday('now') - 2440587.5) * 86400.0"


def steady() -> float:
    """Seconds of a clock that nobody sets and that goes on while the machine sleeps. Only differences count."""
    return time.clock_gettime(_STEADY)


_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Linux has a clock that counts the time asleep, too."""


# The database's clock without asking: what it said last, and how long ago. ----------------------

TOLD_LATELY = 10.0
"""For so many seconds what the database said serves: two clocks of one machine room drift less than a tick apart."""

TOLD_QUICKLY = 0.1
"""An answer that took longer, such as one that waited for a lock, says too little about now."""

TICK = timedelta(milliseconds=2)
"""SQLite's clock stands still for a millisecond, and its days have no finer fractions than 40 microseconds: what goes
on from such an answer would be ahead of the next one by as much.
"""

_told: tuple[float, datetime] | None = None


def tell_time(said: datetime | float, asked_at: float) -> datetime:
    """Remember what the database's clock said to somebody who asked at ``asked_at`` of :func:`steady`; it in UTC.

    ``said``: what :func:`clock_expression` gives, which are seconds since 1970 with SQLite.
    """
    global _told  # noqa: PLW0603  one clock a process, and one assignment
    exact = isinstance(said, datetime)
    moment = said.astimezone(UTC) if isinstance(said, datetime) else datetime.fromtimestamp(said, UTC)
    answered_at = steady()
    if answered_at - asked_at <= TOLD_QUICKLY:
        _told = (answered_at, moment if exact else moment - TICK)
    return moment


def estimated_now() -> datetime | None:
    """The database's clock, at most an answer's way behind and never ahead of it; None if it told nothing lately."""
    if _told is None:
        return None
    answered_at, moment = _told
    passed = steady() - answered_at
    return moment + timedelta(seconds=passed) if passed <= TOLD_LATELY else None
