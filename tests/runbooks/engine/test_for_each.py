"""A loop does its steps once for each item: in order, so many at once, and never twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbooks.engine import events as e
from runbooks.engine.apply import replay
from runbooks.engine.loops import MOST_BYTES, MOST_IN_RUN, MOST_ITEMS
from runbooks.engine.names import NOWHERE, Steps, names
from runbooks.language.definition import (
    Call,
    Case,
    FailStep,
    ForEachStep,
    GroupStep,
    Json,
    OnFailure,
    SetStep,
    Step,
    SwitchStep,
)
from runbooks.language.expressions import condition
from tests.runbooks.engine.world import World, action, runbook


def loop(*steps: Step, **values: object) -> ForEachStep:
    make: Callable[..., ForEachStep] = ForEachStep
    given: dict[str, object] = {"id": "each", "items": "inputs.l", **values}
    return make(steps=steps or (action("a"),), **given)


def world(*steps: Step, items: Json = None) -> World:
    return World(runbook(*steps), inputs={"l": ["x", "y", "z"] if items is None else items}).start()


def test_items_are_done_in_order_one_at_a_time_and_the_sequence_goes_on() -> None:
    run = world(loop(action("a"), action("b")), action("after"))
    for n in range(3):
        assert run.started[-1] == f"a[{n}]"
        run.succeed(f"a[{n}]").succeed(f"b[{n}]")
        assert run.status(f"each[{n}]") == "succeeded"
    assert run.started == ["a[0]", "b[0]", "a[1]", "b[1]", "a[2]", "b[2]", "after"]


def test_each_item_is_seen_under_its_name_and_only_its_own_steps() -> None:
    step = SetStep(id="s", values={"text": "${{ host.name }}-${{ steps.a.outputs.n }}"})
    run = world(loop(action("a"), step, as_="host"), items=[{"name": "p"}, {"name": "q"}])
    run.succeed("a[0]", {"n": 1}).succeed("a[1]", {"n": 2})
    assert [run.state.node(f"s[{n}]").outputs for n in (0, 1)] == [{"text": "p-1"}, {"text": "q-2"}]


def test_what_became_of_the_items_is_a_list_in_their_order() -> None:
    run = world(loop(concurrency=3, on_item_failure="continue"), action("after"))
    assert condition("steps.each.outputs == null", names(run.definition, run.state))
    run.succeed("a[2]", {"n": 2}).fail("a[1]").succeed("a[0]", {"n": 0})
    seen = names(run.definition, run.state)
    assert condition("steps.each.outputs.map(o, o.item) == ['x', 'y', 'z']", seen)
    assert condition("steps.each.outputs[2].outputs.a.n == 2", seen)
    assert condition("steps.each.outputs.filter(o, o.status != 'succeeded').size() == 1", seen)
    assert condition("steps.each.outputs[1].error.code == 'broken'", seen)
    assert [*Steps(run.definition, run.state, NOWHERE)] == ["each", "after"]


def test_an_item_that_fails_ends_the_loop_and_those_in_flight_end_by_themselves() -> None:
    run = world(loop(concurrency=2), action("after")).fail("a[0]")
    assert (run.status("each"), run.running(), run.started) == ("executing", ["a[1]"], ["a[0]", "a[1]"])
    run.succeed("a[1]")
    assert run.status("each") == "failed"
    assert run.state.error == {"code": "broken", "message": "It broke.", "step": "a", "item": 0}
    assert run.started == ["a[0]", "a[1]"]


def test_on_item_failure_continue_does_the_others_and_goes_on() -> None:
    run = world(loop(on_item_failure="continue"), action("after")).fail("a[0]").succeed("a[1]").fail("a[2]")
    assert [run.status(key) for key in ("each[0]", "each[1]", "each[2]", "each")] == [
        "failed", "succeeded", "failed", "succeeded",
    ]  # fmt: skip
    assert run.started[-1] == "after"


def test_no_items_is_done_at_once() -> None:
    assert world(loop(), items=[]).state.status == "succeeded"


@pytest.mark.parametrize(
    ("items", "code", "words"),
    [
        ("text", "expression", "The items must be a list, not text."),
        ([0] * (MOST_ITEMS + 1), "too_many_items", f"{MOST_ITEMS + 1} items; a for_each takes {MOST_ITEMS}."),
        (["x" * MOST_BYTES], "too_many_items", "The items have 256 KiB; 256 are the limit."),
    ],
)
def test_what_cannot_be_gone_through_fails_with_words(items: Json, code: str, words: str) -> None:
    error = world(loop(), items=items).state.node("each").error
    assert error is not None
    assert (error["code"], words in str(error["message"])) == (code, True)


def test_loops_inside_loops_are_bounded_together() -> None:
    inner = loop(SetStep(id="s", values={}), id="inner", as_="b")
    run = world(loop(inner), items=[*range(45)])
    assert run.state.status == "failed"
    assert f"{MOST_IN_RUN} are the limit" in str(run.state.error)


def test_loops_nest_and_each_level_has_its_item() -> None:
    value = SetStep(id="s", values={"pair": "${{ row.id }}${{ cell }}"})
    inner = loop(value, id="inner", items="row.cells", as_="cell")
    run = world(loop(inner, as_="row"), items=[{"id": "p", "cells": [1, 2]}, {"id": "q", "cells": [3]}])
    assert run.state.status == "succeeded"
    found = {key: run.state.node(f"s[{key}]").outputs for key in ("0.0", "0.1", "1.0")}
    assert found == {"0.0": {"pair": "p1"}, "0.1": {"pair": "p2"}, "1.0": {"pair": "q3"}}
    assert condition(
        "steps.each.outputs[1].outputs.inner[0].outputs.s.pair == 'q3'", names(run.definition, run.state)
    )


def test_a_switch_in_a_loop_decides_for_each_item() -> None:
    switch = SwitchStep(id="w", cases=(Case("item == 'y'", (action("a"),)),), default=(action("b"),))
    run = world(loop(switch, concurrency=3))
    assert run.started == ["b[0]", "a[1]", "b[2]"]
    assert [run.status(key) for key in ("a[0]", "b[1]")] == ["skipped", "skipped"]


def test_items_are_undone_in_the_strict_reverse_of_their_completion() -> None:
    each = loop(action("a", compensate=Call("noop", {"was": "${{ item }}"})), concurrency=3)
    group = GroupStep(
        id="g", steps=(each, action("z")), on_failure=OnFailure(compensate=True, then="continue")
    )
    run = world(group).succeed("a[1]").succeed("a[2]").succeed("a[0]").fail("z")
    for key in ("a[0]/compensate", "a[2]/compensate", "a[1]/compensate"):
        assert run.started[-1] == key
        run.succeed(key)
    assert run.state.node("a[2]").captured == {"inputs": {"was": "z"}}
    assert (run.status("g"), run.state.status) == ("compensated", "succeeded")


def test_a_group_in_a_loop_undoes_only_its_own_item() -> None:
    undoing = GroupStep(
        id="g",
        steps=(action("a", compensate=Call("noop")), action("b")),
        on_failure=OnFailure(compensate=True),
    )
    run = world(loop(undoing, on_item_failure="continue"), items=["x", "y"])
    run.succeed("a[0]").succeed("b[0]").succeed("a[1]").fail("b[1]")
    assert run.started[-1] == "a[1]/compensate"
    run.succeed("a[1]/compensate")
    assert (run.status("g[0]"), run.status("g[1]"), run.status("a[0]")) == (
        "succeeded", "compensated", "succeeded",
    )  # fmt: skip


def test_a_fail_step_in_an_item_stops_the_others_and_ends_the_run() -> None:
    end = FailStep(id="f", message="No ${{ item }}", when="item == 'y'")
    run = world(loop(end, action("a"), concurrency=3, on_item_failure="continue", continue_on_error=True))
    assert (run.started, run.state.status) == ([], "failed")
    assert run.state.error is not None
    assert "No y" in str(run.state.error)


def test_a_stop_cancels_what_waits_and_no_further_item_begins() -> None:
    run = world(loop()).execute("a[0]").stop()
    run.succeed("a[0]")
    assert (run.status("each"), run.started, run.state.status) == ("cancelled", ["a[0]"], "cancelled")


def test_an_item_whose_worker_was_lost_is_asked_for_and_no_other_is_done_again() -> None:
    run = world(loop(concurrency=2)).succeed("a[0]").lose("a[1]")
    assert run.started == ["a[0]", "a[1]", "a[2]"]
    run.record(e.StepDecided(at=run.now, key="a[1]", choice="retry", by="ada", reason="looked"))
    run.advance().succeed("a[2]").succeed("a[1]")
    assert (run.state.status, run.started) == ("succeeded", ["a[0]", "a[1]", "a[2]"])


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 8), st.integers(1, 4), st.sampled_from(["fail", "continue"]), st.lists(st.integers(0, 9)),
    st.floats(0, 1),
)  # fmt: skip
def test_items_begin_in_order_never_more_than_so_many_at_once(
    count: int, limit: int, on_failure: str, choices: list[int], share: float
) -> None:
    run = world(loop(concurrency=limit, on_item_failure=on_failure), items=[*range(count)])
    for choice in choices:
        if running := run.running():
            assert len(running) <= limit
            key = running[choice % len(running)]
            run.fail(key) if choice == 9 else run.succeed(key)
    begun = [event.key for event in run.history if isinstance(event, e.StepScheduled)]
    assert begun == [f"a[{n}]" for n in range(len(begun))]
    cut = int(len(run.history) * share)
    assert replay(run.history[cut:], replay(run.history[:cut])) == run.state
    rows = [(event.type, event.data(), event.at) for event in run.history]
    assert replay(e.from_row(*row) for row in rows) == run.state
