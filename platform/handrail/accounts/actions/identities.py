"""Chat accounts: linked by their owner, signed in on the web, after a one-time link shown in the chat."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import transaction

from handrail.accounts.actions.sign_in_links import Link
from handrail.accounts.links import claim
from handrail.accounts.models import LinkedIdentity, OneTimeLink, User
from handrail.accounts.permissions import Permission, authorize
from handrail.accounts.secrets import digest_of, new_link
from handrail.audit.actions import record
from handrail.shared.actors import Actor
from handrail.shared.clock import now
from handrail.shared.errors import Conflict, Forbidden

IDENTITY_LINK_LASTS = timedelta(minutes=15)


def make_identity_link(provider: str, workspace: str, external_id: str, *, external_name: str = "") -> Link:
    """A link for the person behind a chat account, to be shown to that account alone.

    Anybody may ask for one in their own chat; it gives nothing before somebody who is signed in confirms it.
    """
    plain = new_link()
    link = OneTimeLink.objects.create(
        purpose=OneTimeLink.Purpose.LINK_IDENTITY,
        digest=digest_of(plain),
        data={
            "provider": provider,
            "workspace": workspace[:60],
            "external_id": external_id[:60],
            "external_name": external_name[:100],
        },
        expires_at=now() + IDENTITY_LINK_LASTS,
    )
    return Link(f"{settings.BASE_URL}/link/{plain}/", link.expires_at)


@transaction.atomic
def link_identity(plain: str, *, actor: Actor) -> LinkedIdentity:
    """Confirm the link: from now on, what the chat account does is done by the actor's account."""
    if actor.user_id is None or actor.scopes is not None:
        raise Forbidden("A chat account is linked by a person who is signed in on the web.")
    link = claim(plain, OneTimeLink.Purpose.LINK_IDENTITY)
    user = User.objects.get(pk=actor.user_id)
    if user.kind != User.Kind.PERSON:
        raise Forbidden("A chat account is linked by a person who is signed in on the web.")
    found = {key: link.data[key] for key in ("provider", "workspace", "external_id")}
    identity, created = LinkedIdentity.objects.get_or_create(
        **found, defaults={"user": user, "external_name": link.data["external_name"]}
    )
    if not created:
        whose = (
            "your account"
            if identity.user_id == user.pk
            else "another account: it must be unlinked there first"
        )
        raise Conflict(f"This chat account is linked already, to {whose}.")
    record(actor, "identity.linked", user, data=found)
    return identity


@transaction.atomic
def unlink_identity(identity: LinkedIdentity, *, actor: Actor) -> None:
    """Forget the link: by the account that it belongs to, or by an owner of the installation."""
    if actor.user_id != identity.user_id:
        authorize(actor, Permission.OWN, None)
    user = identity.user
    data = {
        "provider": identity.provider,
        "workspace": identity.workspace,
        "external_id": identity.external_id,
    }
    deleted, _ = LinkedIdentity.objects.filter(pk=identity.pk).delete()
    if not deleted:
        raise Conflict("This chat account is not linked any more.")
    record(actor, "identity.unlinked", user, data=data)
