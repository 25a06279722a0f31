"""A step that may not go ahead for now waits at the gate: said in words, woken by whoever lets go, done once."""

from __future__ import annotations

from datetime import timedelta

import pytest

from handrail.shared.clock import database_now
from runbooks import runs
from runbooks.engine.commands import StartStep
from runbooks.engine.state import key_of
from runbooks.execution import holds, live, recover
from runbooks.execution.holds import Hold
from runbooks.execution.transition import Transition
from runbooks.execution.waking import wake_steps
from runbooks.models import Run, StepRun
from runbooks.queries.words import state_in_words
from tests.runbooks.execution.stage import Scripted, Stage, history, ready_steps, states

pytestmark = pytest.mark.django_db(transaction=True)


class Barrier:
    """A check that holds the steps with these ids."""

    def __init__(self, *nodes: str, until: timedelta | None = None) -> None:
        self.nodes = set(nodes)
        self.until = until
        self.asked: list[tuple[str, str]] = []

    def __call__(self, transition: Transition, command: StartStep, target: str) -> Hold | None:
        self.asked.append((command.key, target))
        if command.key not in self.nodes:
            return None
        until = None if self.until is None else transition.now + self.until
        return Hold("Held by a test.", "test:barrier", until)


@pytest.fixture
def barrier(monkeypatch: pytest.MonkeyPatch) -> Barrier:
    made = Barrier("second")
    monkeypatch.setattr(holds, "CHECKS", [made])
    return made


STEPS = "- {id: first, uses: test.call}\n- {id: second, uses: test.call}"


def held_row(run: Run) -> StepRun:
    return StepRun.objects.get(run=run, node="second")


def test_a_held_step_waits_ready_with_the_reason_in_words_and_costs_no_attempt(
    stage: Stage, calls: type[Scripted], barrier: Barrier
) -> None:
    run = stage.start(stage.publish(STEPS))
    assert stage.driver.drive(ready_steps(run)[0]) == 1
    run.refresh_from_db()
    row = held_row(run)
    assert (row.state, row.held, row.reason, row.owner, row.attempt) == (
        "ready", "test:barrier", "Held by a test.", "", 1,
    )  # fmt: skip
    assert row.ready_at is not None
    assert row.ready_at > database_now() + timedelta(minutes=30)
    assert run.state == "waiting"
    assert state_in_words(run) == "Held by a test: second"
    assert history(run)[-2:] == ["step.scheduled second", "step.held second"]
    assert ("second", "test") in barrier.asked


def test_nobody_looks_at_a_held_step_before_its_time(
    stage: Stage, calls: type[Scripted], barrier: Barrier
) -> None:
    run = stage.start(stage.publish(STEPS))
    stage.driver.drive(ready_steps(run)[0])
    before = len(barrier.asked)
    assert recover.hint_ready() == 0
    assert stage.driver.next_overdue() is None
    assert stage.driver.drive(held_row(run).pk) == 0
    assert len(barrier.asked) == before


def test_a_step_that_is_let_go_is_done_once_and_says_no_more_why_it_waited(
    stage: Stage, calls: type[Scripted], barrier: Barrier
) -> None:
    run = stage.start(stage.publish(STEPS))
    stage.driver.drive(ready_steps(run)[0])
    barrier.nodes.clear()
    assert wake_steps("test:another") == 0
    assert wake_steps("test:barrier") == 1
    stage.drive(run)
    assert run.state == "succeeded"
    row = held_row(run)
    assert (row.held, row.reason, row.attempt) == ("", "", 1)
    assert [node for node, _, _ in calls.calls] == ["first", "second"]


def test_a_step_whose_hold_goes_on_is_held_again_by_whoever_claims_it(
    stage: Stage, calls: type[Scripted], barrier: Barrier
) -> None:
    run = stage.start(stage.publish(STEPS))
    stage.driver.drive(ready_steps(run)[0])
    wake_steps("test:barrier")
    assert stage.driver.drive(held_row(run).pk) == 0
    assert states(run)["second"] == "ready"
    wake_steps("test:barrier")
    assert stage.driver.next_overdue() is None, "claimed by the poller, held again"
    row = held_row(run)
    assert (row.state, row.held, row.lease_until) == ("ready", "test:barrier", None)
    assert history(run).count("step.held second") == 3


def test_a_hold_with_a_known_end_is_over_then(stage: Stage, calls: type[Scripted], barrier: Barrier) -> None:
    barrier.until = timedelta()
    run = stage.start(stage.publish(STEPS))
    stage.driver.drive(ready_steps(run)[0])
    barrier.nodes.clear()
    stage.drive(run)
    assert run.state == "succeeded"


def test_a_held_step_is_cancelled_with_its_run(stage: Stage, calls: type[Scripted], barrier: Barrier) -> None:
    run = stage.start(stage.publish(STEPS))
    stage.driver.drive(ready_steps(run)[0])
    runs.stop(run.pk, actor=stage.actor, reason="not today")
    run.refresh_from_db()
    row = held_row(run)
    assert (run.state, row.state, row.held) == ("cancelled", "cancelled", "")
    assert row.reason == "The run was stopped: not today"


def test_a_hold_is_replayed_from_the_history(stage: Stage, calls: type[Scripted], barrier: Barrier) -> None:
    run = stage.start(stage.publish(STEPS))
    stage.driver.drive(ready_steps(run)[0])
    node = live.load(run.pk).state.node(key_of("second"))
    assert (node.held, node.reason) == ("test:barrier", "Held by a test.")
