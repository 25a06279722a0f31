"""Accounts of people: made, appointed to the installation's roles, deactivated, given a new password."""

from __future__ import annotations

from typing import Literal

from django.db import transaction

from handrail.accounts.actions.fields import check, check_password, unless_taken
from handrail.accounts.models import User
from handrail.accounts.permissions import Permission, authorize
from handrail.audit.actions import record
from handrail.shared.actors import Actor
from handrail.shared.errors import Conflict, Forbidden, Invalid

InstallationRole = Literal["owner", "auditor"]


@transaction.atomic
def create_user(
    username: str, *, actor: Actor, name: str = "", email: str = "", password: str | None = None
) -> User:
    """A person without roles. Without a password they cannot sign in by one. Needs an owner."""
    authorize(actor, Permission.OWN, None)
    draft = User(username=User.normalize_username(username), name=name, email=email)
    check(draft, "username", "name", "email")
    if password is not None:
        check_password(password, draft)
    taken = f"There is an account called {draft.username} already."
    if User.objects.filter(username=draft.username).exists():
        raise Conflict(taken)
    with unless_taken(taken):
        user = User.objects.create_user(draft.username, name=name, email=email, password=password)
    record(actor, "user.created", user, data={"username": user.username, "kind": user.kind})
    return user


@transaction.atomic
def appoint(user: User, role: InstallationRole, *, actor: Actor) -> None:
    """Make a person an owner or an auditor of the installation. Needs an owner."""
    authorize(actor, Permission.OWN, None)
    user = User.objects.select_for_update().get(pk=user.pk)
    if user.kind != User.Kind.PERSON or not user.is_active:
        raise Invalid(f"Only an active person can be {role}: {user} is not.")
    _set_role(user, role, held=True)
    record(actor, f"{role}.appointed", user)


@transaction.atomic
def dismiss(user: User, role: InstallationRole, *, actor: Actor) -> None:
    """Take the installation's role from a person; the last owner stays. Needs an owner."""
    authorize(actor, Permission.OWN, None)
    user = User.objects.select_for_update().get(pk=user.pk)
    if role == "owner":
        _keep_an_owner(user)
    _set_role(user, role, held=False)
    record(actor, f"{role}.dismissed", user)


@transaction.atomic
def deactivate_user(user: User, *, actor: Actor) -> None:
    """Close an account: sessions and tokens stop working with the next request. Needs an owner."""
    authorize(actor, Permission.OWN, None)
    user = User.objects.select_for_update().get(pk=user.pk)
    if not user.is_active:
        raise Conflict(f"{user} is deactivated already.")
    _keep_an_owner(user)
    user.is_active = False
    user.save(update_fields=["is_active"])
    record(actor, "user.deactivated", user)


@transaction.atomic
def reactivate_user(user: User, *, actor: Actor) -> None:
    """Open an account again, with the roles that it had. Needs an owner."""
    authorize(actor, Permission.OWN, None)
    user = User.objects.select_for_update().get(pk=user.pk)
    if user.is_active:
        raise Conflict(f"{user} is active already.")
    user.is_active = True
    user.save(update_fields=["is_active"])
    record(actor, "user.reactivated", user)


@transaction.atomic
def change_password(user: User, *, current: str, new: str, actor: Actor) -> User:
    """A person's own new password, after the current one; their other sessions end.

    Returns the account as it now is, for the session that stays.
    """
    if actor.user_id != user.pk or actor.scopes is not None:
        raise Forbidden("A password is changed by its owner, signed in on the web.")
    user = User.objects.select_for_update().get(pk=user.pk)
    if not user.check_password(current):
        raise Invalid(
            "That is not your current password.",
            problems=[{"field": "current", "messages": ["That is not your current password."]}],
        )
    check_password(new, user)
    user.set_password(new)
    user.save(update_fields=["password"])
    record(actor, "password.changed", user)
    return user


def _set_role(user: User, role: InstallationRole, *, held: bool) -> None:
    field = {"owner": "is_owner", "auditor": "is_auditor"}[role]
    if getattr(user, field) is held:
        raise Conflict(f"{user} is {'already' if held else 'not'} {role}.")
    setattr(user, field, held)
    user.save(update_fields=[field])


def _keep_an_owner(user: User) -> None:
    """Refuse to take away the last active owner. Owners are locked in order, so that two cannot leave at once."""
    owners = list(
        User.objects.select_for_update()
        .filter(is_owner=True, is_active=True)
        .order_by("pk")
        .values_list("pk")
    )
    if user.is_owner and user.is_active and len(owners) == 1:
        raise Conflict(f"{user} is the last owner. Appoint another owner first.")
