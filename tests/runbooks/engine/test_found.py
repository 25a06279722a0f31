"""What the state machine found wrong in the engine, each as short as it can be told."""

from __future__ import annotations

from datetime import timedelta

import pytest

from runbooks.engine.deciding import retry_refusal
from runbooks.language.definition import (
    ApprovalStep,
    Call,
    GroupStep,
    OnFailure,
    ParallelStep,
    Probe,
    WaitStep,
)
from tests.runbooks.engine.life import Life
from tests.runbooks.engine.world import action, runbook

UNDOES = OnFailure(compensate=True, then="fail")
BROKEN = {"code": "broken", "message": "It broke.", "retryable": False}


def begun(*steps: object, **values: object) -> Life:
    life = Life(runbook(*steps, **values))  # type: ignore[arg-type]
    life.start()
    return life


def do(life: Life, key: str) -> None:
    life.commit(life.started(key))
    life.commit(*life.succeeded(key, {}))


def lose(life: Life, key: str) -> None:
    life.commit(life.started(key))
    life.commit(life.lost(key))


def test_what_a_branch_would_begin_is_not_begun_when_another_fails_in_the_same_walk() -> None:
    slow = GroupStep(id="slow", steps=(WaitStep(id="rest", for_=30.0), action("late")))
    short = GroupStep(id="short", steps=(ApprovalStep(id="ask", prompt="?"),), timeout=30.0)
    life = begun(ParallelStep(id="both", steps=(slow, short), fail_fast=True))
    life.now = life.due()[0]
    life.advance()
    assert life.state.ended
    assert not life.claimable(), "the timer fired and the other branch failed in one moment"


def test_a_retry_is_refused_where_the_block_of_the_step_is_over() -> None:
    both = ParallelStep(id="both", steps=(action("doubtful"), action("breaks")), fail_fast=True)
    life = begun(both, finally_=(action("report"),))
    lose(life, "doubtful")
    assert retry_refusal(life.definition, life.state, "doubtful") is None
    life.commit(life.started("breaks"))
    life.commit(life.failed("breaks", BROKEN))
    assert life.state.phase == "finally"
    assert retry_refusal(life.definition, life.state, "doubtful") is not None
    life.commit(life.decided("doubtful", "done"))
    assert life.state.node("doubtful").status == "succeeded"


def test_what_was_not_undone_any_more_says_so() -> None:
    steps = tuple(action(name, compensate=Call("noop")) for name in ("a", "b"))
    undo = OnFailure(compensate=True, then="continue")
    life = begun(GroupStep(id="block", steps=(*steps, action("breaks")), on_failure=undo))
    do(life, "a")
    do(life, "b")
    life.commit(life.started("breaks"))
    life.commit(life.failed("breaks", BROKEN))
    life.commit(life.started("b/compensate"))
    life.commit(life.failed("b/compensate", BROKEN))
    assert life.state.ended
    assert life.state.node("a").status == "compensation_failed"
    assert "not undone" in life.state.node("a").reason


def test_a_step_that_was_found_done_can_be_undone_with_inputs_of_that_moment() -> None:
    undo = Call("noop", {"to": "${{ steps.before.status }}"})
    probe = Probe(Call("noop"), "true")
    for probed in (True, False):
        life = begun(action("before"), action("doubtful", compensate=undo, probe=probe if probed else None))
        do(life, "before")
        lose(life, "doubtful")
        if probed:
            do(life, "doubtful/probe")
        else:
            life.commit(life.decided("doubtful", "done"))
        node = life.state.node("doubtful")
        assert (node.status, node.captured) == ("succeeded", {"inputs": {"to": "succeeded"}})


@pytest.mark.parametrize("begun_already", [True, False])
def test_a_branch_that_is_stopped_is_cancelled_whether_or_not_its_call_had_begun(
    *, begun_already: bool
) -> None:
    undo = OnFailure(compensate=True, then="fail")
    left = GroupStep(
        id="left", steps=(action("done", compensate=Call("noop")), action("next")), on_failure=undo
    )
    life = begun(ParallelStep(id="both", steps=(left, action("breaks")), fail_fast=True))
    do(life, "done")
    if begun_already:
        life.commit(life.started("next"))
    life.commit(life.started("breaks"))
    life.commit(life.failed("breaks", BROKEN))
    if begun_already:
        life.commit(life.failed("next", BROKEN | {"code": "cancelled"}))
    assert life.state.node("left").status == "cancelled"
    assert life.state.node("done").status == "succeeded", "who stops others does not undo them"
    assert life.state.ended


def test_an_undoing_has_its_time_though_the_run_was_paused_for_long_before_it_was_stopped() -> None:
    group = GroupStep(id="g", steps=(action("a", compensate=Call("noop")), action("b")), on_failure=UNDOES)
    life = Life(runbook(group))
    life.start(start_within=45.0)
    do(life, "a")
    life.commit(life.started("b"))
    life.commit(life.failed("b", BROKEN))
    life.pause()
    life.now += timedelta(hours=1)
    life.stop("cancel")
    assert life.claimable() == ["a/compensate"], "no worker could take it in the pause"
    do(life, "a/compensate")
    assert life.state.node("g").status == "compensated"


def test_a_stop_gives_up_an_undoing_that_no_worker_takes() -> None:
    life = Life(runbook(action("a", compensate=Call("noop")), action("b"), finally_=(action("f"),)))
    life.start(start_within=45.0)
    do(life, "a")
    life.stop("undo")
    assert life.claimable() == ["a/compensate"]
    life.now += timedelta(seconds=45)
    life.advance()
    assert (life.state.node("a").status, life.claimable()) == ("compensation_failed", ["f"])
    do(life, "f")
    assert life.state.status == "failed"
