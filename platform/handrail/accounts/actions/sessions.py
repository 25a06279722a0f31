"""The trail of sign-ins: who came, who left, who was refused. Never a password."""

from __future__ import annotations

from django.db import transaction

from handrail.accounts.models import User
from handrail.audit.actions import AuditObject, record
from handrail.shared.actors import Actor, ActorKind, Channel

LONGEST_NAME = 100
"""How much of what a stranger typed as a name is kept."""


@transaction.atomic
def signed_in(user: User, *, actor: Actor, how: str = "password") -> None:
    """A session has begun."""
    record(actor, "session.signed_in", user, data={"how": how})


@transaction.atomic
def signed_out(user: User, *, actor: Actor) -> None:
    """A session was ended by its owner."""
    record(actor, "session.signed_out", user)


@transaction.atomic
def sign_in_refused(username: str, *, address: str, request_id: str, reason: str) -> None:
    """Somebody typed a name and a password that do not fit. ``username`` is whatever was typed."""
    name = username[:LONGEST_NAME]
    stranger = Actor(
        kind=ActorKind.USER, name=name, channel=Channel.WEB, request_id=request_id, address=address
    )
    record(stranger, "session.refused", AuditObject("session", "", name), data={"reason": reason})
