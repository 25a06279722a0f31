"""Who acts, through which channel: given to every action, written to the audit trail."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum


class Channel(StrEnum):
    """How an act reached Handrail."""

    WEB = "web"
    SLACK = "slack"
    API = "api"
    CLI = "cli"
    AUTOMATION = "automation"


class ActorKind(StrEnum):
    """What an actor is."""

    USER = "user"
    SERVICE = "service"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody or something that acts.

    ``user_id`` is the account whose permissions count; None only for the system itself, which may do
    only what the code of a duty does (expire, sweep, resolve by alerts) and never starts or approves.
    ``scopes`` limits a token to these permission names; None means that nothing is taken away. ``until``: when that
    token ends, if it does.
    """

    kind: ActorKind
    name: str
    channel: Channel
    user_id: uuid.UUID | None = None
    on_behalf_of: str = ""
    scopes: frozenset[str] | None = None
    until: datetime | None = None
    request_id: str = ""
    address: str = ""
    trace_id: str = ""

    @classmethod
    def system(cls, name: str) -> Actor:
        """Handrail itself, acting in the duty ``name`` (such as ``sweeper``)."""
        return cls(kind=ActorKind.SYSTEM, name=name, channel=Channel.AUTOMATION)

    def through(self, channel: Channel) -> Actor:
        """The same actor, through another channel."""
        return replace(self, channel=channel)
