"""What each role lets its holder do: pure data, the source of `docs/reference/permissions.md`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum


class Permission(StrEnum):
    """What may be asked of :func:`handrail.accounts.permissions.authorize`.

    The first seven belong to a project; ``audit`` and ``own`` to the whole installation.
    """

    VIEW = "view"
    RESPOND = "respond"
    AUTHOR = "author"
    PUBLISH = "publish"
    APPROVE = "approve"
    OPERATE = "operate"
    ADMINISTER = "administer"
    AUDIT = "audit"
    OWN = "own"


PROJECT_PERMISSIONS: frozenset[Permission] = frozenset(Permission) - {Permission.AUDIT, Permission.OWN}
"""The permissions that a role on a project can give."""

OWNER_PERMISSIONS: frozenset[Permission] = frozenset({Permission.VIEW, Permission.ADMINISTER})
"""What an owner of the installation may do in every project. For more, a role must be given: a visible act."""

CONSOLE_PERMISSIONS: frozenset[Permission] = frozenset(Permission) - {Permission.RESPOND, Permission.APPROVE}
"""What whoever has this machine's command line may do. Runs and approvals need somebody with a name."""

AUDITOR_PERMISSIONS: frozenset[Permission] = frozenset({Permission.VIEW})
"""What an auditor may do in every project."""

ROLES: Mapping[str, frozenset[Permission]] = {
    "viewer": frozenset({Permission.VIEW}),
    "responder": frozenset({Permission.VIEW, Permission.RESPOND}),
    "author": frozenset({Permission.VIEW, Permission.AUTHOR}),
    "approver": frozenset({Permission.VIEW, Permission.APPROVE, Permission.PUBLISH}),
    "operator": frozenset({Permission.VIEW, Permission.OPERATE}),
    "admin": PROJECT_PERMISSIONS,
}
"""Role on a project -> the permissions it expands to. Whoever edits drafts does not by that publish them."""

WORDS: Mapping[Permission, str] = {
    Permission.VIEW: "see everything in the project",
    Permission.RESPOND: "start and stop runs, acknowledge and steer incidents",
    Permission.AUTHOR: "edit runbook drafts",
    Permission.PUBLISH: "publish runbook versions",
    Permission.APPROVE: "decide approvals",
    Permission.OPERATE: "manage sources, connections, secrets, kill switches and circuits",
    Permission.ADMINISTER: "manage members, teams and service accounts",
    Permission.AUDIT: "read the whole audit trail",
    Permission.OWN: "manage the installation",
}
"""What a permission lets one do, to be read after "to"."""


def expand(roles: Iterable[str]) -> frozenset[Permission]:
    """The permissions of several roles together."""
    return frozenset(permission for role in roles for permission in ROLES[role])


def roles_with(permission: Permission) -> list[str]:
    """The roles that include a permission, in the order of the table."""
    return [role for role, permissions in ROLES.items() if permission in permissions]
