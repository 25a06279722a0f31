"""Who may decide an approval, what a vote leads to, and that exactly one decision is ever made."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from handrail.accounts.models import Project, RoleAssignment, User
from handrail.accounts.permissions import synchronise
from handrail.audit.models import AuditEntry
from handrail.shared.actors import Actor, Channel
from handrail.shared.clock import database_now
from handrail.shared.errors import Conflict, Forbidden, HandrailError, Invalid, NotFound
from runbooks import approvals, quorum, runs
from runbooks.models import Approval, Run, RunEvent, Vote
from tests import factories
from tests.runbooks.execution.stage import Stage

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stage(project: Project) -> Stage:
    return Stage(project, factories.actor(factories.person("starter", {project: "admin"})))


def ask(stage: Stage, approvers: str = "{min: 1}", rest: str = "") -> Approval:
    """A run that waits for an answer about one step."""
    steps = f"""
- id: ask
  kind: approval
  prompt: "Restart it?"
  for: [restart]
  approvers: {approvers}
  timeout: 15m
  on_reject: continue
  {rest}
- id: restart
  uses: noop
  when: steps.ask.decision == "approved"
"""
    run = stage.start(stage.publish(steps, slug=factories.unique("restart")))
    return Approval.objects.get(run=run)


def approver(project: Project, name: str = "", *teams: str) -> Actor:
    user = factories.person(name, {project: "approver"})
    for slug in teams:
        join(project, user, slug)
    return factories.actor(user)


def join(project: Project, user: User, slug: str) -> None:
    team = project.teams.filter(slug=slug).first() or factories.team(project, slug=slug)
    team.members.add(user)


def decide(approval: Approval, actor: Actor, decision: str = "approve", **more: object) -> str:
    reason = str(more.get("reason", "because"))
    inputs = more.get("inputs")
    assert inputs is None or isinstance(inputs, dict)
    result = approvals.decide(approval.pk, actor=actor, decision=decision, reason=reason, inputs=inputs)
    return result.message


def state(approval: Approval) -> str:
    return Approval.objects.get(pk=approval.pk).state


# --- who may decide ------------------------------------------------------------------------------


def test_an_approver_decides_and_the_answer_tells_what_happens(stage: Stage, project: Project) -> None:
    approval = ask(stage)
    result = approvals.decide(approval.pk, actor=approver(project, "eve"), decision="approve")
    assert (result.decided, result.message) == (True, "Approved. It runs now.")
    row = Approval.objects.get()
    assert (row.state, row.decided_by, row.decided_channel) == ("approved", "eve", "web")
    entry = AuditEntry.objects.get(action="approval.decided")
    assert entry.data["decision"] == "approve"
    assert entry.data["digest"] == approval.digest


@pytest.mark.parametrize("role", ["viewer", "responder", "author", "operator"])
def test_other_roles_do_not_decide(stage: Stage, project: Project, role: str) -> None:
    approval = ask(stage)
    with pytest.raises(Forbidden, match="approver role"):
        decide(approval, factories.actor(factories.person(roles={project: role})))
    assert state(approval) == "pending"


def test_strangers_do_not_even_learn_that_it_exists(stage: Stage, outsider: Actor) -> None:
    approval = ask(stage)
    with pytest.raises(NotFound):
        decide(approval, outsider)
    with pytest.raises(NotFound):
        approvals.decide(uuid.uuid4(), actor=outsider, decision="approve")


def test_neither_an_owner_nor_django_s_superuser_flag_approves(stage: Stage, project: Project) -> None:
    approval = ask(stage)
    owner = factories.owner()
    with pytest.raises(Forbidden):
        decide(approval, factories.actor(owner))
    User.objects.filter(pk=owner.pk).update(is_superuser=True)
    with pytest.raises(Forbidden):
        decide(approval, factories.actor(owner))


def test_a_starter_never_approves_whatever_their_role_and_flags(stage: Stage, project: Project) -> None:
    approval = ask(stage, "{min: 1, exclude: []}")
    User.objects.filter(pk=stage.actor.user_id).update(is_owner=True, is_superuser=True)
    with pytest.raises(Forbidden, match="You started this run"):
        decide(approval, stage.actor)
    with pytest.raises(Forbidden, match="You started this run"):
        decide(approval, stage.actor.through(Channel.SLACK))


def test_a_service_account_never_approves(stage: Stage, project: Project) -> None:
    robot = factories.actor(factories.service_account(project, "admin"))
    with pytest.raises(Forbidden, match="service account"):
        decide(ask(stage), robot)


def test_the_system_never_approves(stage: Stage) -> None:
    approval = ask(stage)
    with pytest.raises(Forbidden, match="Only people"):
        decide(approval, Actor.system("sweeper"))
    assert not approvals.may_decide(approval, Actor.system("sweeper")).allowed


def test_a_token_without_the_scope_does_not_approve(stage: Stage, project: Project) -> None:
    person = approver(project)
    limited = Actor(
        kind=person.kind,
        name=person.name,
        channel=Channel.API,
        user_id=person.user_id,
        scopes=frozenset({"view"}),
    )
    with pytest.raises(Forbidden):
        decide(ask(stage), limited)


def test_who_lost_the_role_or_was_closed_out_meanwhile_does_not_approve(
    stage: Stage, project: Project
) -> None:
    approval = ask(stage)
    person = approver(project)
    RoleAssignment.objects.filter(user_id=person.user_id).delete()
    synchronise(project, User.objects.get(pk=person.user_id))
    with pytest.raises(NotFound):
        decide(approval, person)
    closed = approver(project)
    User.objects.filter(pk=closed.user_id).update(is_active=False)
    with pytest.raises(NotFound):
        decide(approval, closed)


# --- teams, quorum -------------------------------------------------------------------------------


def test_only_the_people_who_are_asked_decide(stage: Stage, project: Project) -> None:
    factories.team(project, slug="dba")
    approval = ask(stage, "{teams: [dba], users: [ursula]}")
    with pytest.raises(Forbidden, match="This one is for dba, ursula"):
        decide(approval, approver(project))
    assert quorum.needs(approval) == "Needs 1 more of: dba, ursula"
    assert decide(approval, approver(project, "ursula")) == "Approved. It runs now."
    assert decide(ask(stage, "{teams: [dba]}"), approver(project, "dora", "dba")) == "Approved. It runs now."


def test_a_team_of_the_same_name_elsewhere_is_not_asked(
    stage: Stage, project: Project, other_project: Project
) -> None:
    factories.team(project, slug="dba")
    person = approver(project)
    join(other_project, User.objects.get(pk=person.user_id), "dba")
    with pytest.raises(Forbidden, match="This one is for dba"):
        decide(ask(stage, "{teams: [dba]}"), person)


def test_a_quorum_counts_people_once_each(stage: Stage, project: Project) -> None:
    approval = ask(stage, "{min: 2}")
    first, second = approver(project), approver(project)
    assert decide(approval, first) == ("Your approval counts. Needs 1 more of: the project's approvers.")
    with pytest.raises(Conflict, match=r"already voted\. Needs 1 more"):
        decide(approval, first)
    with pytest.raises(Conflict, match="already voted"):
        decide(approval, first, "deny")
    assert approvals.may_decide(approval, first).why == "You have already voted."
    assert state(approval) == "pending"
    assert decide(approval, second) == "Approved. It runs now."
    assert Vote.objects.count() == 2


def test_a_quorum_that_is_short_of_a_team_goes_on_beyond_its_number(stage: Stage, project: Project) -> None:
    approval = ask(stage, "{teams: [dba, leads], min: 2, min_per_team: {dba: 1}}")
    assert quorum.needs(approval) == "Needs 2 more of: dba, leads, among them 1 of dba"
    decide(approval, approver(project, "l1", "leads"))
    assert decide(approval, approver(project, "l2", "leads")) == "Your approval counts. Needs 1 of dba."
    assert state(approval) == "pending"
    assert decide(approval, approver(project, "l3", "leads")) == "Your approval counts. Needs 1 of dba."
    assert decide(approval, approver(project, "d1", "dba")) == "Approved. It runs now."
    assert quorum.needs(Approval.objects.get()) == ""


def test_a_person_of_two_teams_counts_for_both_but_once_for_the_quorum(
    stage: Stage, project: Project
) -> None:
    approval = ask(stage, "{teams: [dba, leads], min: 2, min_per_team: {dba: 1, leads: 1}}")
    both = approver(project, "both", "dba", "leads")
    assert decide(approval, both) == "Your approval counts. Needs 1 more of: dba, leads."
    assert Vote.objects.get().teams == ["dba", "leads"]
    assert decide(approval, approver(project, "l1", "leads")) == "Approved. It runs now."


def test_the_words_never_ask_for_fewer_people_than_a_team_is_short_of(stage: Stage, project: Project) -> None:
    approval = ask(stage, "{teams: [dba, leads], min: 3, min_per_team: {dba: 2}}")
    decide(approval, approver(project, "l1", "leads"))
    decide(approval, approver(project, "l2", "leads"))
    assert quorum.needs(approval) == "Needs 2 more of: dba, leads, among them 2 of dba"


# --- denying, answers, reasons -------------------------------------------------------------------


def test_one_denial_denies_with_its_reason(stage: Stage, project: Project) -> None:
    approval = ask(stage, "{min: 2}")
    decide(approval, approver(project))
    with pytest.raises(Invalid, match="Say why"):
        decide(approval, approver(project), "deny", reason="  ")
    assert decide(approval, approver(project), "deny", reason=" too risky ") == (
        "Denied. Nothing of it will run."
    )
    row = Approval.objects.get()
    assert (row.state, row.reason) == ("rejected", "too risky")


def test_what_is_neither_is_refused(stage: Stage, project: Project) -> None:
    approval = ask(stage)
    with pytest.raises(Invalid, match="approve or deny"):
        decide(approval, approver(project), "maybe")
    with pytest.raises(Invalid, match="1000 are kept"):
        decide(approval, approver(project), reason="x" * 1001)


def test_an_answer_that_does_not_fit_is_no_vote(stage: Stage, project: Project) -> None:
    approval = ask(stage, rest="inputs: {ticket: {type: string, pattern: '[A-Z]+-[0-9]+', required: true}}")
    person = approver(project)
    for given in ({}, {"ticket": "no"}, {"ticket": 1}, {"ticket": "OPS-1", "what": "this"}):
        with pytest.raises(Invalid) as refused:
            decide(approval, person, inputs=given)
        assert refused.value.details["problems"]
    assert not Vote.objects.exists()
    decide(approval, person, inputs={"ticket": "OPS-1"})
    assert Vote.objects.get().inputs == {"ticket": "OPS-1"}
    event = RunEvent.objects.get(type="approval.decided")
    assert event.data["inputs"] == {"ticket": "OPS-1"}


def test_an_answer_that_is_left_empty_takes_away_none_that_was_given_before(
    stage: Stage, project: Project
) -> None:
    approval = ask(stage, "{min: 2}", rest="inputs: {ticket: {type: string}, note: {type: string}}")
    decide(approval, approver(project), inputs={"ticket": "CHG-1", "note": "first"})
    decide(approval, approver(project), inputs={"note": "second"})
    assert RunEvent.objects.get(type="approval.decided").data["inputs"] == {
        "ticket": "CHG-1",
        "note": "second",
    }


def test_a_denial_needs_no_answers(stage: Stage, project: Project) -> None:
    approval = ask(stage, rest="inputs: {ticket: {type: string, required: true}}")
    decide(approval, approver(project), "deny", inputs={"ticket": "ignored"})
    assert Vote.objects.get().inputs == {}


# --- too late ------------------------------------------------------------------------------------


def test_whoever_is_late_is_told_who_decided_and_where(stage: Stage, project: Project) -> None:
    approval = ask(stage)
    decide(approval, approver(project, "eve").through(Channel.SLACK))
    with pytest.raises(
        Conflict, match=r"^Already approved by eve \(slack\) at \d\d:\d\d:\d\d UTC\.$"
    ) as late:
        decide(approval, approver(project), "deny")
    assert late.value.details["state"] == "approved"


def test_the_database_s_clock_says_that_it_is_too_late(stage: Stage, project: Project) -> None:
    approval = ask(stage)
    Approval.objects.update(expires_at=database_now() - timedelta(seconds=1))
    with pytest.raises(Conflict, match=r"expired at .* nothing was approved"):
        decide(approval, approver(project))
    assert state(approval) == "pending"
    assert approvals.expire_due() == 1
    assert approvals.expire_due() == 0
    with pytest.raises(Conflict, match=r"Already expired at"):
        decide(approval, approver(project))
    assert AuditEntry.objects.filter(action="approval.expired").count() == 1


def test_a_stopped_run_asks_no_more(stage: Stage, project: Project) -> None:
    approval = ask(stage)
    runs.stop(approval.run_id, actor=stage.actor, reason="enough")
    with pytest.raises(Conflict, match="Already cancelled with its run"):
        decide(approval, approver(project))


def test_a_question_is_in_the_trail(stage: Stage) -> None:
    approval = ask(stage)
    entry = AuditEntry.objects.get(action="approval.asked")
    assert entry.object_id == str(approval.pk)
    assert entry.data["digest"] == approval.digest


def test_a_gone_account_has_no_vote(stage: Stage, project: Project) -> None:
    person = approver(project)
    User.objects.filter(pk=person.user_id).delete()
    with pytest.raises(HandrailError):
        decide(ask(stage), person)


# --- at the same time ----------------------------------------------------------------------------


def test_of_many_who_decide_at_once_exactly_one_closes(stage: Stage, project: Project) -> None:
    approval = ask(stage, "{min: 2}")
    voters = [approver(project) for _ in range(8)]
    together = threading.Barrier(len(voters))

    def vote(place: int) -> str:
        together.wait()
        try:
            result = approvals.decide(
                approval.pk,
                actor=voters[place],
                decision="deny" if place % 4 == 3 else "approve",
                reason="because",
            )
        except Conflict as error:
            return error.message
        finally:
            connections.close_all()
        return "closed" if result.decided else "counted"

    with ThreadPoolExecutor(len(voters)) as pool:
        answers = list(pool.map(vote, range(len(voters))))
    assert answers.count("closed") == 1
    late = [answer for answer in answers if answer not in ("closed", "counted")]
    assert all(answer.startswith(("Already approved by", "Already denied by")) for answer in late)
    assert RunEvent.objects.filter(type="approval.decided").count() == 1
    assert Run.objects.get().history_n == RunEvent.objects.count()


def test_a_decision_reads_the_voter_and_their_vote_once(stage: Stage, project: Project) -> None:
    approval, actor = ask(stage), approver(project, "eve", "dba")
    with CaptureQueriesContext(connection) as asked:
        decide(approval, actor)
    statements = [query["sql"] for query in asked.captured_queries]
    votes = [sql for sql in statements if 'FROM "runbooks_vote"' in sql]
    # Before the vote is cast: when all of them are counted, it is known.
    assert len(votes) == 1, votes
    assert len([sql for sql in statements if sql.startswith('SELECT "accounts_user"."password"')]) == 1
    assert not [sql for sql in statements if "SAVEPOINT" in sql]
    assert len(statements) <= 25, len(statements)
