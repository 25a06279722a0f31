"""Rates of calls as authors and operators write them: ``10/s``, ``100/m burst 20``."""

from __future__ import annotations

import re
from dataclasses import dataclass

PATTERN = r"[1-9][0-9]{0,5}/(?:s|m|h)(?: burst [1-9][0-9]{0,5})?"
WORDS = "a rate such as 10/s or 100/m burst 20 (per s, m or h)"
_RATE = re.compile(r"(\d+)/(s|m|h)(?: burst (\d+))?")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, slots=True)
class Rate:
    """So many calls a second on average, and so many at once after a pause."""

    per_second: float
    burst: int
    text: str


def rate_of(text: str) -> Rate:
    """The rate that ``text`` is. Without ``burst`` as many at once as in one unit of time. ValueError for another."""
    found = _RATE.fullmatch(text.strip())
    if found is None or int(found[1]) == 0 or found[3] == "0":
        raise ValueError(f"{text[:60]!r} is not {WORDS}.")
    count = int(found[1])
    return Rate(count / _SECONDS[found[2]], int(found[3] or count), text.strip())
