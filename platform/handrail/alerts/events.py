"""What a source's body is turned into: alerts, the same for all sources of them, or a message that is none."""

from __future__ import annotations

import datetime as dt
import enum
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from handrail.alerts.bodies import JsonValue
from handrail.alerts.text import bounded

MAX_EVENTS = 10_000
MAX_TITLE = 500
MAX_DESCRIPTION = 16_000
MAX_FINGERPRINT = 200
MAX_LABELS = 100
MAX_LABEL_NAME = 200
MAX_LABEL_VALUE = 2_000
MAX_ANNOTATION_VALUE = 8_000
MAX_LINKS = 20
MAX_LINK = 2_000
MAX_WORD = 60
MAX_VALUE = 200


class AlertStatus(enum.StrEnum):
    """What a source says about its alert at one moment."""

    FIRING = "firing"
    RESOLVED = "resolved"
    ACKNOWLEDGED = "acknowledged"
    NO_DATA = "no_data"


class Severity(enum.StrEnum):
    """How bad, from worst to least; `unknown` when the source does not say, or uses a word of its own."""

    CRITICAL = "critical"
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertEvent:
    """One alert as one delivery tells it.

    Times are aware and in UTC, with microseconds (the nanoseconds of a source are cut off), or None when
    the body does not say; the time of receipt stands in then. A firing alert has no `ended_at`.
    `severity_word` is the source's own word. `links` maps what a link is for ("generator", "runbook", ...)
    to its http(s) address. `note` is a sentence about the delivery that people should read with it.

    Whatever a source puts in is bounded here, so that no source can forget to: text is cut with an ellipsis,
    labels, annotations and links beyond the limits are dropped (the first ones are kept), NUL and lone
    surrogates become U+FFFD, and a longer fingerprint is replaced by its SHA-256.
    """

    status: AlertStatus
    title: str
    fingerprint: str
    severity: Severity = Severity.UNKNOWN
    severity_word: str = ""
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    started_at: dt.datetime | None = None
    ended_at: dt.datetime | None = None
    links: Mapping[str, str] = field(default_factory=dict)
    value: str | float | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if not self.title.strip() or not self.fingerprint:
            raise ValueError("an alert event needs a title and a fingerprint")
        settle = object.__setattr__
        settle(self, "title", bounded(" ".join(self.title[: 4 * MAX_TITLE].split()), MAX_TITLE))
        settle(self, "fingerprint", _bounded_fingerprint(self.fingerprint))
        settle(self, "severity_word", bounded(self.severity_word, MAX_WORD))
        settle(self, "description", bounded(self.description, MAX_DESCRIPTION))
        settle(self, "note", bounded(self.note, MAX_TITLE))
        settle(self, "labels", _bounded_map(self.labels, MAX_LABELS, MAX_LABEL_VALUE))
        settle(self, "annotations", _bounded_map(self.annotations, MAX_LABELS, MAX_ANNOTATION_VALUE))
        web = {name: link for name, link in self.links.items() if _is_web_address(link)}
        settle(self, "links", _bounded_map(web, MAX_LINKS, MAX_LINK))
        settle(self, "started_at", _in_utc(self.started_at))
        ended_at = None if self.status is AlertStatus.FIRING else _in_utc(self.ended_at)
        settle(self, "ended_at", ended_at)
        if isinstance(self.value, str):
            settle(self, "value", bounded(self.value, MAX_VALUE))


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a sender says that is no alert: the triggers on webhooks look at it.

    ``body`` is the JSON document as it came, without what no database keeps. ``headers``: those that came with it,
    by their names in small letters, without any that may prove who sent it.
    """

    body: JsonValue
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """What people read before what has become of it."""
        return "webhook"

    @property
    def note(self) -> str:
        """Nothing: it is taken as it came."""
        return ""


Told: TypeAlias = AlertEvent | Message
"""One thing that a delivery tells."""


def fingerprint_of(labels: Mapping[str, str]) -> str:
    """A stable name for an alert whose body brings none: 32 hex digits of SHA-256 over the sorted labels.

    The order of the labels does not matter; every label counts, so pass only those that do not change over
    the life of the alert.
    """
    canonical = json.dumps(sorted(labels.items()), ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()[:32]


def as_text(value: object) -> str | None:
    """A JSON scalar as text ("true", "12", "1.5"), or None for null, an object or an array."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case int() | float():
            return str(value)
        case _:
            return None


def first_text(candidates: Iterable[object]) -> str:
    """The first candidate that is text with something in it, stripped; "" when there is none."""
    for candidate in candidates:
        if isinstance(candidate, str) and candidate.strip():
            return candidate.strip()
    return ""


def _bounded_fingerprint(fingerprint: str) -> str:
    if len(fingerprint) > MAX_FINGERPRINT:
        return hashlib.sha256(fingerprint.encode("utf-8", "surrogatepass")).hexdigest()
    return bounded(fingerprint, MAX_FINGERPRINT)


def _bounded_map(entries: Mapping[str, str], count: int, length: int) -> dict[str, str]:
    kept: dict[str, str] = {}
    for name, value in entries.items():
        if len(kept) >= count:
            break
        kept.setdefault(bounded(name, MAX_LABEL_NAME), bounded(value, length))
    return kept


def _is_web_address(link: str) -> bool:
    # Links are shown to people: `javascript:` and friends never become one.
    return link.lower().startswith(("http://", "https://")) and not any(c.isspace() for c in link)


def _in_utc(moment: dt.datetime | None) -> dt.datetime | None:
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise ValueError("times of an alert event are aware")
    return moment.astimezone(dt.UTC)
