"""Durations and instants in the words that a tired reader understands: "4 min 10 s", "11:20 left"."""

from __future__ import annotations

import math
from datetime import timedelta

MINUTE_S = 60
HOUR_S = 60 * MINUTE_S
DAY_S = 24 * HOUR_S


def seconds_of(value: timedelta | float) -> float:
    """The length in seconds of a timedelta or of a number that already is one."""
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


def words(value: timedelta | float) -> str:
    """A duration in its two largest units: "850 ms", "12 s", "4 min 10 s", "1 d 3 h"; negative is "0 s"."""
    seconds = seconds_of(value)
    if 0 < seconds < 1:
        return f"{max(1, math.floor(seconds * 1000))} ms"
    whole = max(0, math.floor(seconds))
    if whole < MINUTE_S:
        return f"{whole} s"
    if whole < HOUR_S:
        return _two(whole, MINUTE_S, "min", 1, "s")
    if whole < DAY_S:
        return _two(whole, HOUR_S, "h", MINUTE_S, "min")
    return _two(whole, DAY_S, "d", HOUR_S, "h")


def clock(value: timedelta | float) -> str:
    """A countdown as a clock, rounded up: "11:20", "1:02:09"; never below "0:00"."""
    whole = max(0, math.ceil(seconds_of(value)))
    hours, rest = divmod(whole, HOUR_S)
    minutes, seconds = divmod(rest, MINUTE_S)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _two(whole: int, large: int, large_word: str, small: int, small_word: str) -> str:
    first, rest = divmod(whole, large)
    second = rest // small
    return f"{first} {large_word} {second} {small_word}" if second else f"{first} {large_word}"
