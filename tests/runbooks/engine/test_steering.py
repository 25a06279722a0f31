"""Pausing, undoing, handing over, resuming and skipping, as the engine plans them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from runbooks.engine import events as e
from runbooks.engine.reopening import reopening
from runbooks.engine.sampling import deadline_of
from runbooks.engine.skipping import refusal
from runbooks.engine.state import Key
from runbooks.engine.steering import following, item_state, stop_refusal, tick_refusal, unwanted_refusal
from runbooks.engine.transitions import ImpossibleTransition
from runbooks.language.definition import (
    ApprovalStep,
    Call,
    Case,
    ForEachStep,
    GroupStep,
    ManualStep,
    OnFailure,
    ParallelStep,
    Probe,
    SwitchStep,
    WaitStep,
    WaitUntilStep,
)
from tests.runbooks.engine.world import World, action, runbook

UNDO = Call("noop")


def test_a_paused_run_plans_nothing_until_it_is_resumed() -> None:
    world = World(runbook(action("a"), action("b"))).start()
    world.execute("a").pause()
    world.succeed("a")
    assert (world.state.status, world.started) == ("paused", ["a"])
    world.resume()
    assert world.started == ["a", "b"]


def test_limits_of_time_get_the_pause_on_top_and_moments_do_not() -> None:
    group = GroupStep(id="g", steps=(WaitStep(id="w", for_=20.0),), timeout=60.0)
    world = World(runbook(group)).start()
    due, deadline = world.state.node("w").due_at, world.state.node("g").deadline
    world.pause().resume(3600)
    assert (world.state.node("w").status, world.state.status) == ("succeeded", "succeeded")
    assert due is not None
    assert deadline is not None
    assert world.state.node("g").deadline == deadline + timedelta(hours=1)


def test_a_manual_step_has_as_long_as_before_and_a_condition_has_to_hold_anew() -> None:
    until = WaitUntilStep(id="u", call=Call("noop"), until="true", sustained=30.0, timeout=90.0)
    world = World(
        runbook(ParallelStep(id="p", steps=(ManualStep(id="m", prompt="Do it.", timeout=60.0), until)))
    )
    world.start()
    world.execute("u")
    at = world.now
    world.record(e.Sampled(at=at, key="u", n=1, met=True, since=at, next_at=at + timedelta(seconds=10)))
    due = world.state.node("m").due_at
    assert due is not None
    world.pause().resume(100)
    node = world.state.node("u")
    assert world.state.node("m").due_at == due + timedelta(seconds=100)
    assert (world.status("m"), node.true_since) == ("awaiting_human", None)
    assert deadline_of(node, until) == (node.started_at or at) + timedelta(seconds=190)


def test_what_a_gate_held_comes_to_it_again_after_a_pause() -> None:
    world = World(runbook(action("a"))).start()
    later = world.now + timedelta(hours=1)
    world.record(e.StepHeld(at=world.now, key="a", reason="no", code="switch:1", ready_at=later))
    world.pause().resume(5)
    assert (world.state.node("a").held, world.state.node("a").ready_at) == ("", world.now)


def test_a_pause_does_not_count_as_waiting_for_a_worker_nor_as_time_for_attempts() -> None:
    limited = action("a", schedule_to_start_timeout=60.0, schedule_to_close_timeout=90.0)
    world = World(runbook(limited)).start()
    world.pause().resume(3600)
    assert (world.status("a"), world.state.node("a").ready_at) == ("ready", world.now)
    world.advance(61)
    assert world.status("a") == "timed_out"


def test_only_a_paused_run_is_resumed_and_only_one_that_is_over_is_reopened() -> None:
    world = World(runbook(action("a"))).start()
    with pytest.raises(ImpossibleTransition):
        world.record(e.RunResumed(at=world.now))
    with pytest.raises(ImpossibleTransition):
        world.record(e.RunReopened(at=world.now))


def undoable() -> World:
    first = GroupStep(id="g", steps=(action("a", compensate=UNDO), action("b", compensate=UNDO)))
    world = World(
        runbook(first, action("plain"), action("c", compensate=UNDO), action("d"), finally_=(action("f"),))
    )
    world.start()
    for key in ("a", "b", "plain", "c"):
        world.succeed(key)
    return world


def test_a_stop_undoes_in_strict_reverse_order_and_then_cleans_up() -> None:
    world = undoable().stop(how="undo")
    for key in ("c/compensate", "b/compensate", "a/compensate", "f"):
        assert world.started[-1] == key
        world.succeed(key)
    assert (world.state.status, world.status("plain"), world.status("d")) == (
        "cancelled",
        "succeeded",
        "cancelled",
    )


def test_an_undoing_that_fails_is_the_end_of_it_but_not_of_the_cleaning_up() -> None:
    world = undoable().stop(how="undo")
    world.succeed("c/compensate").fail("b/compensate").succeed("f")
    error = world.state.error
    assert isinstance(error, dict)
    assert (world.state.status, error["code"], error["step"]) == ("failed", "compensation_failed", "b")
    assert (world.status("a"), world.status("b")) == ("succeeded", "compensation_failed")


def test_undoing_asks_the_probe_of_a_step_in_doubt_before_it_begins() -> None:
    probed = action("b", compensate=UNDO, probe=Probe(UNDO, "result.done"))
    world = World(runbook(action("a", compensate=UNDO), probed)).start()
    world.succeed("a").lose("b")
    world.stop(how="undo")
    assert world.started[-1] == "b/probe"
    world.succeed("b/probe", {"done": True})
    assert world.started[-1] == "b/compensate"
    world.succeed("b/compensate").succeed("a/compensate")
    assert world.state.status == "cancelled"


def test_a_step_in_doubt_that_did_not_happen_is_not_undone_nor_tried_again() -> None:
    probed = action("b", compensate=UNDO, probe=Probe(UNDO, "result.done"))
    world = World(runbook(action("a", compensate=UNDO), probed)).start()
    world.succeed("a").lose("b")
    world.stop(how="undo").succeed("b/probe", {"done": False})
    assert (world.status("b"), world.started[-1]) == ("cancelled", "a/compensate")


def test_a_hand_over_lists_what_has_no_good_end_yet() -> None:
    items = ForEachStep(id="each", items="[1, 2]", steps=(action("act"),), concurrency=1)
    later = ForEachStep(id="later", items="[1]", steps=(action("other"),))
    switch = SwitchStep(id="s", cases=(Case("true", (action("x"),)),))
    done = GroupStep(id="g", steps=(action("y"), action("z", disabled=True)))
    world = World(runbook(action("a"), items, later, switch, done, finally_=(action("f"),))).start()
    world.succeed("a").hand_over()
    assert world.state.items == ("act[0]", "each[1]", "later", "s", "y", "f")
    for key in ("act[0]", "each[1]", "later", "s", "y"):
        world.tick(key)
    assert not world.state.ended
    world.tick("f", "skipped")
    assert (world.state.status, world.started) == ("cancelled", ["a", "act[0]"])
    assert world.state.error == {
        "code": "handed_over",
        "message": "Handed over: 5 steps done by hand, 1 left out.",
        "retryable": False,
    }
    assert not [key for key, node in world.state.nodes.items() if node.in_flight]


def test_what_executes_at_a_hand_over_deals_with_its_item_by_itself_if_it_succeeds() -> None:
    world = World(runbook(action("a"))).start()
    world.execute("a").hand_over()
    assert not world.state.ended
    world.succeed("a")
    assert world.state.ended


def test_a_reopened_run_keeps_its_case_its_items_and_what_it_went_on_without() -> None:
    tolerated = action("t", continue_on_error=True)
    switch = SwitchStep(id="s", cases=(Case("true", (tolerated, action("x"))), Case("true", (action("y"),))))
    world = World(runbook(switch)).start()
    world.fail("t").fail("x")
    assert world.state.status == "failed"
    found = reopening(world.definition, world.state, world.now)
    assert (found.again, found.revived, found.kept) == (["x"], {"s": None}, [])
    world.reopen().succeed("x")
    assert (world.state.status, world.status("t"), world.status("y")) == ("succeeded", "failed", "skipped")


def test_a_reopened_block_has_its_time_anew() -> None:
    world = World(runbook(GroupStep(id="g", steps=(action("a"),), timeout=60.0))).start()
    world.advance(61)
    world.record(e.StepCancelRequested(at=world.now, key="a")) if not world.state.node("a").ended else None
    if world.state.node("a").in_flight:
        world.record(e.StepCancelled(at=world.now, key="a"))
        world.advance()
    assert world.state.status == "failed"
    world.reopen()
    assert world.state.node("g").deadline == world.now + timedelta(seconds=60)
    world.succeed("a")
    assert world.state.status == "succeeded"


def test_an_approval_inside_a_finished_block_is_asked_anew_for_what_it_guards() -> None:
    ask = GroupStep(id="g", steps=(ApprovalStep(id="ask", prompt="?", guards=("a",)),))
    world = World(runbook(ask, action("a"))).start()
    world.decide("ask", "approved").fail("a")
    assert world.state.status == "failed"
    world.reopen()
    assert (world.status("g"), world.status("ask"), world.state.node("ask").round) == (
        "executing", "awaiting_approval", 2,
    )  # fmt: skip
    assert world.running() == []
    world.decide("ask", "approved").succeed("a")
    assert world.state.status == "succeeded"


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda w: w.succeed("a").succeed("b"), "succeeded: there is nothing to resume"),
        (lambda w: w.succeed("a"), "not over"),
        (lambda w: w.lose("a").stop(), "Nobody knows what became of a"),
        (lambda w: w.hand_over().tick("a").tick("b"), "handed over"),
    ],
)
def test_what_cannot_be_right_is_not_resumed(prepare: object, words: str) -> None:
    world = World(runbook(action("a"), action("b"))).start()
    prepare(world)  # type: ignore[operator]
    assert words in reopening(world.definition, world.state, world.now).refusal


def test_a_step_is_skipped_before_its_turn_while_it_waits_and_after_it_failed_in_a_pause() -> None:
    world = World(runbook(WaitStep(id="w", for_=60.0), action("a"), action("b"))).start()
    world.skip("w").skip("b")
    world.execute("a").pause()
    world.fail("a").skip("a").resume()
    assert (world.state.status, {world.status(key) for key in ("w", "a", "b")}) == ("succeeded", {"skipped"})


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("done", "succeeded already"),
        ("busy", "It executes"),
        ("ask", "never skipped"),
        ("p", "It has begun"),
        ("later", "name the item"),
        ("later[0]", "no such item"),
        ("guarding", "without being approved"),
        ("busy/probe", "Only a step"),
    ],
)
def test_what_may_not_be_skipped_is_refused_in_words(key: str, words: str) -> None:
    ask = ApprovalStep(id="ask", prompt="?", guards=("after",))
    guarding = GroupStep(id="guarding", steps=(ApprovalStep(id="inner", prompt="?", guards=("after",)),))
    loop = ForEachStep(id="each", items="[1]", steps=(action("later"),))
    branches = ParallelStep(id="p", steps=(action("busy"), ask))
    world = World(runbook(action("done"), branches, loop, guarding, action("after"))).start()
    world.succeed("done").execute("busy")
    assert words in refusal(world.definition, world.state, key)
    assert Key.parse(key)


def test_a_step_of_a_phase_that_is_over_is_not_skipped() -> None:
    world = World(runbook(action("a"), action("b"), finally_=(action("f"),))).start()
    world.fail("a")
    assert "gone on" in refusal(world.definition, world.state, "b")
    assert refusal(world.definition, world.state, "f") == ""


def test_a_run_whose_group_could_not_undo_itself_is_not_stopped_to_undo() -> None:
    undoes = OnFailure(compensate=True, then="fail")
    group = GroupStep(id="g", steps=(action("a", compensate=UNDO), action("b")), on_failure=undoes)
    world = World(runbook(group, on_failure=(action("tell"),))).start()
    world.succeed("a").fail("b").fail("a/compensate")
    assert world.state.phase == "on_failure"
    assert "a could not be undone" in stop_refusal(world.definition, world.state, "undo")
    assert stop_refusal(world.definition, world.state, "cancel") == ""


def test_what_is_on_the_checklist_says_how_it_stands_and_why_nobody_deals_with_it() -> None:
    branches = ParallelStep(id="p", steps=(action("busy"), action("doubtful"), action("bad")))
    world = World(runbook(branches, action("later"))).start()
    world.execute("busy").lose("doubtful").fail("bad").hand_over()
    world.tick("later", "skipped")
    found = {key: item_state(world.state, key) for key in world.state.items or ()}
    assert found == {"busy": "busy", "doubtful": "unknown", "bad": "open", "later": "skipped"}
    refused = [tick_refusal(world.state, key).partition(":")[0] for key in found]
    assert refused == [
        "busy still executes",
        "Nobody knows what became of doubtful",
        "",
        "later is skipped already.",
    ]
    passed_over = World(runbook(action("a"))).start()
    passed_over.skip("a")
    assert item_state(passed_over.state, "a") == "skipped"


def test_a_run_that_is_not_wanted_any_more_is_left_alone_where_it_ends_anyway() -> None:
    def begun() -> World:
        return World(runbook(action("a"), finally_=(action("f"),))).start()

    assert unwanted_refusal(begun().state) == ""
    assert "handed over" in unwanted_refusal(begun().hand_over().state)
    assert "being stopped" in unwanted_refusal(begun().stop().state)
    assert "last steps" in unwanted_refusal(begun().succeed("a").state)
    assert "over already" in unwanted_refusal(begun().succeed("a").succeed("f").state)


def test_a_run_follows_the_one_that_started_it_only_once_it_has_begun() -> None:
    world = World(runbook(action("a")))
    assert following(world.state, held=True, reason="r", at=world.now) is None
    world.start()
    event = following(world.state, held=True, reason="r", at=world.now)
    assert isinstance(event, e.RunPaused)
    world.record(event)
    assert isinstance(following(world.state, held=False, reason="", at=world.now), e.RunResumed)
    world.resume().pause()
    assert following(world.state, held=False, reason="", at=world.now) is None, "a person has paused it"
