"""How the API knows who asks: a token in the ``Authorization`` header, or the web's session."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol, cast

from django.db.models import Q
from rest_framework import authentication, exceptions
from rest_framework.request import Request

from handrail.accounts.actors import actor_of_user
from handrail.accounts.models import ApiToken, User
from handrail.accounts.secrets import PREFIX, digest_of
from handrail.shared.actors import Actor, Channel
from handrail.shared.clock import now

LAST_USE_GRAIN = timedelta(minutes=1)
"""How exact ``last_used_at`` is: a busy token does not cost a write a request."""


class _Acting(Protocol):
    """A request that knows its actor."""

    actor: Actor


class TokenAuthentication(authentication.BaseAuthentication):
    """``Authorization: Bearer hr_...``. Sets ``request.actor``, limited to the token's scopes."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        """None without such a header; AuthenticationFailed for a token that does not work."""
        scheme, _, plain = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        token = working_token(plain.strip())
        if token is None:
            raise exceptions.AuthenticationFailed(
                "This token is unknown, expired or revoked. Make a new one under Account, Tokens."
            )
        note_use(token)
        cast("_Acting", request).actor = actor_of_user(token.user, Channel.API, token=token, request=request)
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        """What a 401 names: without it, DRF would answer 403."""
        return 'Bearer realm="handrail"'


class SessionAuthentication(authentication.SessionAuthentication):
    """The signed-in browser, with CSRF protection. Sets ``request.actor``, which acts through the API."""

    def authenticate(self, request: Request) -> tuple[User, None] | None:
        """None without a session."""
        found = super().authenticate(request)
        if found is None or not isinstance(found[0], User):
            return None
        cast("_Acting", request).actor = actor_of_user(found[0], Channel.API, request=request)
        return found[0], None


def working_token(plain: str) -> ApiToken | None:
    """The token, with its account, if both work now."""
    if not plain.startswith(PREFIX) or len(plain) > 100:
        return None
    return (
        ApiToken.objects.select_related("user")
        .filter(
            Q(expires_at__gt=now()) | Q(expires_at=None),
            digest=digest_of(plain),
            revoked_at=None,
            user__is_active=True,
        )
        .first()
    )


def note_use(token: ApiToken) -> None:
    """Remember when the token was last used, to the minute."""
    at = now()
    if token.last_used_at is None or at - token.last_used_at >= LAST_USE_GRAIN:
        ApiToken.objects.filter(Q(last_used_at=None) | Q(last_used_at__lt=at), pk=token.pk).update(
            last_used_at=at
        )
