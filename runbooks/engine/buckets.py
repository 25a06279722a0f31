"""A token bucket: how many calls a target takes, and when the next one may be made. Pure arithmetic of moments.

Whoever finds no token is told when theirs is due, one after another, so that a crowd does not come back at once. A
token is taken only by a call that is really made: whoever was promised one and never comes costs time, not tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from runbooks.language.rates import Rate

NEARLY = 1e-6
"""What floating point may lack of a whole token."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """``tokens`` there were ``at`` a moment; ``line_until``: when the last token that was promised is due."""

    tokens: float
    at: datetime
    line_until: datetime | None = None


def full(rate: Rate, now: datetime) -> Bucket:
    """A bucket that nobody has used yet."""
    return Bucket(float(rate.burst), now)


def take(bucket: Bucket, rate: Rate, now: datetime, *, promised: bool) -> tuple[Bucket, datetime | None]:
    """Take a token for a call; else the moment at which one is due for it. Time that runs backwards adds nothing.

    ``promised``: the call was told to come now. Whoever was not goes behind those who wait.
    """
    passed = max((now - bucket.at).total_seconds(), 0.0)
    tokens = min(bucket.tokens + passed * rate.per_second, float(rate.burst))
    at = max(now, bucket.at)
    waited_for = bucket.line_until is not None and bucket.line_until > now
    if tokens >= 1 - NEARLY and (promised or not waited_for):
        return Bucket(max(tokens - 1, 0.0), at, bucket.line_until), None
    interval = _rounded_up(1 / rate.per_second)
    soonest = now + _rounded_up(max(1 - tokens, 0.0) / rate.per_second)
    due = soonest
    if waited_for and bucket.line_until is not None:
        due = max(soonest, bucket.line_until + interval)
    return Bucket(tokens, at, due), due


def _rounded_up(seconds: float) -> timedelta:
    """At least so long: who comes a microsecond too early finds no token."""
    return timedelta(microseconds=ceil(seconds * 1_000_000) + 1)
