"""Projects, teams, roles and service accounts over REST."""

from __future__ import annotations

import uuid

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from handrail.accounts import actions
from handrail.accounts.api.shapes import (
    AccountBody,
    AccountShape,
    MemberBody,
    ProjectBody,
    ProjectFilter,
    ProjectShape,
    RoleBody,
    RoleShape,
    TeamBody,
    TeamShape,
)
from handrail.accounts.models import Project, Team, User
from handrail.accounts.permissions import Permission, authorize, visible_projects
from handrail.accounts.queries import roles_visible_to, teams_visible_to
from handrail.shared.actors import Actor
from handrail.shared.errors import Invalid, NotFound
from handrail.shared.rest.fields import NoFilters
from handrail.shared.rest.schema import PAGING
from handrail.shared.rest.views import Endpoint, one_of


def project_of(actor: Actor, slug: str) -> Project:
    """The project of an address, or NotFound."""
    project = visible_projects(actor).filter(slug=slug).first()
    if project is None:
        raise NotFound("There is no such project, or you may not see it.")
    return project


def project_named(actor: Actor, slug: str) -> Project:
    """The project that a body names, or Invalid."""
    return one_of(visible_projects(actor), "project", slug=slug)


class Projects(Endpoint):
    """Projects."""

    @extend_schema(operation_id="list_projects", parameters=PAGING, responses=ProjectShape(many=True))
    def get(self, request: Request) -> Response:
        """The projects that you see."""
        self.filters(NoFilters)
        return self.page(visible_projects(self.actor), ProjectShape)

    @extend_schema(operation_id="create_project", request=ProjectBody, responses={201: ProjectShape})
    def post(self, request: Request) -> Response:
        """A new project; you are its first admin. Needs an owner of the installation."""
        made = actions.create_project(**self.body(ProjectBody), actor=self.actor)
        return Response(ProjectShape(made).data, status=201)


class OneProject(Endpoint):
    """One project."""

    @extend_schema(operation_id="get_project", responses=ProjectShape)
    def get(self, request: Request, project: str) -> Response:
        """One project."""
        return Response(ProjectShape(project_of(self.actor, project)).data)


class Teams(Endpoint):
    """Teams."""

    @extend_schema(
        operation_id="list_teams", parameters=[ProjectFilter, *PAGING], responses=TeamShape(many=True)
    )
    def get(self, request: Request) -> Response:
        """The teams of the projects that you see."""
        where = self.where(ProjectFilter, project="project__slug")
        rows = teams_visible_to(self.actor).filter(**where).prefetch_related("members")
        return self.page(rows, TeamShape)

    @extend_schema(operation_id="create_team", request=TeamBody, responses={201: TeamShape})
    def post(self, request: Request) -> Response:
        """An empty team without roles. Needs `administer`."""
        given = self.body(TeamBody)
        project = project_named(self.actor, given.pop("project"))
        return Response(TeamShape(actions.create_team(project, **given, actor=self.actor)).data, status=201)


class Members(Endpoint):
    """The members of a team."""

    @extend_schema(operation_id="add_member", request=MemberBody, responses={201: TeamShape})
    def post(self, request: Request, team_id: uuid.UUID) -> Response:
        """Put a person into a team. Needs `administer`."""
        team = _team(self.actor, team_id)
        authorize(self.actor, Permission.ADMINISTER, team)
        actions.add_member(team, _person(self.body(MemberBody)["username"]), actor=self.actor)
        return Response(TeamShape(team).data, status=201)


class OneMember(Endpoint):
    """One member of a team."""

    @extend_schema(operation_id="remove_member", request=None, responses={204: None})
    def delete(self, request: Request, team_id: uuid.UUID, username: str) -> Response:
        """Take a person out of a team. Needs `administer`."""
        team = _team(self.actor, team_id)
        authorize(self.actor, Permission.ADMINISTER, team)
        person = team.members.filter(username=username).first()
        if person is None:
            raise NotFound("This team has no such member.")
        actions.remove_member(team, person, actor=self.actor)
        return Response(status=204)


class Roles(Endpoint):
    """Who has which role."""

    @extend_schema(
        operation_id="list_roles", parameters=[ProjectFilter, *PAGING], responses=RoleShape(many=True)
    )
    def get(self, request: Request) -> Response:
        """Who has which role in the projects that you see."""
        where = self.where(ProjectFilter, project="project__slug")
        return self.page(roles_visible_to(self.actor).filter(**where), RoleShape)

    @extend_schema(operation_id="assign_role", request=RoleBody, responses={201: RoleShape})
    def post(self, request: Request) -> Response:
        """Give a person, a service account or a team a role. Needs `administer`."""
        given = self.body(RoleBody)
        project = project_named(self.actor, given["project"])
        authorize(self.actor, Permission.ADMINISTER, project)
        if ("user" in given) == ("team" in given):
            raise Invalid("Name either a user or a team.")
        holder: User | Team
        if "team" in given:
            teams = teams_visible_to(self.actor).filter(project=project)
            holder = one_of(teams, "team", slug=given["team"])
        else:
            holder = _account(given["user"])
        made = actions.assign_role(project, holder, given["role"], actor=self.actor)
        return Response(RoleShape(made).data, status=201)


class OneRole(Endpoint):
    """One role of somebody."""

    @extend_schema(operation_id="remove_role", request=None, responses={204: None})
    def delete(self, request: Request, role_id: uuid.UUID) -> Response:
        """Take the role away. Needs `administer`."""
        role = roles_visible_to(self.actor).filter(pk=role_id).first()
        if role is None:
            raise NotFound("There is no such role, or you may not see it.")
        for holder in (role.user, role.team):
            if holder is not None:
                actions.remove_role(role.project, holder, role.role, actor=self.actor)
        return Response(status=204)


class ServiceAccounts(Endpoint):
    """Accounts for programs."""

    @extend_schema(
        operation_id="list_service_accounts",
        parameters=[ProjectFilter, *PAGING],
        responses=AccountShape(many=True),
    )
    def get(self, request: Request) -> Response:
        """The service accounts of the projects that you see."""
        where = self.where(ProjectFilter, project="project__slug")
        return self.page(_service_accounts(self.actor).filter(**where), AccountShape)

    @extend_schema(operation_id="create_service_account", request=AccountBody, responses={201: AccountShape})
    def post(self, request: Request) -> Response:
        """An account for a program, without roles. Needs `administer`."""
        given = self.body(AccountBody)
        project = project_named(self.actor, given.pop("project"))
        made = actions.create_service_account(project, **given, actor=self.actor)
        return Response(AccountShape(made).data, status=201)


def _service_accounts(actor: Actor) -> QuerySet[User]:
    rows = User.objects.filter(kind=User.Kind.SERVICE, project__in=visible_projects(actor))
    return rows.select_related("project")


def _team(actor: Actor, team_id: uuid.UUID) -> Team:
    team = teams_visible_to(actor).filter(pk=team_id).first()
    if team is None:
        raise NotFound("There is no such team, or you may not see it.")
    return team


def _account(username: str) -> User:
    """Any account: only an admin comes this far, and has to know the name."""
    return one_of(User.objects.filter(is_active=True), "account", field="user", username=username)


def _person(username: str) -> User:
    people = User.objects.filter(is_active=True, kind=User.Kind.PERSON)
    return one_of(people, "person", field="username", username=username)
