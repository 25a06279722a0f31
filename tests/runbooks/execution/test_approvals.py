"""The engine and its approvals: asked with the plan, bound by digest, answered in one transaction."""

from __future__ import annotations

import uuid

import pytest

from handrail.accounts.actions import deactivate_user, remove_member, remove_role
from handrail.accounts.actors import CONSOLE
from handrail.accounts.models import Project
from handrail.catalog.actions import ConnectionFields, create_connection, update_connection
from handrail.shared.errors import Conflict
from handrail.vault.actions import set_secret
from runbooks import approvals, resuming, runs
from runbooks.engine import events as e
from runbooks.execution import answers, asking, gate
from runbooks.execution.live import Unreadable, load
from runbooks.execution.transition import Transition, open_transition
from runbooks.models import Approval, Run, RunEvent, StepRun, Vote
from runbooks.steps.base import Failure, Success
from runbooks.steps.registry import UnknownAction
from tests import factories
from tests.runbooks.execution.stage import Scripted, Stage, history, ready_steps, states

pytestmark = pytest.mark.django_db(transaction=True)

STEPS = """
- id: ask
  kind: approval
  prompt: "Fail over ${{ inputs.service }}?"
  for: [failover]
  approvers: {min: 1}
  timeout: 15m
  on_reject: continue
- id: failover
  uses: test.call
  when: steps.ask.decision == "approved"
  with: {service: "${{ inputs.service }}"}
"""
INPUTS = "inputs: {service: {type: string, required: true}}"


@pytest.fixture
def asked(stage: Stage, calls: type[Scripted]) -> Run:
    run = stage.start(stage.publish(STEPS, rest=INPUTS), service="checkout")
    run.refresh_from_db()
    return run


def decide(project: Project, run: Run, decision: str) -> None:
    person = factories.person(roles={project: "approver"})
    approval = Approval.objects.get(run=run, state="pending")
    approvals.decide(approval.pk, actor=factories.actor(person), decision=decision, reason="because")


def test_people_are_asked_about_exactly_what_would_run(asked: Run) -> None:
    approval = Approval.objects.get()
    assert asked.state == "waiting"
    assert approval.prompt == "Fail over checkout?"
    assert approval.plan[0]["inputs"] == {"service": "checkout"}
    assert approval.plan[0]["preview"] == "call with {'service': 'checkout'}"
    assert approval.digest == load(asked.pk).state.node("ask").digest


def test_a_question_that_is_one_expression_is_text_as_well(stage: Stage) -> None:
    steps = "- {id: ask, kind: approval, timeout: 15m, prompt: '${{ inputs.hosts }}'}"
    stage.start(stage.publish(steps, rest="inputs: {hosts: {type: array}}"), hosts=["a", "b"])
    assert Approval.objects.get().prompt == '["a","b"]'


@pytest.mark.parametrize("ending", ["rejected", "expired"])
def test_what_was_not_approved_does_not_run_though_the_run_goes_on(
    stage: Stage, project: Project, calls: type[Scripted], ending: str
) -> None:
    """Also when its author forgot to write `when`."""
    steps = "\n".join(line for line in STEPS.splitlines() if "when:" not in line)
    run = stage.start(stage.publish(steps, rest=INPUTS), service="checkout")
    if ending == "rejected":
        decide(project, run, "deny")
    else:
        Approval.objects.update(expires_at="2020-01-01T00:00:00Z")
        approvals.expire_due()
    stage.drive(run)
    step = StepRun.objects.get(run=run, node="failover")
    assert (calls.calls, step.state, step.error["code"]) == ([], "failed", "not_approved")
    assert f"The approval ask was {ending}" in step.error["message"]
    run.refresh_from_db()
    assert run.state == "failed"
    resuming.resume(run.pk, actor=stage.actor, reason="Ask once more.")
    assert Approval.objects.filter(run=run, state="pending").count() == 1


def test_approved_runs(stage: Stage, project: Project, asked: Run, calls: type[Scripted]) -> None:
    decide(project, asked, "approve")
    stage.drive(asked)
    assert asked.state == "succeeded"
    assert [inputs for _, inputs, _ in calls.calls] == [{"service": "checkout"}]


def test_denied_does_not(stage: Stage, project: Project, asked: Run, calls: type[Scripted]) -> None:
    decide(project, asked, "deny")
    asked.refresh_from_db()
    assert asked.state == "succeeded"
    assert states(asked) == {"ask": "succeeded", "failover": "skipped"}
    assert calls.calls == []


def test_nobody_answered_does_not_either(asked: Run, calls: type[Scripted]) -> None:
    Approval.objects.update(expires_at="2020-01-01T00:00:00Z")
    assert approvals.expire_due() == 1
    assert states(asked) == {"ask": "succeeded", "failover": "skipped"}
    assert "approval.decided ask" in history(asked)
    assert calls.calls == []


def test_stopping_the_run_closes_the_question(stage: Stage, project: Project, asked: Run) -> None:
    runs.stop(asked.pk, actor=stage.actor, reason="enough")
    assert Approval.objects.get().state == "cancelled"
    with pytest.raises(Approval.DoesNotExist):
        decide(project, asked, "approve")


def test_a_plan_that_changed_after_the_answer_is_asked_anew(
    stage: Stage, project: Project, asked: Run, calls: type[Scripted]
) -> None:
    """Nothing in a pinned run changes by itself; a worker with another view of its target does."""
    decide(project, asked, "approve")
    calls.reached = "elsewhere"
    try:
        stage.drive(asked)
        assert calls.calls == []
        assert asked.state == "waiting"
        assert list(Approval.objects.order_by("round").values_list("round", "state")) == [
            (1, "void"),
            (2, "pending"),
        ]
        assert StepRun.objects.get(run=asked, node="failover").state == "waiting"
        decide(project, asked, "approve")
        stage.drive(asked)
    finally:
        calls.reached = "test"
    assert asked.state == "succeeded"
    assert len(calls.calls) == 1
    assert RunEvent.objects.filter(run=asked, type="approval.voided").count() == 1


def test_a_worker_that_does_not_know_the_action_takes_no_answer_back(
    stage: Stage, project: Project, asked: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide(project, asked, "approve")

    def unknown(name: str) -> None:
        raise UnknownAction(name)

    with monkeypatch.context() as older:
        older.setattr(asking, "get", unknown)
        older.setattr(gate, "get", unknown)
        [failover] = ready_steps(asked)
        assert stage.driver.drive(failover) == 0
    assert Approval.objects.get(run=asked).state == "approved"
    assert StepRun.objects.get(run=asked, node="failover").state == "ready"
    stage.drive(asked)
    assert asked.state == "succeeded"


@pytest.mark.parametrize("loss", ["role", "account"])
def test_the_approval_of_somebody_who_may_no_longer_approve_is_asked_anew(
    stage: Stage, project: Project, asked: Run, calls: type[Scripted], loss: str
) -> None:
    decide(project, asked, "approve")
    voter = Vote.objects.get().user
    if loss == "role":
        remove_role(project, voter, "approver", actor=CONSOLE)
    else:
        deactivate_user(voter, actor=CONSOLE)
    stage.drive(asked)
    assert calls.calls == []
    assert asked.state == "waiting"
    first, second = Approval.objects.order_by("round")
    assert (first.state, second.state) == ("void", "pending")
    assert "may no longer approve" in first.reason


@pytest.mark.parametrize(("leaver", "goes_on"), [("d1", False), ("l1", True)])
def test_who_left_the_team_since_counts_at_the_gate_only_where_others_are_enough(
    stage: Stage, project: Project, calls: type[Scripted], leaver: str, goes_on: bool
) -> None:
    approvers = "{teams: [dba, leads], min: 2, min_per_team: {dba: 1}}"
    people = {"l1": "leads", "l2": "leads", "d1": "dba"}
    for slug in ("dba", "leads"):
        factories.team(project, slug=slug)
    steps = STEPS.replace("{min: 1}", approvers)
    run = stage.start(stage.publish(steps, rest=INPUTS), service="checkout")
    for name, slug in people.items():
        person = factories.person(name, {project: "approver"})
        project.teams.get(slug=slug).members.add(person)
        approvals.decide(Approval.objects.get().pk, actor=factories.actor(person), decision="approve")
    gone = Vote.objects.get(user__username=leaver)
    remove_member(project.teams.get(slug=people[leaver]), gone.user, actor=CONSOLE)
    stage.drive(run)
    assert bool(calls.calls) is goes_on
    gone.refresh_from_db()
    assert gone.void_reason.startswith("is no longer among those who are asked")
    first = Approval.objects.get(round=1)
    assert first.state == ("approved" if goes_on else "void")
    assert goes_on or first.reason.startswith(f"{leaver} is no longer among those who are asked")


@pytest.mark.parametrize(("left", "goes_on"), [("dba", False), ("leads", True)])
def test_who_left_one_of_two_teams_counts_at_the_gate_for_the_other_one_only(
    stage: Stage, project: Project, calls: type[Scripted], left: str, goes_on: bool
) -> None:
    steps = STEPS.replace("{min: 1}", "{teams: [dba, leads], min_per_team: {dba: 1}}")
    run = stage.start(stage.publish(steps, rest=INPUTS), service="checkout")
    both = factories.person("both", {project: "approver"})
    for slug in ("dba", "leads"):
        factories.team(project, slug=slug).members.add(both)
    approvals.decide(Approval.objects.get().pk, actor=factories.actor(both), decision="approve")
    remove_member(project.teams.get(slug=left), both, actor=CONSOLE)
    stage.drive(run)
    assert bool(calls.calls) is goes_on
    first = Approval.objects.get(round=1)
    assert (first.state, first.reason) == (
        ("approved", "") if goes_on else ("void", "both is no longer in dba.")
    )
    assert Vote.objects.get().void_reason == ""


def test_a_stale_answer_moves_nothing(project: Project, asked: Run) -> None:
    decide(project, asked, "approve")
    before = history(asked)
    late = factories.actor(factories.person(roles={project: "approver"}))
    with pytest.raises(Conflict):
        approvals.decide(Approval.objects.get().pk, actor=late, decision="deny", reason="late")
    assert history(asked) == before


def test_a_history_holds_the_answer(project: Project, asked: Run) -> None:
    decide(project, asked, "approve")
    event = RunEvent.objects.get(run=asked, type=e.ApprovalDecided.type)
    assert event.data["decision"] == "approved"


TWO_QUESTIONS = """
- id: both
  kind: parallel
  steps:
    - id: fast
      kind: parallel
      fail_fast: true
      continue_on_error: true
      steps:
        - {id: first, kind: approval, prompt: First?, timeout: 1h, approvers: {min: 1}}
        - {id: broken, uses: test.call}
    - {id: second, kind: approval, prompt: Second?, timeout: 1h, approvers: {min: 1}}
"""


def test_a_question_that_is_taken_back_takes_no_other_one_with_it(
    stage: Stage, project: Project, calls: type[Scripted]
) -> None:
    calls.script = {"broken": [Failure("broken", "It broke.")]}
    run = stage.start(stage.publish(TWO_QUESTIONS))
    stage.drive(run)
    found = dict(Approval.objects.filter(run=run).values_list("step__node", "state"))
    assert found == {"first": "cancelled", "second": "pending"}
    decide(project, run, "approve")
    run.refresh_from_db()
    assert run.state == "succeeded"


def test_what_is_asked_in_the_last_steps_stays_open_when_the_run_is_stopped(
    stage: Stage, project: Project, calls: type[Scripted]
) -> None:
    first, last = (
        f"{{id: {name}, kind: approval, prompt: Go?, timeout: 1h, approvers: {{min: 1}}}}"
        for name in ("first", "last")
    )
    run = stage.start(stage.publish(f"- {first}", rest=f"finally: [{last}]"))
    runs.stop(run.pk, actor=stage.actor, reason="enough")
    found = dict(Approval.objects.filter(run=run).values_list("step__node", "state"))
    assert found == {"first": "cancelled", "last": "pending"}
    decide(project, run, "approve")
    run.refresh_from_db()
    assert run.state == "cancelled"


@pytest.mark.parametrize("where", ["in a group", "before the last steps"])
def test_what_is_approved_no_more_does_not_run_where_nobody_can_be_asked_again(
    stage: Stage, project: Project, calls: type[Scripted], where: str
) -> None:
    ask = "{id: ask, kind: approval, prompt: Go?, for: [guarded], timeout: 1h, approvers: {min: 1}}"
    before, guarded = "- {id: before, uses: test.call}", "{id: guarded, uses: test.call}"
    if where == "in a group":
        steps, rest = (
            f"- id: asking\n  kind: group\n  steps:\n    - {ask}\n{before}\n- {guarded}",
            "",
        )
    else:
        steps, rest = f"- {ask}\n{before}", f"finally: [{guarded}]"

    def leave(_context: object) -> Success:
        deactivate_user(Vote.objects.get().user, actor=CONSOLE)
        return Success({})

    calls.script = {"before": [leave]}
    run = stage.start(stage.publish(steps, rest=rest))
    decide(project, run, "approve")
    stage.drive(run)
    assert [node for node, _, _ in calls.calls] == ["before"]
    assert (run.state, states(run)["guarded"]) == ("failed", "failed")
    error = StepRun.objects.get(run=run, node="guarded").error or {}
    assert error["code"] == "approval_void"
    assert "may no longer approve" in error["message"]
    assert Approval.objects.get(run=run).state == "void"
    if where == "in a group":
        resuming.resume(run.pk, actor=stage.actor, reason="somebody else answers")
        assert stage.drive(run) == 0
        decide(project, run, "approve")
        stage.drive(run)
        assert (run.state, [node for node, _, _ in calls.calls]) == ("succeeded", ["before", "guarded"])


def test_a_question_of_a_run_that_cannot_be_read_keeps_no_other_one_open(
    stage: Stage, project: Project, calls: type[Scripted], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = stage.publish(STEPS, rest=INPUTS)
    unreadable, other = (stage.start(made, service=name) for name in ("checkout", "search"))
    Approval.objects.filter(run=unreadable).update(expires_at="2020-01-01T00:00:00Z")
    Approval.objects.filter(run=other).update(expires_at="2021-01-01T00:00:00Z")

    def opened(run_id: uuid.UUID) -> Transition:
        if run_id == unreadable.pk:
            raise Unreadable("Its files are not here.")
        return open_transition(run_id)

    monkeypatch.setattr(answers, "open_transition", opened)
    assert approvals.expire_due() == 1
    found = dict(Approval.objects.values_list("run_id", "state"))
    assert found == {unreadable.pk: "pending", other.pk: "expired"}


GUARDED_CALL = """
- {id: ask, kind: approval, prompt: "Restart?", for: [restart], approvers: {min: 1}, timeout: 10m}
- {id: restart, uses: http.request, with: {connection: db-primary, method: POST, path: /restart}}
"""


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        ({"base_url": "http://127.0.0.1:9/elsewhere"}, False),
        ({"authentication": "bearer", "secret_reference": "local:somebody-else"}, False),
        ({"timeout_seconds": 5.0, "description": "The primary", "allowed_paths": ["/restart"]}, True),
    ],
)
def test_an_approval_holds_while_its_connection_leads_where_it_led(
    stage: Stage, project: Project, change: ConnectionFields, holds: bool
) -> None:
    set_secret(project, "somebody-else", "their token", actor=CONSOLE)
    connection = create_connection(
        project,
        "db-primary",
        base_url="http://127.0.0.1:9",
        allowed_methods=["POST"],
        allowed_networks=["127.0.0.0/8"],
        actor=CONSOLE,
    )
    run = stage.start(stage.publish(GUARDED_CALL))
    stage.drive(run)
    decide(project, run, "approve")
    update_connection(connection, actor=CONSOLE, **change)
    stage.drive(run)
    states = list(Approval.objects.filter(run=run).order_by("round").values_list("state", flat=True))
    assert states == (["approved"] if holds else ["void", "pending"])
    assert StepRun.objects.filter(run=run, node="restart", state="failed").exists() == holds
    if not holds:
        reason = Approval.objects.get(run=run, state="void").reason
        assert reason == "Where db-primary leads, or as whom, was changed after people had been asked."


def test_an_answer_to_a_plan_of_an_older_release_holds(stage: Stage, project: Project) -> None:
    """Its plan says nothing about where a connection led."""
    connection = create_connection(project, "db-primary", base_url="http://127.0.0.1:9", actor=CONSOLE)
    run = stage.start(stage.publish(GUARDED_CALL))
    stage.drive(run)
    asked = Approval.objects.get(run=run)
    for call in asked.plan:
        del call["place"]
    asked.save(update_fields=["plan"])
    decide(project, run, "approve")
    update_connection(connection, base_url="http://127.0.0.1:9/elsewhere", actor=CONSOLE)
    stage.drive(run)
    assert Approval.objects.get(run=run).state == "approved"
