"""How long a call may wait for a worker, and how long its attempts may take together."""

from __future__ import annotations

from datetime import timedelta

import pytest

from runbooks.engine import events as e
from runbooks.engine.deadlines import close_by, ready_until, start_by
from runbooks.engine.retry import delay
from runbooks.engine.state import NodeState
from runbooks.engine.transitions import StepStatus
from runbooks.language.definition import Call, GroupStep, OnFailure, Probe, Retry
from tests.runbooks.engine.world import START, World, action, runbook

ERROR = {"code": "busy", "message": "Later.", "retryable": True}


def retrying(world: World, key: str, seconds: float) -> None:
    """An attempt failed; the next one may start after so many seconds."""
    world.execute(key)
    at = world.now + timedelta(seconds=seconds)
    world.record(e.StepRetrying(at=world.now, key=key, attempt=2, ready_at=at, error=dict(ERROR)))


class TestScheduleToStart:
    def test_a_step_that_nobody_takes_times_out_and_names_the_pool(self) -> None:
        step = action("a", schedule_to_start_timeout=60.0, pool="db")
        world = World(runbook(step)).start().advance(59)
        assert world.status("a") == "ready"
        world.advance(1)
        assert world.status("a") == "timed_out"
        error = world.state.node("a").error or {}
        assert error["code"] == "schedule_to_start_timeout"
        assert "No worker of the pool db took it within 1m" in str(error["message"])
        assert world.state.status == "failed"

    def test_the_default_stands_in_the_first_event_of_the_run(self) -> None:
        world = World(runbook(action("a")))
        world.record(e.RunStarted(at=START, run={"id": "r"}, start_within=10.0))
        world.advance().advance(10)
        assert world.status("a") == "timed_out"

    def test_a_run_from_before_waits_for_ever(self) -> None:
        world = World(runbook(action("a"))).start().advance(10_000_000)
        assert world.status("a") == "ready"

    def test_the_pause_before_a_retry_does_not_count(self) -> None:
        world = World(runbook(action("a", schedule_to_start_timeout=5.0))).start()
        retrying(world, "a", 100)
        assert world.advance(104).status("a") == "ready"
        assert world.advance(1).status("a") == "timed_out"

    def test_what_executes_is_not_waiting_for_a_worker(self) -> None:
        world = World(runbook(action("a", schedule_to_start_timeout=5.0))).start().execute("a")
        assert world.advance(100).status("a") == "executing"

    def test_an_undoing_that_nobody_takes_has_failed(self) -> None:
        undone = action("a", compensate=Call("noop", {}), schedule_to_start_timeout=5.0)
        group = GroupStep(
            id="g", path="g", steps=(undone, action("b")), on_failure=OnFailure(compensate=True)
        )
        world = World(runbook(group)).start().succeed("a").fail("b")
        assert world.status("a/compensate") == "ready"
        world.advance(5)
        assert (world.status("a/compensate"), world.status("g")) == ("timed_out", "compensation_failed")

    def test_a_probe_that_nobody_takes_leaves_it_to_a_human(self) -> None:
        step = action("a", probe=Probe(Call("noop", {}), "true"), schedule_to_start_timeout=5.0)
        world = World(runbook(step)).start().lose("a").advance(5)
        assert world.status("a") == "uncertain"
        assert world.state.node("a").asks_human


class TestScheduleToClose:
    def test_a_step_that_waits_for_its_next_attempt_ends_with_the_last_error(self) -> None:
        world = World(runbook(action("a", schedule_to_close_timeout=30.0))).start()
        retrying(world, "a", 20)
        assert world.advance(29).status("a") == "ready"
        world.advance(1)
        error = world.state.node("a").error or {}
        assert (world.status("a"), error["code"]) == ("timed_out", "schedule_to_close_timeout")
        assert "busy: Later." in str(error["message"])

    def test_it_counts_from_the_first_start_whatever_came_between(self) -> None:
        step = action("a", schedule_to_close_timeout=30.0)
        node = NodeState(status=StepStatus.READY, started_at=START, ready_at=START + timedelta(seconds=20))
        assert close_by(step, node) == START + timedelta(seconds=30)
        assert start_by(World(runbook(step)).state, step, node) is None

    def test_the_timer_is_the_nearer_of_both(self) -> None:
        step = action("a", schedule_to_close_timeout=30.0, schedule_to_start_timeout=5.0)
        node = NodeState(status=StepStatus.READY, started_at=START, ready_at=START)
        state = World(runbook(step)).state
        assert ready_until(state, step, node) == START + timedelta(seconds=5)
        later = NodeState(status=StepStatus.READY, started_at=START, ready_at=START + timedelta(seconds=28))
        assert ready_until(state, step, later) == START + timedelta(seconds=30)
        assert ready_until(state, step, NodeState(status=StepStatus.EXECUTING, started_at=START)) is None


@pytest.mark.parametrize(
    ("jitter", "random", "expected"),
    [("none", 0.0, 8.0), ("full", 0.0, 0.0), ("full", 0.5, 4.0), ("equal", 0.0, 4.0), ("equal", 0.5, 6.0)],
)
def test_jitter_shortens_a_pause_as_its_name_says(jitter: str, random: float, expected: float) -> None:
    policy = Retry(max_attempts=9, initial_interval=2.0, backoff=2.0, jitter=jitter)
    assert delay(policy, attempts=3, error=ERROR, random=random) == expected


@pytest.mark.parametrize(
    ("policy", "error", "expected"),
    [
        (Retry(max_attempts=9, max_interval=5.0, jitter="none"), ERROR, 5.0),
        (Retry(max_attempts=3, jitter="none"), ERROR, None),
        (Retry(max_attempts=9), {**ERROR, "retryable": False}, None),
        (Retry(max_attempts=9), {"code": "busy"}, None),
        (Retry(max_attempts=9, not_on=("busy",)), ERROR, None),
        (Retry(max_attempts=9, only_on=("timeout",)), ERROR, None),
        (Retry(max_attempts=9, only_on=("busy",), jitter="none", max_interval=1.0), ERROR, 1.0),
        (Retry(max_attempts=9, max_interval=1.0), {**ERROR, "retry_after": 42}, 42.0),
        (Retry(max_attempts=9, max_interval=1.0), {**ERROR, "retry_after": 9999}, 300.0),
        (Retry(max_attempts=9, jitter="none", max_interval=60.0), {**ERROR, "retry_after": 1}, 8.0),
    ],
)
def test_a_retry_reads_the_code_whether_it_helps_and_how_long_the_target_asked_for(
    policy: Retry, error: dict[str, object], expected: float | None
) -> None:
    assert delay(policy, attempts=3, error=error, random=1.0) == expected  # type: ignore[arg-type]
