"""How long things took: the five durations of an incident, from its timestamps. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil


@dataclass(frozen=True, slots=True, kw_only=True)
class Timestamps:
    """When each thing happened, aware; None for what has not happened (yet)."""

    started: datetime
    detected: datetime
    acknowledged: datetime | None = None
    contained: datetime | None = None
    mitigated: datetime | None = None
    resolved: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """Time to detect and acknowledge; from the start to contained, mitigated, resolved. None: unknown."""

    detect: timedelta
    acknowledge: timedelta | None
    contain: timedelta | None
    mitigate: timedelta | None
    resolve: timedelta | None


def durations(at: Timestamps) -> Durations:
    """TTD = detected - started, TTA = acknowledged - detected, TTC, TTM and TTR = the moment - started.

    Never negative: a start that was told to us later than the detection counts as zero.
    """
    return Durations(
        detect=max(at.detected - at.started, timedelta()),
        acknowledge=_between(at.detected, at.acknowledged),
        contain=_between(at.started, at.contained),
        mitigate=_between(at.started, at.mitigated),
        resolve=_between(at.started, at.resolved),
    )


def quantile(values: Sequence[timedelta], share: float) -> timedelta | None:
    """The smallest value that ``share`` (0 < share <= 1) of the values do not exceed; None for none."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(ceil(share * len(ordered)), 1) - 1]


def in_words(duration: timedelta) -> str:
    """``45 s``, ``4 min 10 s``, ``2 h 5 min``, ``3 d 4 h``: at most two units, rounded down."""
    seconds = max(int(duration.total_seconds()), 0)
    if seconds < 1:
        return "less than a second" if duration > timedelta() else "0 s"
    units = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)]
    first = next(index for index, (_, size) in enumerate(units) if seconds >= size)
    parts: list[str] = []
    for unit, size in units[first : first + 2]:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts)


def _between(start: datetime, end: datetime | None) -> timedelta | None:
    return None if end is None else max(end - start, timedelta())
