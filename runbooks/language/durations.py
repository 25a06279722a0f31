"""Durations as people write them: ``10m``, ``1h30m``, ``500ms``, or a plain number of seconds."""

from __future__ import annotations

import re

PATTERN = (
    r"(?:\d{1,4}(?:\.\d{1,3})?d)?(?:\d{1,4}(?:\.\d{1,3})?h)?(?:\d{1,6}(?:\.\d{1,3})?m)?"
    r"(?:\d{1,8}(?:\.\d{1,3})?s)?(?:\d{1,9}ms)?"
)
"""Each unit at most once, large to small. The digits bound the value to :data:`LONGEST_SECONDS`."""

LONGEST_SECONDS = 1_100_000_000
"""Some 34 years: whatever the pattern allows, added to a date, is still a date."""
WORDS = "a duration such as 500ms, 30s, 10m, 1h30m or 2d (a plain number is seconds)"

_SECONDS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_WHOLE = re.compile(f"(?:{PATTERN})\\Z", re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[dhms])", re.ASCII)


def seconds(value: str | float) -> float:
    """The duration in seconds.

    Raises ValueError for anything that is not :data:`WORDS`, or over 34 years.
    """
    if isinstance(value, str):
        if not value or not _WHOLE.match(value):
            raise ValueError(f"not {WORDS}")
        total = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(value))
    else:
        total = float(value)
    if not 0 <= total <= LONGEST_SECONDS:
        raise ValueError("not between 0 and 34 years")
    return round(total, 3)


def words(value: float) -> str:
    """Seconds as the language writes them: ``90`` is ``1m30s``."""
    rest, text = round(value * 1000), ""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, rest = divmod(rest, size)
        text += f"{count}{unit}" if count else ""
    return text or "0s"
