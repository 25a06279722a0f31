"""Words of a postmortem: other people's text made harmless in Markdown, moments, durations, lists. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from handrail.incidents.metrics import in_words

MAX_QUOTE = 300
_SPECIAL = re.compile(r"[!-/:-@\[-`{-~]")
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]+")


def quoted(text: str, limit: int = MAX_QUOTE) -> str:
    """``text`` as Markdown that shows exactly these characters on one line, cut to ``limit``.

    Every ASCII punctuation mark is escaped, which CommonMark allows: no link, heading, HTML or table can come out
    of an alert's title. Control characters, line breaks and marks that turn the reading direction become spaces.
    """
    line = " ".join(_UNSEEN.sub(" ", text).split())
    if len(line) > limit:
        line = line[: limit - 1] + "…"
    return _SPECIAL.sub(lambda match: f"\\{match.group()}", line)


def clock(moment: datetime) -> str:
    """``10:02:40 UTC``."""
    return f"{moment:%H:%M:%S} UTC"


def day(moment: datetime) -> str:
    """``22 November 2026``."""
    return f"{moment.day} {moment:%B %Y}"


def stamp(moment: datetime, reference: datetime) -> str:
    """The clock time; with the date when it is not the reference's day."""
    return clock(moment) if moment.date() == reference.date() else f"{moment:%Y-%m-%d} {clock(moment)}"


def lasting(duration: timedelta) -> str:
    """``4 min 10 s``."""
    return in_words(duration)


def listed(words: Sequence[str], joiner: str = "and") -> str:
    """``a, b and c``."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {joiner} {words[-1]}"


def counted(number: int, singular: str, plural: str = "") -> str:
    """``1 alert``, ``3 alerts``."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def placed(service: str, environment: str) -> str:
    """`` on checkout in eu\\-1``, with a leading space, of what is known."""
    on = f" on {quoted(service)}" if service else ""
    return on + (f" in {quoted(environment)}" if environment else "")
