"""A vote counts as long as its voter might cast it: who has lost their standing since is out of the quorum."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pytest_django import DjangoAssertNumQueries

from handrail.accounts.actions import remove_member
from handrail.accounts.models import Project, RoleAssignment, User
from handrail.accounts.permissions import synchronise
from handrail.audit.models import AuditEntry
from handrail.shared.actors import Actor
from handrail.shared.errors import Conflict
from runbooks import approvals, quorum
from runbooks.hooks import approval_changed
from runbooks.models import Approval, RunEvent, Vote
from tests import factories
from tests.hooks import heard_by
from tests.runbooks.execution.stage import Stage
from tests.runbooks.test_approvals import approver, ask, decide, join, state

pytestmark = pytest.mark.django_db

DBA = "{teams: [dba], min: 2}"


@pytest.fixture
def stage(project: Project) -> Stage:
    return Stage(project, factories.actor(factories.person("starter", {project: "admin"})))


def leave(project: Project, person: Actor, slug: str = "dba") -> None:
    """Somebody takes the person out of the team."""
    admin = factories.actor(factories.person(roles={project: "admin"}))
    remove_member(project.teams.get(slug=slug), account(person), actor=admin)


def account(person: Actor) -> User:
    return User.objects.get(pk=person.user_id)


def lose_role(project: Project, person: Actor) -> None:
    RoleAssignment.objects.filter(project=project, user_id=person.user_id).delete()
    synchronise(project, account(person))


def be_closed_out(project: Project, person: Actor) -> None:
    User.objects.filter(pk=person.user_id).update(is_active=False)


def void_reasons() -> dict[str, str]:
    return dict(Vote.objects.exclude(void_reason="").values_list("user_name", "void_reason"))


@pytest.mark.parametrize(
    ("lose", "reason"),
    [
        (leave, "is no longer among those who are asked (dba)"),
        (lose_role, "may no longer approve in this project"),
        (be_closed_out, "may no longer approve in this project"),
    ],
)
def test_a_vote_whose_voter_lost_their_standing_is_void_and_another_one_is_needed(
    stage: Stage, project: Project, lose: Callable[[Project, Actor], None], reason: str
) -> None:
    approval = ask(stage, DBA, rest="inputs: {ticket: {type: string, default: none}}")
    first, second, third = (approver(project, name, "dba") for name in ("d1", "d2", "d3"))
    decide(approval, first, inputs={"ticket": "of-the-void-vote"})
    lose(project, first)
    assert decide(approval, second) == "Your approval counts. Needs 1 more of: dba."
    assert void_reasons() == {"d1": reason}
    assert AuditEntry.objects.filter(action="approval.decided").last().data["void"] == [f"d1 {reason}"]
    assert decide(approval, third) == "Approved. It runs now."
    assert RunEvent.objects.get(type="approval.decided").data["inputs"] == {"ticket": "none"}


def test_who_left_one_of_two_teams_counts_for_the_other(stage: Stage, project: Project) -> None:
    approval = ask(stage, "{teams: [dba, leads], min: 2, min_per_team: {dba: 1}}")
    both = approver(project, "both", "dba", "leads")
    decide(approval, both)
    leave(project, both)
    assert decide(approval, approver(project, "l1", "leads")) == "Your approval counts. Needs 1 of dba."
    assert void_reasons() == {}
    assert Vote.objects.get(user_name="both").teams == ["leads"]


def test_who_is_asked_by_name_need_be_in_no_team(stage: Stage, project: Project) -> None:
    approval = ask(stage, "{teams: [dba], users: [ursula], min: 2}")
    ursula = approver(project, "ursula", "dba")
    decide(approval, ursula)
    leave(project, ursula)
    assert decide(approval, approver(project, "d1", "dba")) == "Approved. It runs now."


def test_whoever_regains_their_standing_votes_again(stage: Stage, project: Project) -> None:
    approval = ask(stage, "{teams: [dba], min: 3}")
    first = approver(project, "d1", "dba")
    decide(approval, first)
    leave(project, first)
    decide(approval, approver(project, "d2", "dba"))
    join(project, account(first), "dba")
    assert approvals.may_decide(approval, first).allowed
    assert decide(approval, first) == "Your approval counts. Needs 1 more of: dba."
    assert void_reasons() == {}
    with pytest.raises(Conflict, match="already voted"):
        decide(approval, first)


def test_the_answers_of_whoever_votes_again_are_the_last(stage: Stage, project: Project) -> None:
    approval = ask(stage, DBA, rest="inputs: {ticket: {type: string, default: none}}")
    first, second = (approver(project, name, "dba") for name in ("d1", "d2"))
    decide(approval, first, inputs={"ticket": "void"})
    leave(project, first)
    decide(approval, second, inputs={"ticket": "second"})
    join(project, account(first), "dba")
    assert decide(approval, first, inputs={"ticket": "again"}) == "Approved. It runs now."
    assert RunEvent.objects.get(type="approval.decided").data["inputs"] == {"ticket": "again"}


def test_the_sweeper_shows_in_time_what_no_longer_counts(stage: Stage, project: Project) -> None:
    approval = ask(stage, DBA)
    first = approver(project, "d1", "dba")
    decide(approval, first)
    assert approvals.recheck_votes() == 0
    leave(project, first)
    told: list[Approval] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(approval_changed, "_subscribers", heard_by(told.append))
        assert [approvals.recheck_votes(), approvals.recheck_votes()] == [1, 0]
    assert [each.pk for each in told] == [approval.pk]
    assert quorum.needs(Approval.objects.get()) == "Needs 2 more of: dba"
    entry = AuditEntry.objects.get(action="approval.votes_voided")
    assert entry.data["votes"] == ["d1 is no longer among those who are asked (dba)"]
    assert state(approval) == "pending"


def test_the_sweeper_shows_in_time_that_a_team_is_short_of_its_number(stage: Stage, project: Project) -> None:
    approval = ask(stage, "{teams: [dba, leads], min: 2, min_per_team: {dba: 1}}")
    both = approver(project, "both", "dba", "leads")
    decide(approval, both)
    leave(project, both)
    told: list[Approval] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(approval_changed, "_subscribers", heard_by(told.append))
        assert [approvals.recheck_votes(), approvals.recheck_votes()] == [0, 0]
    assert [each.pk for each in told] == [approval.pk]
    assert quorum.needs(Approval.objects.get()) == "Needs 1 more of: dba, leads, among them 1 of dba"


def test_many_waiting_approvals_cost_the_sweeper_the_same_as_one(
    stage: Stage, project: Project, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    factories.team(project, slug="dba")
    for n in range(5):
        decide(ask(stage, "{teams: [dba], users: [ursula], min: 2}"), approver(project, f"d{n}", "dba"))
    with django_assert_max_num_queries(5):
        assert approvals.recheck_votes() == 0
