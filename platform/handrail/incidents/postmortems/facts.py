"""What a postmortem is composed from: the incident's facts and its timeline, as plain values. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from handrail.incidents.metrics import Durations, Timestamps, durations
from handrail.shared.jsonvalue import JsonValue

MAX_EVIDENCE = 50
"""Ids behind one line, at most: enough to follow, little enough to store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event of the timeline. ``human``: a person did it. ``url`` leads to what the event is about."""

    id: str
    n: int
    kind: str
    text: str
    at: datetime
    actor: str
    human: bool = False
    data: Mapping[str, JsonValue] = field(default_factory=dict)
    url: str = ""

    def word(self, name: str) -> str:
        """A text of the data; "" when it is absent or something else."""
        value = self.data.get(name)
        return value if isinstance(value, str) else ""

    def seconds(self, name: str) -> timedelta | None:
        """A number of seconds of the data as a duration; None when it is absent or something else."""
        value = self.data.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
            return None
        return timedelta(seconds=value)

    @property
    def error(self) -> str:
        """The message of the data's error; ""."""
        error = self.data.get("error")
        message = error.get("message") if isinstance(error, Mapping) else None
        return message if isinstance(message, str) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """An incident at one moment, and everything that happened in it, in the timeline's order."""

    name: str
    title: str
    severity: str
    status: str
    service: str
    environment: str
    commander: str
    flaps: int
    times: Timestamps
    events: Sequence[Event]
    trace_id: str = ""

    def of(self, *kinds: str) -> list[Event]:
        """The events of these kinds."""
        return [event for event in self.events if event.kind in kinds]

    def first(self, *kinds: str) -> Event | None:
        """The first event of these kinds."""
        return next((event for event in self.events if event.kind in kinds), None)

    def last(self, *kinds: str) -> Event | None:
        """The last event of these kinds."""
        return next((event for event in reversed(self.events) if event.kind in kinds), None)

    @property
    def took(self) -> Durations:
        """The five durations."""
        return durations(self.times)

    @property
    def end(self) -> datetime:
        """When it was over; as long as it is not, its last event."""
        if self.times.resolved is not None:
            return self.times.resolved
        return self.events[-1].at if self.events else self.times.detected


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence in Markdown with the ids of the events that prove it; a prompt has none and asks a person."""

    text: str
    events: tuple[str, ...] = ()
    prompt: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """One section of a draft. ``key`` stays the same over versions of the generator."""

    key: str
    title: str
    lines: tuple[Line, ...]


def proven(text: str, *events: Event | None) -> list[Line]:
    """The line with its evidence, or no line at all: what nothing proves is not said."""
    known = [event.id for event in events if event is not None]
    return [Line(text, tuple(dict.fromkeys(known))[:MAX_EVIDENCE])] if known else []


def prompts(*questions: str) -> list[Line]:
    """Questions that only people can answer."""
    return [Line(question, prompt=True) for question in questions]


def evidence_of(events: Iterable[Event]) -> list[Event]:
    """The events, with no more than a line can carry: the first ones and the last."""
    every = list(events)
    return every if len(every) <= MAX_EVIDENCE else [*every[: MAX_EVIDENCE - 1], every[-1]]
