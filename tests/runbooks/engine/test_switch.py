"""A switch takes one of its cases, once, and leaves the others out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from runbooks.engine import events as e
from runbooks.language.definition import Call, Case, GroupStep, OnFailure, SwitchStep
from tests.runbooks.engine.world import World, action, runbook


def a_switch(*conditions: str, default: bool = True, **values: object) -> SwitchStep:
    cases = tuple(Case(when, (action(f"c{n}"),)) for n, when in enumerate(conditions))
    make: Callable[..., SwitchStep] = SwitchStep
    return make(id="s", cases=cases, default=(action("other"),) if default else None, **values)


@pytest.mark.parametrize(
    ("n", "taken", "left_out"),
    [(5, "c0", ["c1", "other"]), (2, "c1", ["c0", "other"]), (0, "other", ["c0", "c1"])],
)
def test_the_first_true_case_is_taken_and_the_others_are_skipped(
    n: int, taken: str, left_out: list[str]
) -> None:
    world = World(runbook(a_switch("inputs.n > 3", "inputs.n > 1"), action("z")), inputs={"n": n}).start()
    assert world.started == [taken]
    assert [world.status(key) for key in left_out] == ["skipped", "skipped"]
    world.succeed(taken)
    assert (world.status("s"), world.started) == ("succeeded", [taken, "z"])


def test_without_a_true_case_and_a_default_it_is_skipped_and_the_run_goes_on() -> None:
    world = World(runbook(a_switch("false", default=False), action("z"))).start()
    assert [world.status(key) for key in ("s", "c0")] == ["skipped", "skipped"]
    assert world.state.node("s").reason == "No case is true, and there is no default."
    assert world.started == ["z"]


def test_why_a_case_was_taken_stands_in_words() -> None:
    world = World(runbook(a_switch("inputs.n > 3")), inputs={"n": 5}).start()
    assert world.state.node("s").reason == "Case 1: `inputs.n > 3` is true: 5 > 3."


def test_a_condition_that_cannot_be_told_fails_the_switch() -> None:
    world = World(runbook(a_switch("inputs.n.m == 1")), inputs={"n": {}}).start()
    assert world.status("s") == "failed"
    assert world.state.error is not None
    assert world.started == []


def test_it_is_decided_once() -> None:
    switch = SwitchStep(id="s", cases=(Case("steps.a.attempts == 1", (action("b"), action("c"))),))
    world = World(runbook(action("a"), switch)).start().succeed("a")
    world.succeed("b").succeed("c")
    assert sum(isinstance(event, e.CaseChosen) for event in world.history) == 1
    assert world.state.status == "succeeded"


def test_the_failure_of_the_case_is_that_of_the_switch_and_a_group_around_it_undoes() -> None:
    undone = action("a", compensate=Call("noop"))
    switch = SwitchStep(id="s", cases=(Case("true", (undone, action("b"))),))
    group = GroupStep(id="g", steps=(switch,), on_failure=OnFailure(compensate=True, then="continue"))
    world = World(runbook(group)).start().succeed("a").fail("b")
    assert (world.status("s"), world.status("g")) == ("failed", "compensating")
    assert world.started == ["a", "b", "a/compensate"]


def test_its_time_may_be_over() -> None:
    world = World(runbook(a_switch("true", timeout=10.0))).start().execute("c0")
    world.advance(11).succeed("c0")
    assert world.status("s") == "timed_out"
