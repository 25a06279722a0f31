"""Reads the times that alert sources send, in the many ways they write them."""

from __future__ import annotations

import datetime as dt
import email.utils
import re

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_LATEST = dt.datetime(9999, 12, 30, tzinfo=dt.UTC)
MAX_LENGTH = 80

# RFC 3339 and its neighbours: a blank for the T, a comma before the fraction, any number of fraction
# digits, a zone without a colon (CloudWatch), Go's "2020-01-02 15:04:05.99 +0000 UTC m=+0.5", "2014-05-02
# 14:21:40 PDT".
_ISO = re.compile(
    r"(?P<date>\d{4}[-/.]\d{2}[-/.]\d{2})"
    r"(?:(?:[Tt]|\s+)(?P<hour>\d{2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d+))?)?)?"
    r"\s*(?P<offset>[+-]\d{2}(?:[:.]?\d{2})?)?\s*(?P<zone>[A-Za-z]{1,5}|[+-]\d{2})?(?:\s+m=[+-][\d.]+)?",
    re.ASCII,
)
_SLASHED = re.compile(
    r"(?P<first>\d{1,2})[/.](?P<second>\d{1,2})[/.](?P<year>\d{4})\s+"
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<sec>\d{2}))?\s*(?P<half>[AaPp][Mm])?",
    re.ASCII,
)
_NUMBER = re.compile(r"[+-]?\d{1,30}(?:\.\d{1,30})?", re.ASCII)
# The zone names that RFC 2822 section 4.3 settles; any other abbreviation means several zones.
_ZONES = {
    "z": 0, "utc": 0, "gmt": 0, "ut": 0,
    "est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7,
}  # fmt: skip


def read_time(value: object) -> dt.datetime | None:
    """The moment that a JSON value names, aware and in UTC, or None when it names none.

    None stands for: null, "", "null", "Never", an unfilled template variable, Go's zero time (any time in
    the year 1), numbers outside the years 1971-9999, and text that is no time or could be two (03/04/2025).
    Fractions are cut off at the microsecond. Text without a zone is taken as UTC. Numbers, and text holding
    one, are seconds, milli-, micro- or nanoseconds since 1970, told apart by their size.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _from_number(value)
    if not isinstance(value, str):
        return None
    text = value.strip()
    if not text or len(text) > MAX_LENGTH:
        return None
    if _NUMBER.fullmatch(text):
        return _from_number(float(text) if "." in text else int(text))
    return _from_iso(text) or _from_slashed(text) or _from_rfc2822(text)


def rfc3339(moment: dt.datetime | None) -> str | None:
    """`2026-02-06T00:17:58.432911Z`: UTC, with as many fraction digits as are needed and no more."""
    if moment is None:
        return None
    text = moment.astimezone(dt.UTC).replace(tzinfo=None).isoformat()
    return (text.rstrip("0") if "." in text else text) + "Z"


def _from_number(number: float) -> dt.datetime | None:
    if number != number or abs(number) >= 1e20:
        return None
    if abs(number) < 1e11:
        microseconds = round(number * 1_000_000)
    elif abs(number) < 1e14:
        microseconds = round(number * 1_000)
    elif abs(number) < 1e17:
        microseconds = int(number)
    else:
        microseconds = int(number) // 1_000
    # Small numbers are counters and flags, not moments in the first year of Unix.
    if not 31_536_000_000_000 <= microseconds < 253_370_764_800_000_000:
        return None
    return _EPOCH + dt.timedelta(microseconds=microseconds)


def _from_iso(text: str) -> dt.datetime | None:
    found = _ISO.fullmatch(text)
    if found is None:
        return None
    offset = _offset(found["offset"], found["zone"])
    if offset is None:
        return None
    year, month, day = (int(part) for part in re.split(r"[-/.]", found["date"]))
    fraction = int((found["fraction"] or "")[:6].ljust(6, "0"))
    try:
        local = dt.datetime(
            year, month, day, int(found["hour"] or 0), int(found["minute"] or 0),
            min(int(found["second"] or 0), 59), fraction, tzinfo=dt.UTC,
        )  # fmt: skip
    except ValueError:
        return None
    # Year 1 is Go's zero time, "not set"; the far end would overflow when moved to UTC.
    return local - offset if year > 1 and local < _LATEST else None


def _offset(digits: str | None, zone: str | None) -> dt.timedelta | None:
    if digits is None:
        hours = _ZONES.get((zone or "utc").lower())
        return None if hours is None else dt.timedelta(hours=hours)
    plain = digits.replace(":", "").replace(".", "")
    hours, minutes = int(plain[1:3]), int(plain[3:5] or 0)
    if hours > 23 or minutes > 59:
        return None
    size = dt.timedelta(hours=hours, minutes=minutes)
    return -size if plain[0] == "-" else size


def _from_slashed(text: str) -> dt.datetime | None:
    found = _SLASHED.fullmatch(text)
    if found is None:
        return None
    first, second = int(found["first"]), int(found["second"])
    if first <= 12 and second <= 12 and first != second:
        return None  # day or month first? A wrong month is worse than no time.
    month, day = (first, second) if first <= 12 else (second, first)
    hour = int(found["hour"])
    if found["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if found["half"].lower() == "pm" else 0)
    try:
        return dt.datetime(
            int(found["year"]), month, day, hour, int(found["minute"]), int(found["sec"] or 0), tzinfo=dt.UTC
        )
    except ValueError:
        return None


def _from_rfc2822(text: str) -> dt.datetime | None:
    try:
        moment = email.utils.parsedate_to_datetime(text)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
        return aware.astimezone(dt.UTC) if aware.year > 1970 else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
