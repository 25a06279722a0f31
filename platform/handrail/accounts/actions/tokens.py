"""API tokens: made, shown once, revoked."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from handrail.accounts.actions.fields import check
from handrail.accounts.models import ApiToken, User
from handrail.accounts.permissions import Permission, authorize
from handrail.accounts.secrets import digest_of, new_token
from handrail.audit.actions import record
from handrail.shared.actors import Actor
from handrail.shared.clock import now
from handrail.shared.errors import Conflict, Forbidden, Invalid, NotFound

LONGEST_LIFE = timedelta(days=366)
DEFAULT_LIFE = timedelta(days=90)
MOST_TOKENS = 50
"""How many working tokens one account may have."""


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that was just made. ``plain`` is not kept anywhere: show it once."""

    row: ApiToken
    plain: str


@transaction.atomic
def create_token(
    user: User,
    name: str,
    *,
    scopes: Collection[str],
    actor: Actor,
    lasts: timedelta | None = None,
) -> NewToken:
    """A token of the actor's own account, or of a service account of a project that the actor administers.

    ``scopes`` are names of permissions: the token can do what is among them and its account may do. A token
    cannot make one that can do more than itself, or longer. Without ``lasts``: 90 days, or as long as that token.
    """
    _authorize(actor, user)
    wanted = _checked_scopes(scopes, actor)
    at = now()
    expires_at = _checked_end(lasts, actor, at)
    user = User.objects.select_for_update().get(pk=user.pk)
    if not user.is_active:
        raise Conflict(f"{user} is deactivated.")
    working = user.tokens.filter(Q(expires_at__gt=at) | Q(expires_at=None), revoked_at=None)
    if working.count() >= MOST_TOKENS:
        raise Conflict(f"{user} has {MOST_TOKENS} tokens already. Revoke one that is no longer used.")
    plain = new_token()
    row = ApiToken(
        user=user,
        name=name,
        prefix=plain[:10],
        digest=digest_of(plain),
        scopes=wanted,
        expires_at=expires_at,
    )
    check(row, "name")
    row.save(force_insert=True)
    record(
        actor,
        "token.created",
        user,
        data={"token": str(row.pk), "name": name, "prefix": row.prefix, "scopes": wanted},
    )
    return NewToken(row, plain)


@transaction.atomic
def revoke_token(token: ApiToken, *, actor: Actor) -> None:
    """End a token now: by its own account, an admin of its service account's project, or an owner."""
    token = ApiToken.objects.select_for_update(of=("self",)).select_related("user").get(pk=token.pk)
    if actor.user_id != token.user_id:
        if token.user.project_id is None:
            authorize(actor, Permission.OWN, None)
        else:
            authorize(actor, Permission.ADMINISTER, token.user)
    if token.revoked_at is not None:
        raise Conflict("This token is revoked already.")
    token.revoked_at = now()
    token.save(update_fields=["revoked_at"])
    record(actor, "token.revoked", token.user, data={"token": str(token.pk), "name": token.name})


def _authorize(actor: Actor, user: User) -> None:
    """Nobody makes a token that speaks in another person's name: not even an owner."""
    if actor.user_id == user.pk:
        return
    if user.project_id is None:
        raise NotFound("There is no such service account: tokens of people are made by themselves.")
    authorize(actor, Permission.ADMINISTER, user)


def _checked_end(lasts: timedelta | None, actor: Actor, at: datetime) -> datetime:
    if lasts is not None and not timedelta(0) < lasts <= LONGEST_LIFE:
        raise Invalid(f"A token lasts between one second and {LONGEST_LIFE.days} days.")
    wanted = at + (lasts or DEFAULT_LIFE)
    if actor.until is None or wanted <= actor.until:
        return wanted
    if lasts is None:
        return actor.until
    # Who has stolen a token would otherwise keep what it opens.
    raise Forbidden(
        f"This token cannot make one that outlives it: it ends at {actor.until:%Y-%m-%d %H:%M} UTC. Ask for fewer "
        "days or for none, or make the token on the web, signed in."
    )


def _checked_scopes(scopes: Collection[str], actor: Actor) -> list[str]:
    known = {permission.value for permission in Permission}
    unknown = sorted(set(scopes) - known)
    if unknown:
        raise Invalid(f"There is no scope “{unknown[0]}”. The scopes are: {', '.join(sorted(known))}.")
    if not scopes:
        raise Invalid("Choose at least one scope: a token without any could do nothing.")
    wanted = set(scopes) | {Permission.VIEW.value}
    if actor.scopes is not None and not wanted <= actor.scopes:
        missing = ", ".join(sorted(wanted - actor.scopes))
        raise Forbidden(f"This token cannot make one that can do more than itself: {missing}.")
    return sorted(wanted)
