"""Who may do what, and that one question costs one query."""

from __future__ import annotations

import pytest
from pytest_django import DjangoAssertNumQueries

from handrail.accounts import actions
from handrail.accounts.actors import CONSOLE
from handrail.accounts.models import Project, User
from handrail.accounts.permissions import Permission, allows, authorize, holders, remembered, visible_projects
from handrail.accounts.roles import PROJECT_PERMISSIONS, ROLES, expand
from handrail.shared.actors import Actor, Channel
from handrail.shared.errors import Forbidden, NotFound
from tests import factories

pytestmark = pytest.mark.django_db


def held(actor: Actor, project: Project) -> set[str]:
    return {permission.value for permission in Permission if allows(actor, permission, project)}


@pytest.mark.parametrize("role", list(ROLES))
def test_a_role_gives_what_its_row_of_the_table_says(project: Project, role: str) -> None:
    assert held(factories.actor(factories.person("ada", {project: role})), project) == set(ROLES[role])


@pytest.mark.parametrize("role", list(ROLES))
def test_a_role_gives_nothing_elsewhere(project: Project, other_project: Project, role: str) -> None:
    actor = factories.actor(factories.person("ada", {project: role}))
    assert held(actor, other_project) == set()
    assert list(visible_projects(actor)) == [project]


def test_the_models_permissions_are_those_of_the_table() -> None:
    assert {name for name, _ in Project._meta.permissions} == set(PROJECT_PERMISSIONS)


def test_a_team_gives_its_roles_to_its_members_only_while_they_are_members(project: Project) -> None:
    ada = factories.person("ada")
    team = factories.team(project, ada, role="responder")
    assert held(factories.actor(ada), project) == {"view", "respond"}
    actions.remove_member(team, ada, actor=CONSOLE)
    assert held(factories.actor(ada), project) == set()


def test_removing_one_of_two_roles_keeps_what_they_share(project: Project) -> None:
    ada = factories.person("ada", {project: "author"})
    actions.assign_role(project, ada, "responder", actor=CONSOLE)
    assert held(factories.actor(ada), project) == {"view", "author", "respond"}
    actions.remove_role(project, ada, "author", actor=CONSOLE)
    assert held(factories.actor(ada), project) == {"view", "respond"}
    actions.remove_role(project, ada, "responder", actor=CONSOLE)
    assert held(factories.actor(ada), project) == set()


def test_djangos_superuser_flag_gives_nothing(project: Project) -> None:
    assert held(factories.actor(factories.person(is_superuser=True)), project) == set()


def test_an_owner_sees_and_administers_every_project_and_no_more(project: Project, owner: User) -> None:
    actor = factories.actor(owner)
    assert held(actor, project) == {"view", "administer"}
    assert allows(actor, Permission.OWN, None)
    assert list(visible_projects(actor)) == [project]
    assert list(visible_projects(actor, Permission.APPROVE)) == []


def test_an_auditor_sees_every_project_and_changes_none(project: Project) -> None:
    actor = factories.actor(factories.auditor())
    assert held(actor, project) == {"view"}
    assert allows(actor, Permission.AUDIT, None)
    assert not allows(actor, Permission.OWN, None)


def test_whoever_is_deactivated_may_nothing(project: Project) -> None:
    ada = factories.person("ada", {project: "admin"}, is_owner=True, is_active=False)
    assert held(factories.actor(ada), project) == set()
    assert list(visible_projects(factories.actor(ada))) == []
    assert list(holders(project, Permission.VIEW)) == []
    assert not allows(factories.actor(ada), Permission.OWN, None)


def test_a_tokens_scopes_only_take_away(project: Project) -> None:
    ada = factories.person("ada", {project: "responder"})
    actor = factories.actor(ada)
    scoped = Actor(actor.kind, actor.name, Channel.API, ada.pk, scopes=frozenset({"view", "approve"}))
    assert held(scoped, project) == {"view"}
    with pytest.raises(Forbidden, match="does not have the scope “respond”"):
        authorize(scoped, Permission.RESPOND, project)
    blind = Actor(actor.kind, actor.name, Channel.API, ada.pk, scopes=frozenset({"respond"}))
    assert list(visible_projects(blind)) == []


def test_the_system_looks_and_does_nothing(project: Project) -> None:
    assert held(Actor.system("sweeper"), project) == {"view"}


def test_the_command_line_may_all_but_start_and_approve(project: Project) -> None:
    assert held(CONSOLE, project) == {str(each) for each in Permission} - {"respond", "approve"}


def test_what_one_may_not_see_does_not_exist_and_what_one_may_is_forbidden(
    project: Project, outsider: Actor, viewer: Actor
) -> None:
    incident = factories.incident(project)
    with pytest.raises(NotFound):
        authorize(outsider, Permission.RESPOND, incident)
    with pytest.raises(Forbidden, match="that needs responder or admin"):
        authorize(viewer, Permission.RESPOND, incident)


def test_one_question_costs_one_query(
    project: Project, responder: Actor, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    incident = factories.incident(project)
    with django_assert_num_queries(1):
        authorize(responder, Permission.RESPOND, incident)
    with django_assert_num_queries(1):
        list(visible_projects(responder))


def test_many_questions_of_a_page_cost_one_query(
    project: Project, responder: Actor, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(1), remembered():
        assert held(responder, project) == {"view", "respond"}
    actions.remove_role(project, User.objects.get(pk=responder.user_id), "responder", actor=CONSOLE)
    assert held(responder, project) == set(), "nothing is remembered afterwards"


def test_holders_are_the_people_of_a_permission(project: Project) -> None:
    ada, lin = factories.person("ada", {project: "approver"}), factories.person("lin")
    factories.team(project, lin, role="admin")
    factories.person("eve", {project: "viewer"})
    assert list(holders(project, Permission.APPROVE)) == [ada, lin]


def test_expanding_is_the_union() -> None:
    assert expand([]) == frozenset()
    assert expand(["viewer", "approver"]) == ROLES["approver"]
