"""Who may do what: one question, ``authorize``; default deny. The only importer of guardian's functions.

Nothing here asks ``has_perm``: that short-circuits for superusers. Separation of duty (the starter does not
approve, the last editor neither) is asked where the duty is, by identity, after this module has said yes.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

from django.contrib.auth.models import Group
from django.db import models
from django.db.models import Exists, OuterRef, Q, QuerySet, Value
from guardian.shortcuts import assign_perm, remove_perm

from handrail.accounts.models import (
    Project,
    ProjectGroupPermission,
    ProjectUserPermission,
    RoleAssignment,
    Team,
    User,
)
from handrail.accounts.roles import (
    AUDITOR_PERMISSIONS,
    CONSOLE_PERMISSIONS,
    OWNER_PERMISSIONS,
    PROJECT_PERMISSIONS,
    WORDS,
    Permission,
    expand,
    roles_with,
)
from handrail.shared.actors import Actor, ActorKind, Channel
from handrail.shared.errors import Forbidden, NotFound
from handrail.shared.statements.compiled import Compiled

__all__ = ["Permission", "allows", "authorize", "holders", "holdings", "remembered", "visible_projects"]

_NOBODY: frozenset[Permission] = frozenset()
_ACTIVE, _OWNER, _AUDITOR = "*active", "*owner", "*auditor"
_Key = tuple[uuid.UUID, uuid.UUID | None]
_memory: ContextVar[dict[_Key, frozenset[Permission]] | None] = ContextVar("permissions", default=None)


def authorize(actor: Actor, permission: Permission, obj: models.Model | None) -> None:
    """Let the act pass, or raise: NotFound when the actor may not even see ``obj``, else Forbidden.

    ``obj`` is a project, anything with a ``project``, or None for the installation itself.
    """
    held = _held(actor, obj)
    if permission in held:
        return
    if obj is not None and Permission.VIEW not in held:
        raise NotFound(f"There is no such {obj._meta.verbose_name}, or you may not see it.")
    raise Forbidden(_refusal(actor, permission, obj), permission=permission.value)


def allows(actor: Actor, permission: Permission, obj: models.Model | None) -> bool:
    """Whether the actor may do it; asks the database once (see :func:`remembered`)."""
    return permission in _held(actor, obj)


def visible_projects(actor: Actor, permission: Permission = Permission.VIEW) -> QuerySet[Project]:
    """The projects where the actor holds ``permission``; lazy, so that it nests as a subquery."""
    if actor.scopes is not None and permission not in actor.scopes:
        return Project.objects.none()
    if actor.user_id is None:
        return Project.objects.all() if permission in _of_system(actor) else Project.objects.none()
    grants = {"content_object": OuterRef("pk"), "permission__codename": permission.value}
    wanted = Q(Exists(ProjectUserPermission.objects.filter(user=actor.user_id, **grants))) | Q(
        Exists(ProjectGroupPermission.objects.filter(group__user=actor.user_id, **grants))
    )
    active = User.objects.filter(pk=actor.user_id, is_active=True)
    if permission in OWNER_PERMISSIONS:
        wanted |= Q(Exists(active.filter(is_owner=True)))
    if permission in AUDITOR_PERMISSIONS:
        wanted |= Q(Exists(active.filter(is_auditor=True)))
    return Project.objects.filter(wanted, Exists(active))


def holders(project: Project, permission: Permission) -> QuerySet[User]:
    """The active people and service accounts whose roles give them ``permission`` in the project."""
    grants = {"content_object": project, "permission__codename": permission.value}
    direct = ProjectUserPermission.objects.filter(user=OuterRef("pk"), **grants)
    by_team = ProjectGroupPermission.objects.filter(group__user=OuterRef("pk"), **grants)
    return User.objects.filter(Exists(direct) | Exists(by_team), is_active=True).order_by("username")


def holdings(users: Collection[uuid.UUID], permission: Permission) -> set[tuple[uuid.UUID, uuid.UUID]]:
    """Which of these accounts hold ``permission`` in which projects, as pairs of ids; only active ones. One query."""
    return set(_holdings(len(users)).all(permission.value, *users)) if users else set()


@lru_cache(maxsize=16)
def _holdings(count: int) -> Compiled[tuple[uuid.UUID, uuid.UUID]]:
    """The question about so many accounts."""
    return Compiled(lambda codename, *users: _holdings_of(codename, users[:count]))


def _holdings_of(codename: str, users: Sequence[uuid.UUID]) -> QuerySet[Any, tuple[uuid.UUID, uuid.UUID]]:
    grants = {"permission__codename": codename}
    direct = ProjectUserPermission.objects.filter(user__in=users, user__is_active=True, **grants)
    by_team = ProjectGroupPermission.objects.filter(
        **grants, group__user__in=users, group__user__is_active=True
    )
    pairs = direct.order_by().values_list("user_id", "content_object_id")
    return pairs.union(by_team.order_by().values_list("group__user", "content_object_id"))


@contextmanager
def remembered() -> Iterator[None]:
    """Ask the database only once for each actor and project until the block ends.

    For reading: a page that draws twenty buttons. Never around an act, which must see a role's loss.
    """
    token = _memory.set({})
    try:
        yield
    finally:
        _memory.reset(token)


def synchronise(project: Project, holder: User | Team) -> None:
    """Make the object permissions of ``holder`` equal to what its roles expand to.

    Called by the actions that write roles, under the lock of the project's row: removing one of two roles
    keeps what the other still gives.
    """
    if isinstance(holder, Team):
        roles = RoleAssignment.objects.filter(project=project, team=holder)
        rows = ProjectGroupPermission.objects.filter(content_object=project, group=holder.group)
        target: Group | User = holder.group
    else:
        roles = RoleAssignment.objects.filter(project=project, user=holder)
        rows = ProjectUserPermission.objects.filter(content_object=project, user=holder)
        target = holder
    wanted = {str(permission) for permission in expand(roles.values_list("role", flat=True))}
    held = set(rows.values_list("permission__codename", flat=True))
    for codename in sorted(wanted - held):
        assign_perm(codename, target, project)
    for codename in sorted(held - wanted):
        remove_perm(codename, target, project)


def _held(actor: Actor, obj: models.Model | None) -> frozenset[Permission]:
    """What the actor holds on the object, less what its token takes away."""
    if actor.user_id is None:
        held = _of_system(actor)
    else:
        held = _of_user(actor.user_id, None if obj is None else _project_id(obj))
    if actor.scopes is None:
        return held
    return frozenset(permission for permission in held if permission in actor.scopes)


def _of_system(actor: Actor) -> frozenset[Permission]:
    """Duties only look; whoever has this machine's command line has the installation."""
    if actor.kind is not ActorKind.SYSTEM:
        return _NOBODY
    if actor.channel is Channel.CLI:
        return CONSOLE_PERMISSIONS
    return frozenset({Permission.VIEW})


def _of_user(user_id: uuid.UUID, project_id: uuid.UUID | None) -> frozenset[Permission]:
    """From the request's memory, or with one query."""
    memory = _memory.get()
    key = (user_id, project_id)
    if memory is not None and key in memory:
        return memory[key]
    held = _from_marks(_marks(user_id, project_id), of_project=project_id is not None)
    if memory is not None:
        memory[key] = held
    return held


def _marks(user_id: uuid.UUID, project_id: uuid.UUID | None) -> set[str]:
    """What the database says of an account, in one query: its flags, and its grants on a project."""
    rows = _FLAGS.rows(user_id) if project_id is None else _GRANTS.rows(user_id, project_id)
    return {mark for (mark,) in rows}


def _marks_of(user_id: uuid.UUID, project_id: uuid.UUID | None = None) -> QuerySet[User, tuple[str]]:
    account = User.objects.order_by().filter(pk=user_id, is_active=True)
    parts: list[QuerySet[User, tuple[str]]] = [
        account.values_list(Value(_ACTIVE)),
        account.filter(is_owner=True).values_list(Value(_OWNER)),
        account.filter(is_auditor=True).values_list(Value(_AUDITOR)),
    ]
    if project_id is None:
        return parts[0].union(*parts[1:])
    direct = ProjectUserPermission.objects.filter(user=user_id, content_object=project_id)
    by_team = ProjectGroupPermission.objects.filter(group__user=user_id, content_object=project_id)
    grants = [rows.order_by().values_list("permission__codename") for rows in (direct, by_team)]
    return parts[0].union(*parts[1:], *grants)


_FLAGS, _GRANTS = Compiled(_marks_of), Compiled(_marks_of)


def _from_marks(marks: set[str], *, of_project: bool) -> frozenset[Permission]:
    if _ACTIVE not in marks:
        return _NOBODY
    if not of_project:
        held = {Permission.OWN, Permission.AUDIT} if _OWNER in marks else set()
        return frozenset(held | ({Permission.AUDIT} if _AUDITOR in marks else set()))
    held = {permission for permission in PROJECT_PERMISSIONS if permission.value in marks}
    if _OWNER in marks:
        held |= OWNER_PERMISSIONS
    if _AUDITOR in marks:
        held |= AUDITOR_PERMISSIONS
    return frozenset(held)


def _project_id(obj: models.Model) -> uuid.UUID:
    """The project behind an object, without a query where the object knows its key."""
    if isinstance(obj, Project):
        return obj.pk
    identifier = getattr(obj, "project_id", None)
    if isinstance(identifier, uuid.UUID):
        return identifier
    project = getattr(obj, "project", None)
    if isinstance(project, Project):
        return project.pk
    raise TypeError(f"a {type(obj).__name__} belongs to no project: authorise on what it is part of")


def _refusal(actor: Actor, permission: Permission, obj: models.Model | None) -> str:
    if actor.scopes is not None and permission not in actor.scopes:
        return f"This token does not have the scope “{permission}”, which is needed to {WORDS[permission]}."
    if obj is None:
        role = "an owner" if permission is Permission.OWN else "an owner or an auditor"
        return f"Only {role} of the installation may {WORDS[permission]}."
    roles = roles_with(permission)
    listed = roles[0] if len(roles) == 1 else f"{', '.join(roles[:-1])} or {roles[-1]}"
    return (
        f"Your roles in this project do not let you {WORDS[permission]}: that needs {listed}. "
        "Ask an admin of the project."
    )
