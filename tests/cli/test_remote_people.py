"""What people say on the command line about the steps of a run: done by hand, left out, in doubt."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from handrail.accounts.models import Project
from runbooks.models import Run, StepRun
from runbooks.steps.base import Success
from runbooks.versions import _definition
from tests import factories
from tests.cli.calling import call
from tests.runbooks.execution.stage import HEARTS, Stage, scripted

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("elsewhere")]

CABLE = """
- id: cable
  kind: manual
  prompt: "Replug ${{ inputs.host }}."
  inputs:
    ticket: {type: string, pattern: "[0-9]+", required: true, description: The ticket.}
    ports: {type: integer, default: 1, max: 48}
  timeout: 1h
- {id: note, uses: noop, when: "steps.cable.status == 'succeeded'"}
"""
HOST = "inputs: {host: {type: string}}"
LOOP = """
- id: every
  kind: for_each
  items: "[0, 1, 2]"
  concurrency: 3
  steps:
    - {id: check, uses: test.call}
- {id: last, uses: noop}
"""


@pytest.fixture
def stage(project: Project) -> Stage:
    return Stage(project, factories.actor(factories.person("starter", {project: "admin"})))


@pytest.fixture
def cable(stage: Stage) -> Run:
    """A run that waits for somebody's hands."""
    return stage.start(stage.publish(CABLE, rest=HOST), host="db-7")


@pytest.fixture
def doubts(stage: Stage) -> Iterator[Run]:
    """A run with three steps in doubt, of one loop."""

    def explode(_context: object) -> Success:
        raise RuntimeError("a bug in an action")

    with scripted() as calls:
        calls.script = {"check": [explode] * 3}
        run = stage.start(stage.publish(LOOP))
        stage.drive(run)
        yield run
    _definition.cache_clear()
    while HEARTS:
        HEARTS.pop().stop()


def named(run: Run) -> str:
    return str(run.pk)[-8:]


def in_doubt(run: Run) -> set[str]:
    return {step.iteration for step in StepRun.objects.filter(run=run, state="uncertain")}


# By hand --------------------------------------------------------------------------------------


def test_a_manual_step_is_found_read_and_answered_with_typed_inputs(as_role: str, cable: Run) -> None:
    short = named(cable)
    listed = call("manual").output
    assert (short in listed, "Replug db-7." in listed, "any responder" in listed) == (True, True, True)
    assert f"handrail manual {short}" in call("runs", short).output
    shown = call("manual", short, "cable").output
    assert "ticket (string, needed, like [0-9]+): The ticket." in shown
    assert "ports (integer, 1 if left out, at most 48)" in shown
    assert f"handrail answer {short} cable done -i ticket=..." in shown
    done = call("answer", short, "cable", "done", "--reason", "port 3", "-i", "ticket=007", "-i", "ports=2")
    assert (done.exit_code, done.output) == (0, "cable is succeeded.\n")
    step = StepRun.objects.get(run=cable, node="cable")
    assert (step.outputs, step.reason) == ({"ticket": "007", "ports": 2}, f"{as_role}: port 3")
    assert call("manual").output == "No manual step waits for anybody.\n"
    assert json.loads(call("manual", "--json").output) == []


def test_what_does_not_fit_a_manual_step_is_told_with_what_to_do(as_role: str, cable: Run) -> None:
    short = named(cable)
    for arguments, words in (
        (("cable", "done"), "ticket"),
        (("cable", "done", "-i", "ticket=x"), "  ticket: "),
        (("cable", "done", "-i", "tcket=7"), "It asks for ticket, ports"),
        (("cable", "cannot"), "--reason"),
        (("cable", "cannot", "--reason", "r", "-i", "ticket=7"), "leave out --input"),
        (("note", "done"), "it is not begun. These wait for a person: cable."),
    ):
        done = call("answer", short, *arguments)
        assert (done.exit_code, words in done.output, "Traceback" in done.output) == (2, True, False), (
            done.output
        )
    assert StepRun.objects.get(run=cable, node="cable").state == "awaiting_human"


def test_what_cannot_be_done_is_said_with_the_reason_and_only_once(as_role: str, cable: Run) -> None:
    short = named(cable)
    done = call("answer", short, "cable", "cannot", "--reason", "The cage is locked.", "--json")
    assert json.loads(done.output)["state"] == "failed"
    again = call("answer", short, "cable", "done", "-i", "ticket=7")
    assert (again.exit_code, "it is failed. None of this run waits" in again.output) == (2, True), (
        again.output
    )
    assert call("answer", short, "cabel", "done").exit_code == 4


def test_a_manual_step_of_others_says_whom_to_ask(as_role: str, stage: Stage) -> None:
    steps = "- {id: sign, kind: manual, prompt: Sign., timeout: 1h, assignees: {users: [grace]}}"
    run = stage.start(stage.publish(steps, slug="sign"))
    assert "You cannot answer it: This one is for grace." in call("manual", named(run), "sign").output
    done = call("answer", named(run), "sign", "done")
    assert (done.exit_code, "Ask grace" in done.output) == (4, True), done.output


# Handed over ----------------------------------------------------------------------------------


def test_a_checklist_is_read_and_ticked_until_the_run_is_over(as_role: str, cable: Run) -> None:
    short = named(cable)
    early = call("checklist", short)
    assert (early.exit_code, "--how hand_over" in early.output) == (2, True)
    assert call("stop", short, "--how", "hand_over", "--reason", "by hand", "--yes").exit_code == 0
    assert f"handrail checklist {short}" in call("runs", short).output
    shown = call("checklist", short).output
    assert ("cable" in shown, "note" in shown, "2 of 2 left" in shown) == (True, True, True)
    wrong = call("tick", short, "cabel", "done")
    assert (wrong.exit_code, "Left are: cable, note." in wrong.output) == (2, True)
    assert call("tick", short, "note", "skip").exit_code == 2, "a note is needed"
    done = call("tick", short, "cable", "done", "--note", "replugged")
    assert (done.exit_code, "cable is done." in done.output) == (0, True), done.output
    again = call("tick", short, "cable", "done")
    assert (again.exit_code, "done already" in again.output) == (2, True), again.output
    assert "cable" not in call("checklist", short, "--left").stdout
    assert call("tick", short, "note", "skip", "--note", "not needed").exit_code == 0
    cable.refresh_from_db()
    assert cable.state == "cancelled"
    items = json.loads(call("checklist", short, "--json").output)
    assert [(item["key"], item["state"], item["by"]) for item in items] == [
        ("cable", "done", as_role),
        ("note", "skipped", as_role),
    ]


# In doubt -------------------------------------------------------------------------------------


def test_of_several_steps_in_doubt_each_is_chosen_by_its_key(as_role: str, doubts: Run) -> None:
    short = named(doubts)
    assert f"handrail decide {short} check[1] done|retry|fail" in call("runs", short).output
    which = "in doubt are check[0], check[1], check[2]"
    for steps in ((), ("check",)):
        done = call("decide", short, *steps, "done", "--reason", "I looked")
        assert (done.exit_code, which in done.output) == (2, True), done.output
    assert (
        call("decide", short, "check[1]", "done", "--reason", "I looked").output == "check[1] is succeeded.\n"
    )
    assert in_doubt(doubts) == {"0", "2"}
    other = call("decide", short, "check[1]", "fail", "--reason", "I looked")
    assert (
        "check[1] is succeeded: there is nothing to decide. Say which: in doubt are check[0]" in other.output
    )
    assert other.exit_code == 2


def test_several_steps_in_doubt_are_decided_alike_or_not_at_all(as_role: str, doubts: Run) -> None:
    short = named(doubts)
    wrong = call("decide", short, "check[0]", "check[7]", "done", "--reason", "I looked")
    assert (wrong.exit_code, in_doubt(doubts)) == (2, {"0", "1", "2"})
    done = call("decide", short, "check[0]", "check[2]", "done", "--reason", "I looked")
    assert (done.exit_code, done.output) == (0, "check[0] is succeeded.\ncheck[2] is succeeded.\n")
    assert in_doubt(doubts) == {"1"}
