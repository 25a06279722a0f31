"""The verbs of accounts: each authorised, audited, and refused in words."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.db.models import QuerySet
from django.test import RequestFactory
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from handrail.accounts import actions, queries
from handrail.accounts.actors import CONSOLE, actor_of_request
from handrail.accounts.authentication import TokenAuthentication
from handrail.accounts.models import ApiToken, Project, Team, User
from handrail.accounts.permissions import Permission, allows
from handrail.alerts import actions as alerts
from handrail.audit.models import AuditEntry
from handrail.shared.actors import Actor, ActorKind, Channel
from handrail.shared.clock import now
from handrail.shared.errors import Conflict, Forbidden, Invalid, NotFound
from tests import factories

pytestmark = pytest.mark.django_db


def ask(plain: str) -> Actor:
    """The actor of a request with this token."""
    request = Request(RequestFactory().get("/", headers={"Authorization": f"Bearer {plain}"}))
    found = TokenAuthentication().authenticate(request)
    assert found is not None
    return actor_of_request(request)


def last_entry() -> AuditEntry:
    return AuditEntry.objects.latest("n")


def test_whoever_makes_a_project_is_its_first_admin(owner: User) -> None:
    actor = factories.actor(owner)
    project = actions.create_project("pay", "Payments", actor=actor)
    assert allows(actor, Permission.APPROVE, project)
    assert (last_entry().action, last_entry().project_id) == ("project.created", str(project.pk))


def test_only_owners_make_projects_and_people(admin: Actor) -> None:
    with pytest.raises(Forbidden):
        actions.create_project("pay", "Payments", actor=admin)
    with pytest.raises(Forbidden):
        actions.create_user("eve", actor=admin)
    assert not AuditEntry.objects.exists()


def test_names_that_are_taken_or_malformed_are_refused_in_words(project: Project) -> None:
    with pytest.raises(Conflict, match="called shop already"):
        actions.create_project("shop", "Again", actor=CONSOLE)
    with pytest.raises(Invalid, match="slug"):
        actions.create_project("no spaces", "x", actor=CONSOLE)
    with pytest.raises(Invalid, match="username"):
        actions.create_user("né e", actor=CONSOLE)
    with pytest.raises(Invalid, match="too short"):
        actions.create_user("eve", password="short", actor=CONSOLE)


def test_who_comes_second_at_the_same_moment_hears_that_the_name_is_taken(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    robot = factories.service_account(project, "responder", username="robot")
    newcomer = actions.create_user("newcomer", actor=CONSOLE)
    link = actions.make_sign_in_link(newcomer, actor=CONSOLE).url.split("/")[-2]
    factories.team(project, slug="ops")
    source = factories.source(project, name="Prometheus")
    # Nobody of that name was there when they looked.
    monkeypatch.setattr(QuerySet, "exists", lambda _: False)
    monkeypatch.setattr(alerts, "_check_run_as", lambda *_: None)
    redeem = {"username": "robot", "name": "", "password": "correct horse battery"}
    for act in (
        lambda: actions.create_project("shop", "Again", actor=CONSOLE),
        lambda: actions.create_team(project, "ops", "Again", actor=CONSOLE),
        lambda: actions.create_user("robot", actor=CONSOLE),
        lambda: actions.create_service_account(project, "robot", actor=CONSOLE),
        lambda: actions.redeem_sign_in_link(link, **redeem, actor=CONSOLE),
        lambda: alerts.create_source(project, source.kind, source.name, run_as=robot, actor=CONSOLE),
    ):
        with pytest.raises(Conflict, match=r"called .* already"):
            act()


def test_a_new_person_has_no_password(project: Project) -> None:
    assert not actions.create_user("eve", actor=CONSOLE).has_usable_password()


def test_roles_are_given_by_admins_of_that_project_alone(
    project: Project, admin: Actor, outsider: Actor, responder: Actor
) -> None:
    eve = factories.person("eve")
    actions.assign_role(project, eve, "viewer", actor=admin)
    assert (last_entry().action, last_entry().data["role"]) == ("role.assigned", "viewer")
    with pytest.raises(NotFound):
        actions.assign_role(project, eve, "admin", actor=outsider)
    with pytest.raises(Forbidden):
        actions.assign_role(project, eve, "admin", actor=responder)
    with pytest.raises(Invalid, match="The roles are: viewer"):
        actions.assign_role(project, eve, "emperor", actor=admin)
    with pytest.raises(Conflict):
        actions.assign_role(project, eve, "viewer", actor=admin)


def test_teams_and_service_accounts_stay_behind_their_wall(project: Project, other_project: Project) -> None:
    robot = factories.service_account(project)
    team = factories.team(project)
    for holder in (robot, team):
        assert isinstance(holder, User | Team)
        with pytest.raises(Invalid, match="another project"):
            actions.assign_role(other_project, holder, "viewer", actor=CONSOLE)


def test_the_last_owner_stays(owner: User) -> None:
    with pytest.raises(Conflict, match="last owner"):
        actions.deactivate_user(owner, actor=CONSOLE)
    with pytest.raises(Conflict, match="last owner"):
        actions.dismiss(owner, "owner", actor=CONSOLE)
    second = factories.person("second")
    actions.appoint(second, "owner", actor=CONSOLE)
    actions.dismiss(owner, "owner", actor=CONSOLE)
    assert list(User.objects.filter(is_owner=True)) == [second]


def test_a_token_works_within_its_scopes_and_is_stored_hashed(project: Project) -> None:
    ada = factories.person("ada", {project: "admin"})
    plain = factories.token(ada, "respond")
    actor = ask(plain)
    assert (actor.user_id, actor.channel, actor.kind) == (ada.pk, Channel.API, ActorKind.USER)
    assert allows(actor, Permission.RESPOND, project)
    assert allows(actor, Permission.VIEW, project)
    assert not allows(actor, Permission.ADMINISTER, project)
    assert plain.startswith("hr_")
    assert plain not in str(list(ApiToken.objects.values())) + str(list(AuditEntry.objects.values()))


@pytest.mark.parametrize("plain", ["", "hr_", "hr_unknown", "x" * 10_000, "hr_ü", "nothr_x"])
def test_a_token_that_is_none_is_refused(plain: str) -> None:
    with pytest.raises(AuthenticationFailed, match="unknown, expired or revoked"):
        ask(plain)


def test_a_token_ends_by_expiry_revocation_or_deactivation(project: Project) -> None:
    ada = factories.person("ada")
    expiring, revoked, orphaned = (factories.token(ada, "view") for _ in range(3))
    with time_machine.travel(now() + timedelta(days=1, seconds=1)), pytest.raises(AuthenticationFailed):
        ask(expiring)
    actions.revoke_token(ApiToken.objects.get(prefix=revoked[:10]), actor=factories.actor(ada))
    with pytest.raises(AuthenticationFailed):
        ask(revoked)
    actions.deactivate_user(ada, actor=CONSOLE)
    with pytest.raises(AuthenticationFailed):
        ask(orphaned)


def test_the_last_use_is_kept_to_the_minute() -> None:
    plain = factories.token(factories.person(), "view")
    ask(plain)
    first = ApiToken.objects.get().last_used_at
    ask(plain)
    assert ApiToken.objects.get().last_used_at == first
    with time_machine.travel(now() + timedelta(seconds=61)):
        ask(plain)
    assert ApiToken.objects.get().last_used_at != first


def test_nobody_makes_a_token_in_another_persons_name(owner: User) -> None:
    with pytest.raises(NotFound):
        actions.create_token(factories.person(), "x", scopes=["view"], actor=factories.actor(owner))


def test_a_token_cannot_make_one_that_may_more() -> None:
    ada = factories.person("ada")
    actor = ask(factories.token(ada, "view"))
    with pytest.raises(Forbidden, match="more than itself: own"):
        actions.create_token(ada, "x", scopes=["own"], actor=actor)


def test_what_a_token_makes_ends_with_it_at_the_latest() -> None:
    ada = factories.person("ada")
    actor = ask(factories.token(ada, "view", lasts=timedelta(days=30)))
    end = ApiToken.objects.get().expires_at
    with pytest.raises(Forbidden, match=f"outlives it: it ends at {end:%Y-%m-%d %H:%M} UTC"):
        actions.create_token(ada, "x", scopes=["view"], lasts=timedelta(days=31), actor=actor)
    assert actions.create_token(ada, "x", scopes=["view"], actor=actor).row.expires_at == end
    shorter = actions.create_token(ada, "x", scopes=["view"], lasts=timedelta(days=29), actor=actor)
    assert shorter.row.expires_at < end


def test_service_accounts_get_their_tokens_from_admins_of_their_project(
    project: Project, admin: Actor, outsider: Actor
) -> None:
    robot = actions.create_service_account(project, "robot", actor=admin)
    made = actions.create_token(robot, "ci", scopes=["respond"], actor=admin)
    assert ask(made.plain).kind is ActorKind.SERVICE
    with pytest.raises(NotFound):
        actions.create_token(robot, "x", scopes=["view"], actor=outsider)
    with pytest.raises(NotFound):
        actions.revoke_token(made.row, actor=outsider)


@pytest.mark.parametrize(
    ("scopes", "lasts"),
    [([], timedelta(1)), (["fly"], timedelta(1)), (["view"], timedelta(367)), (["view"], timedelta(0))],
)
def test_tokens_without_sense_are_refused(scopes: list[str], lasts: timedelta) -> None:
    ada = factories.person("ada")
    with pytest.raises(Invalid):
        actions.create_token(ada, "x", scopes=scopes, lasts=lasts, actor=factories.actor(ada))


def test_a_password_is_changed_by_its_owner_after_the_current_one() -> None:
    ada = factories.person("ada")
    actor = factories.actor(ada)
    with pytest.raises(Invalid, match="not your current password"):
        actions.change_password(ada, current="wrong", new="another long secret", actor=actor)
    with pytest.raises(Forbidden):
        actions.change_password(ada, current=factories.PASSWORD, new="another long secret", actor=CONSOLE)
    actions.change_password(ada, current=factories.PASSWORD, new="another long secret", actor=actor)
    assert "another" not in str(last_entry().data)


def test_the_trail_is_read_by_owners_auditors_and_in_part_by_admins(
    project: Project, other_project: Project, admin: Actor, viewer: Actor, owner: User
) -> None:
    for where in (project, other_project):
        factories.team(where)
    actions.create_user("eve", actor=CONSOLE)
    everything = queries.audit_visible_to(factories.actor(owner))
    assert everything.count() == queries.audit_visible_to(factories.actor(factories.auditor())).count() == 3
    assert {entry.project_id for entry in queries.audit_visible_to(admin)} == {str(project.pk)}
    assert not queries.audit_visible_to(viewer).exists()
