"""What one may read of people, tokens and the audit trail."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from handrail.accounts.models import ApiToken, LinkedIdentity, Project, RoleAssignment, Team, User
from handrail.accounts.permissions import Permission, allows, visible_projects
from handrail.audit.chain import INSTALLATION
from handrail.audit.models import AuditEntry
from handrail.shared.actors import Actor


def audit_visible_to(actor: Actor) -> QuerySet[AuditEntry]:
    """The entries of the audit trail that the actor may read, newest first.

    Owners and auditors: all. Admins of a project: what was done in it, and not what was done to accounts.
    Others: none.
    """
    entries = AuditEntry.objects.filter(chain=INSTALLATION).order_by("-at", "-n")
    if allows(actor, Permission.AUDIT, None):
        return entries
    administered = visible_projects(actor, Permission.ADMINISTER).values_list("pk", flat=True)
    # The trail keeps ids as text: it has no foreign keys.
    return entries.filter(project_id__in=[str(identifier) for identifier in administered])


def teams_visible_to(actor: Actor) -> QuerySet[Team]:
    """The teams of the projects that the actor sees."""
    return Team.objects.filter(project__in=visible_projects(actor)).select_related("project")


def roles_visible_to(actor: Actor) -> QuerySet[RoleAssignment]:
    """Who has which role in the projects that the actor sees."""
    return RoleAssignment.objects.filter(project__in=visible_projects(actor)).select_related(
        "project", "user", "team"
    )


def people_of(project: Project) -> QuerySet[User]:
    """Everybody who has a role in the project, directly or by a team."""
    by_team = Q(teams__roles__project=project)
    return User.objects.filter(Q(roles__project=project) | by_team).distinct()


def tokens_of(user: User) -> QuerySet[ApiToken]:
    """All tokens of an account, newest first."""
    return user.tokens.order_by("-created_at")


def identities_of(user: User) -> QuerySet[LinkedIdentity]:
    """The chat accounts that a person has linked."""
    return user.identities.order_by("linked_at")
