"""Links that sign a person in once, who then sets a password: the first owner's, and whoever has none."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from handrail.accounts.actions.fields import check, check_password, unless_taken
from handrail.accounts.links import claim
from handrail.accounts.models import OneTimeLink, User
from handrail.accounts.permissions import Permission, authorize
from handrail.accounts.secrets import digest_of, new_link
from handrail.audit.actions import record
from handrail.shared.actors import Actor
from handrail.shared.clock import now
from handrail.shared.errors import Conflict, Invalid

SIGN_IN_LINK_LASTS = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Link:
    """A link that was just made, for ``user`` if it is for a known one.

    ``url`` holds its secret, which is not kept anywhere: show it once.
    """

    url: str
    expires_at: datetime
    user: User | None = None


@transaction.atomic
def make_sign_in_link(user: User, *, actor: Actor) -> Link:
    """A link by which a person sets a password and is signed in; earlier ones of theirs stop working.

    Needs an owner, or this machine's command line. It is how somebody gets in for the first time, and how
    somebody who has lost the password gets back.
    """
    authorize(actor, Permission.OWN, None)
    if user.kind != User.Kind.PERSON or not user.is_active:
        raise Invalid(f"Sign-in links are for active people: {user} is not one.")
    at = now()
    OneTimeLink.objects.filter(
        purpose=OneTimeLink.Purpose.SIGN_IN, user=user, used_at=None, expires_at__gt=at
    ).update(expires_at=at)
    plain = new_link()
    link = OneTimeLink.objects.create(
        purpose=OneTimeLink.Purpose.SIGN_IN,
        digest=digest_of(plain),
        user=user,
        expires_at=at + SIGN_IN_LINK_LASTS,
    )
    record(actor, "sign_in_link.made", user, data={"expires": link.expires_at.isoformat()})
    return Link(f"{settings.BASE_URL}/link/{plain}/", link.expires_at, user)


@transaction.atomic
def make_owner_link(*, actor: Actor) -> Link:
    """A sign-in link for the installation's first owner, whose account is made when there is none."""
    authorize(actor, Permission.OWN, None)
    owner = User.objects.filter(is_owner=True, is_active=True).order_by("created_at").first()
    if owner is None:
        username = "owner"
        while User.objects.filter(username=username).exists():
            username += "-"
        owner = User.objects.create_user(username, name="Owner")
        owner.is_owner = True
        owner.save(update_fields=["is_owner"])
        record(actor, "user.created", owner, data={"username": username, "kind": owner.kind, "owner": True})
    return make_sign_in_link(owner, actor=actor)


@transaction.atomic
def redeem_sign_in_link(plain: str, *, username: str, name: str, password: str, actor: Actor) -> User:
    """Use the link up: its person gets this password, and at the first time also this user name and name.

    Returns the account, for the view to sign in. Raises NotFound for a link that does not work, Invalid or
    Conflict for what was typed (the link then still works).
    """
    link = claim(plain, OneTimeLink.Purpose.SIGN_IN)
    user = User.objects.select_for_update().get(onetimelink=link)
    if not user.is_active:
        raise Conflict("This account is deactivated. Ask an owner of the installation.")
    taken = f"There is an account called {User.normalize_username(username)} already. Choose another name."
    if not user.has_usable_password():
        user.username, user.name = User.normalize_username(username), name
        check(user, "username", "name")
        if User.objects.filter(username=user.username).exclude(pk=user.pk).exists():
            raise Conflict(taken)
    check_password(password, user)
    user.set_password(password)
    with unless_taken(taken):
        user.save(update_fields=["username", "name", "password"])
    record(actor, "sign_in_link.redeemed", user, data={"username": user.username})
    return user
