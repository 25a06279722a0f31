"""When a schedule is due: pure, in the schedule's own time zone, daylight saving included.

As cron does it (and cronsim, https://github.com/cuu508/cronsim): a daily time that is skipped when clocks go forward
comes right after the gap; one that there is twice when they go back comes once; an hourly schedule follows real hours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim

MOST_TICKS = 1_000
"""So many ticks of an outage are counted; the newest one is found all the same."""


@dataclass(frozen=True, slots=True)
class Due:
    """What has come due: the newest tick (aware, UTC), how many older ones were missed, and when the next one comes."""

    newest: datetime
    missed: int
    following: datetime | None


def next_tick(cron: str, timezone: str | None, after: datetime) -> datetime | None:
    """The first tick after a moment, in UTC; None when there never is one (within fifty years)."""
    return next(_ticks(cron, timezone, after), None)


def due(cron: str, timezone: str | None, first: datetime, now: datetime) -> Due | None:
    """What has come due from the tick ``first`` until ``now``; None when ``first`` lies ahead."""
    if first > now:
        return None
    newest, missed = first, 0
    for tick in _ticks(cron, timezone, first):
        if tick > now:
            return Due(newest, missed, tick)
        if missed >= MOST_TICKS:
            return Due(_newest(cron, timezone, tick, now), missed, next_tick(cron, timezone, now))
        newest, missed = tick, missed + 1
    return Due(newest, missed, None)


def _newest(cron: str, timezone: str | None, known: datetime, now: datetime) -> datetime:
    """The last tick until ``now``, without looking at each one since the tick ``known``."""
    until = now
    while (following := next_tick(cron, timezone, known)) is not None and following <= now:
        # One half of what lies between has the tick: the later one, if there is any in it.
        middle = known + (until - known) / 2
        later = next_tick(cron, timezone, middle)
        if later is not None and later <= now:
            known = later
        elif until - known > timedelta(minutes=1):
            until = middle
        else:
            known = following
    return known


def _ticks(cron: str, timezone: str | None, after: datetime) -> Iterator[datetime]:
    local = after.astimezone(ZoneInfo(timezone) if timezone else UTC)
    for tick in CronSim(cron, local):
        moment = tick.astimezone(UTC)
        # Where clocks go back, an hour's local times come twice: only what is really later follows.
        if moment > after:
            yield moment
