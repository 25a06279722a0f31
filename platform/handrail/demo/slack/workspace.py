"""The fake workspace's state: people, channels, messages, private notes, modals. Safe for several threads."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

TEAM_ID = "T0HANDRAIL"
TEAM_NAME = "Handrail demo"
APP_ID = "A0HANDRAIL"
BOT_ID = "B0HANDRAIL"
BOT_USER_ID = "U0HANDRAIL"
TRIGGER_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in the workspace; ``name`` is the handle."""

    id: str
    name: str
    real_name: str


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel; ``name`` is without the #."""

    id: str
    name: str
    topic: str = ""


@dataclass(slots=True)
class Message:
    """A message of the app. ``blocks`` were checked."""

    channel: str
    ts: str
    text: str
    blocks: list[dict[str, Any]]
    thread_ts: str = ""
    edited: int = 0
    metadata: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """An ephemeral message: only ``user`` sees it."""

    channel: str
    user: str
    ts: str
    text: str
    blocks: list[dict[str, Any]]


@dataclass(slots=True)
class View:
    """A modal that is open for one person."""

    id: str
    user: str
    content: dict[str, Any]
    hash: str
    errors: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Trigger:
    """A permission to open one modal for one person, for three seconds."""

    user: str
    expires: float
    used: bool = False


@dataclass(frozen=True, slots=True)
class Received:
    """How the app answered a callback. ``status`` 0 means that it did not answer in time."""

    at: float
    kind: str
    user: str
    status: int
    seconds: float
    body: str


PEOPLE = (
    Person("U0ADA", "ada", "Ada Okafor"),
    Person("U0LIN", "lin", "Lin Schneider"),
    Person("U0MAX", "max", "Max Ferreira"),
    Person("U0SAM", "sam", "Sam (not linked)"),
)
"""Sam is a member of the workspace whom Handrail does not know."""

CHANNELS = (
    Channel("C0INCIDENTS", "incidents", "What is wrong with production"),
    Channel("C0PAYMENTS", "inc-payments", "Payments on call"),
    Channel("C0GENERAL", "general", "Everything else"),
)


@dataclass(slots=True)
class Workspace:
    """Everything that a workspace remembers. Callers hold ``lock`` while they read or change it."""

    clock: Callable[[], float] = time.time
    people: dict[str, Person] = field(default_factory=lambda: {person.id: person for person in PEOPLE})
    channels: dict[str, Channel] = field(
        default_factory=lambda: {channel.id: channel for channel in CHANNELS}
    )
    messages: list[Message] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    views: dict[str, View] = field(default_factory=dict)
    triggers: dict[str, Trigger] = field(default_factory=dict)
    response_urls: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    calls: list[tuple[str, str]] = field(default_factory=list)
    version: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)
    changed: threading.Condition = field(init=False)
    _last_ts: float = 0.0

    def __post_init__(self) -> None:
        self.changed = threading.Condition(self.lock)

    def touch(self) -> None:
        """Say that something changed, to whoever waits for it."""
        with self.lock:
            self.version += 1
            self.changed.notify_all()

    def channel(self, wanted: str) -> Channel | None:
        """A channel by id or by name, with or without its #."""
        name = wanted.removeprefix("#")
        return self.channels.get(wanted) or next(
            (channel for channel in self.channels.values() if channel.name == name), None
        )

    def new_ts(self) -> str:
        """A timestamp that no other message of the workspace has."""
        self._last_ts = max(self.clock(), self._last_ts + 0.000001)
        return f"{self._last_ts:.6f}"

    def message(self, channel_id: str, ts: str) -> Message | None:
        """The message, or None."""
        return next((m for m in self.messages if m.channel == channel_id and m.ts == ts), None)

    def new_trigger(self, user: str) -> str:
        """A trigger id for ``user``."""
        now = self.clock()
        self.triggers = {key: trigger for key, trigger in self.triggers.items() if trigger.expires > now - 60}
        trigger_id = f"{int(now * 1000)}.{TEAM_ID}.{secrets.token_hex(8)}"
        self.triggers[trigger_id] = Trigger(user, now + TRIGGER_SECONDS)
        return trigger_id

    def new_response_token(self, channel_id: str, user: str, ts: str) -> str:
        """The last part of a response URL, for answers to a click of ``user`` on the message ``ts``."""
        token = secrets.token_hex(12)
        self.response_urls[token] = (channel_id, user, ts)
        return token

    def view_of(self, user: str) -> View | None:
        """The modal that is open for ``user``."""
        return next((view for view in self.views.values() if view.user == user), None)

    def wait_for(self, condition: Callable[[Workspace], bool], timeout: float) -> bool:
        """Block until ``condition`` holds, at most ``timeout`` seconds; tells whether it does."""
        with self.lock:
            return self.changed.wait_for(lambda: condition(self), timeout)
