"""Projects, their teams, service accounts and roles. Roles become object permissions here and nowhere else."""

from __future__ import annotations

from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import QuerySet

from handrail.accounts.actions.fields import check, unless_taken
from handrail.accounts.models import Project, RoleAssignment, Team, User
from handrail.accounts.permissions import Permission, authorize, synchronise
from handrail.accounts.roles import ROLES
from handrail.audit.actions import record
from handrail.shared.actors import Actor
from handrail.shared.errors import Conflict, Invalid, NotFound
from handrail.shared.ids import new_id


@transaction.atomic
def create_project(slug: str, name: str, *, actor: Actor) -> Project:
    """A project; whoever made it is its first admin. Needs an owner of the installation."""
    authorize(actor, Permission.OWN, None)
    project = Project(slug=slug, name=name)
    check(project, "slug", "name")
    taken = f"There is a project called {slug} already."
    if Project.objects.filter(slug=slug).exists():
        raise Conflict(taken)
    with unless_taken(taken):
        project.save()
    if actor.user_id is not None:
        creator = User.objects.get(pk=actor.user_id)
        RoleAssignment.objects.create(project=project, user=creator, role=RoleAssignment.Role.ADMIN)
        synchronise(project, creator)
    record(actor, "project.created", project, data={"slug": slug})
    return project


@transaction.atomic
def create_team(project: Project, slug: str, name: str, *, actor: Actor) -> Team:
    """An empty team without roles. Needs administer on the project."""
    authorize(actor, Permission.ADMINISTER, project)
    identifier = new_id()
    team = Team(id=identifier, project=project, slug=slug, name=name)
    check(team, "slug", "name")
    taken = f"There is a team called {slug} in this project already."
    if Team.objects.filter(project=project, slug=slug).exists():
        raise Conflict(taken)
    team.group = Group.objects.create(name=f"team:{identifier}")
    with unless_taken(taken):
        team.save()
    record(actor, "team.created", team, data={"slug": slug})
    return team


@transaction.atomic
def add_member(team: Team, user: User, *, actor: Actor) -> None:
    """Put a person into a team: the team's roles are theirs at once. Needs administer on its project."""
    authorize(actor, Permission.ADMINISTER, team)
    team = Team.objects.select_for_update().get(pk=team.pk)
    if user.kind != User.Kind.PERSON or not user.is_active:
        raise Invalid(f"Teams are of active people: {user} is not one.")
    if team.members.filter(pk=user.pk).exists():
        raise Conflict(f"{user} is in {team} already.")
    team.members.add(user)
    team.group.user_set.add(user)
    record(actor, "team.member_added", team, data={"user": user.username})


@transaction.atomic
def remove_member(team: Team, user: User, *, actor: Actor) -> None:
    """Take a person out of a team. Needs administer on its project."""
    authorize(actor, Permission.ADMINISTER, team)
    team = Team.objects.select_for_update().get(pk=team.pk)
    if not team.members.filter(pk=user.pk).exists():
        raise NotFound(f"{user} is not in {team}.")
    team.members.remove(user)
    team.group.user_set.remove(user)
    record(actor, "team.member_removed", team, data={"user": user.username})


@transaction.atomic
def create_service_account(project: Project, username: str, *, actor: Actor, name: str = "") -> User:
    """An account for a program, at home in one project, without roles or password. Needs administer there."""
    authorize(actor, Permission.ADMINISTER, project)
    account = User(username=User.normalize_username(username), name=name)
    check(account, "username", "name")
    taken = f"There is an account called {account.username} already."
    if User.objects.filter(username=account.username).exists():
        raise Conflict(taken)
    with unless_taken(taken):
        account = User.objects.create_user(
            account.username, name=name, kind=User.Kind.SERVICE, project=project
        )
    record(actor, "service_account.created", account, data={"username": account.username})
    return account


@transaction.atomic
def assign_role(project: Project, holder: User | Team, role: str, *, actor: Actor) -> RoleAssignment:
    """Give a person, service account or team a role on a project. Needs administer on it."""
    authorize(actor, Permission.ADMINISTER, project)
    # One at a time: expanding reads all roles of the holder.
    project = Project.objects.select_for_update().get(pk=project.pk)
    if role not in ROLES:
        raise Invalid(f"There is no role “{role}”. The roles are: {', '.join(ROLES)}.")
    home = holder.project_id
    if home is not None and home != project.pk:
        raise Invalid(f"{holder} belongs to another project and has roles there only.")
    if _roles_of(project, holder).filter(role=role).exists():
        raise Conflict(f"{holder} is {role} here already.")
    if isinstance(holder, Team):
        assignment = RoleAssignment.objects.create(project=project, team=holder, role=role)
    else:
        assignment = RoleAssignment.objects.create(project=project, user=holder, role=role)
    synchronise(project, holder)
    record(
        actor, "role.assigned", holder, project_id=project.pk, data={"role": role, "project": project.slug}
    )
    return assignment


@transaction.atomic
def remove_role(project: Project, holder: User | Team, role: str, *, actor: Actor) -> None:
    """Take a role away; what the holder's other roles give stays. Needs administer on the project."""
    authorize(actor, Permission.ADMINISTER, project)
    project = Project.objects.select_for_update().get(pk=project.pk)
    deleted, _ = _roles_of(project, holder).filter(role=role).delete()
    if not deleted:
        raise NotFound(f"{holder} is not {role} here.")
    synchronise(project, holder)
    record(actor, "role.removed", holder, project_id=project.pk, data={"role": role, "project": project.slug})


def _roles_of(project: Project, holder: User | Team) -> QuerySet[RoleAssignment]:
    if isinstance(holder, Team):
        return RoleAssignment.objects.filter(project=project, team=holder)
    return RoleAssignment.objects.filter(project=project, user=holder)
