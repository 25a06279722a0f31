"""From a request or an account to the actor that actions are given."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TypeAlias

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from rest_framework.request import Request

from handrail.accounts.models import ApiToken, User
from handrail.shared.actors import Actor, ActorKind, Channel
from handrail.shared.errors import Forbidden

AnyRequest: TypeAlias = HttpRequest | Request
"""A page's request or the API's."""

CONSOLE = Actor(kind=ActorKind.SYSTEM, name="console", channel=Channel.CLI)
"""Whoever runs `handrail` on the machine itself: may do all but start runs and approve."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,64}")


def actor_of_user(
    user: User, channel: Channel, *, token: ApiToken | None = None, request: AnyRequest | None = None
) -> Actor:
    """The actor for an account; ``token`` limits it to the token's scopes and life, ``request`` says where from."""
    return Actor(
        kind=ActorKind.SERVICE if user.kind == User.Kind.SERVICE else ActorKind.USER,
        name=str(user),
        channel=channel,
        user_id=user.pk,
        scopes=None if token is None else frozenset(token.scopes),
        until=None if token is None else token.expires_at,
        request_id=request_id(request) if request else "",
        address=client_address(request) if request else "",
        trace_id=str(getattr(request, "trace_id", "")) if request else "",
    )


def actor_of_request(request: AnyRequest) -> Actor:
    """Who sent the request: the token's account where the API has set it, else the signed-in person.

    Raises Forbidden (code ``sign_in_required``) for a request of nobody.
    """
    actor = getattr(request, "actor", None)
    if isinstance(actor, Actor):
        return actor
    user = getattr(request, "user", AnonymousUser())
    if not isinstance(user, User):
        raise Forbidden("Sign in first.", code="sign_in_required")
    return actor_of_user(user, Channel.WEB, request=request)


def request_id(request: AnyRequest) -> str:
    """The request's id, as a middleware or a proxy gave it; empty when it is none that one can print."""
    given = getattr(request, "request_id", "") or request.headers.get("X-Request-ID", "")
    return given if isinstance(given, str) and _REQUEST_ID.fullmatch(given) else ""


def client_address(request: AnyRequest) -> str:
    """The sender's address: the connection's, unless a known number of proxies stands before us.

    Each proxy appends the address that it saw to ``X-Forwarded-For``; with N trusted proxies the Nth from
    the right is the last one that a stranger could not write. Empty when there is none (a unix socket).
    """
    direct = str(request.META.get("REMOTE_ADDR") or "")
    proxies = settings.TRUSTED_PROXIES
    if proxies == 0:
        return direct[:64]
    hops = [hop.strip() for hop in request.headers.get("X-Forwarded-For", "").split(",") if hop.strip()]
    return (hops[-proxies] if len(hops) >= proxies else direct)[:64]


def client_address_or_none(request: HttpRequest) -> str | None:
    """The same for django-axes, whose column holds an address or nothing."""
    address = client_address(request)
    try:
        return str(ip_address(address))
    except ValueError:
        return None
