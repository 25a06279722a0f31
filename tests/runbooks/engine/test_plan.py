"""What the engine does next, kind by kind."""

from __future__ import annotations

from datetime import timedelta

import pytest

from runbooks.engine import events as e
from runbooks.engine.apply import apply
from runbooks.engine.plan import plan
from runbooks.engine.transitions import ImpossibleTransition
from runbooks.language.definition import (
    ApprovalStep,
    Call,
    FailStep,
    GroupStep,
    Json,
    ManualStep,
    OnFailure,
    ParallelStep,
    Probe,
    SetStep,
    WaitStep,
    WaitUntilStep,
)
from tests.runbooks.engine.world import START, World, action, runbook


def test_steps_run_one_after_another_and_the_run_succeeds() -> None:
    world = World(runbook(action("a"), action("b"))).start()
    assert world.started == ["a"]
    world.succeed("a")
    assert world.started == ["a", "b"]
    world.succeed("b")
    assert world.state.status == "succeeded"


def test_a_runbook_without_steps_succeeds_at_once() -> None:
    assert World(runbook()).start().state.status == "succeeded"


def test_a_failure_stops_the_sequence_and_fails_the_run_with_its_error() -> None:
    world = World(runbook(action("a"), action("b"))).start().fail("a", "timeout")
    assert world.started == ["a"]
    assert world.state.status == "failed"
    assert world.state.error == {"code": "timeout", "message": "It broke.", "step": "a"}
    assert world.status("b") == "pending"


def test_continue_on_error_goes_on() -> None:
    world = World(runbook(action("a", continue_on_error=True), action("b"))).start().fail("a")
    assert world.started == ["a", "b"]
    assert world.succeed("b").state.status == "succeeded"


def test_a_false_condition_skips_the_step_and_says_the_value() -> None:
    world = World(runbook(action("a"), action("b", when='steps.a.outputs.kind == "x"'))).start()
    world.succeed("a", {"kind": "y"})
    assert world.status("b") == "skipped"
    assert world.state.node("b").reason == (
        '`steps.a.outputs.kind == "x"` is false: steps.a.outputs.kind is "y".'
    )
    assert world.state.status == "succeeded"


def test_a_condition_that_cannot_be_told_fails_the_step() -> None:
    world = (
        World(runbook(action("a"), action("b", when="steps.a.outputs.kind == 1"))).start().succeed("a", {})
    )
    assert world.status("b") == "failed"
    assert "There is no 'kind'" in str(world.state.node("b").error)


def test_a_disabled_step_is_skipped() -> None:
    world = World(runbook(action("a", disabled=True), action("b"))).start()
    assert world.status("a") == "skipped"
    assert world.started == ["b"]


def test_skipping_a_group_skips_what_is_inside() -> None:
    group = GroupStep(id="g", when="false", steps=(action("a"), GroupStep(id="h", steps=(action("b"),))))
    world = World(runbook(group)).start()
    assert [world.status(key) for key in ("g", "a", "h", "b")] == ["skipped"] * 4


def test_set_computes_in_memory() -> None:
    step = SetStep(id="s", values={"double": "${{ inputs.n * 2 }}"})
    world = World(runbook(step, action("a")), inputs={"n": 21}).start()
    assert world.state.node("s").outputs == {"double": 42}
    assert world.started == ["a"]


def test_fail_ends_the_run_through_every_group_around_it() -> None:
    inner = GroupStep(
        id="g", steps=(FailStep(id="f", message="No ${{ inputs.x }}"),), on_failure=OnFailure(then="continue")
    )
    world = World(runbook(inner, action("b")), inputs={"x": "luck"}).start()
    assert world.state.status == "failed"
    assert world.state.error == {"code": "failed", "message": "No luck", "retryable": False, "step": "f"}
    assert world.started == []


def test_fail_ends_the_run_also_when_its_message_cannot_be_told() -> None:
    lost = FailStep(id="f", message="No ${{ inputs.luck }}", path="steps[0].steps[0]")
    group = GroupStep(id="g", steps=(lost,), on_failure=OnFailure(then="continue"))
    world = World(runbook(group, action("b"))).start()
    assert (world.state.status, world.started) == ("failed", [])
    assert "steps[0].steps[0].message: There is no 'luck' in 'inputs'" in str(world.state.error)


@pytest.mark.parametrize(("value", "text"), [(["a", None], '["a",null]'), (True, "true"), (3.0, "3")])
def test_what_people_read_is_the_same_text_alone_and_among_words(value: Json, text: str) -> None:
    ask = ManualStep(id="m", prompt="${{ inputs.x }}")
    world = World(runbook(ask, FailStep(id="f", message="${{ inputs.x }}")), inputs={"x": value}).start()
    assert world.state.node("m").prompt == text
    world.record(e.ManualAnswered(at=world.now, key="m", choice="done", by="ada"))
    assert world.advance().state.error == {
        "code": "failed", "message": text, "retryable": False, "step": "f"
    }  # fmt: skip


class TestGroups:
    def group(self, *, compensate: bool = True, then: str = "continue") -> GroupStep:
        return GroupStep(
            id="g",
            steps=(
                action("a", compensate=Call("noop", {"was": "${{ self.outputs.was }}"})),
                action("b", compensate=Call("noop")),
                action("c"),
            ),
            on_failure=OnFailure(compensate=compensate, then=then),
        )

    def test_a_group_succeeds_with_its_steps(self) -> None:
        world = World(runbook(self.group(), action("z"))).start()
        world.succeed("a", {"was": 1}).succeed("b").succeed("c")
        assert world.status("g") == "succeeded"
        assert world.started[-1] == "z"

    def test_a_failed_group_undoes_its_steps_in_strict_reverse_order_and_goes_on(self) -> None:
        world = World(runbook(self.group(), action("z"))).start()
        world.succeed("a", {"was": 7}).succeed("b").fail("c")
        assert world.started == ["a", "b", "c", "b/compensate"]
        assert world.status("g") == "compensating"
        assert world.status("b") == "compensating"
        world.succeed("b/compensate")
        assert world.status("b") == "compensated"
        assert world.started[-1] == "a/compensate"
        assert world.state.node("a").captured == {"inputs": {"was": 7}}
        world.succeed("a/compensate")
        assert world.status("g") == "compensated"
        assert world.started[-1] == "z"
        assert world.succeed("z").state.status == "succeeded"

    def test_a_group_that_does_not_go_on_fails_the_run_after_undoing(self) -> None:
        world = World(runbook(self.group(then="fail"))).start().succeed("a", {"was": 7}).fail("b")
        assert world.state.status == "running"
        world.succeed("a/compensate")
        assert world.status("g") == "compensated"
        assert world.state.status == "failed"

    def test_nothing_to_undo_counts_as_undone(self) -> None:
        world = World(runbook(self.group())).start().fail("a")
        assert world.status("g") == "compensated"

    def test_a_failed_compensation_stops_the_run_even_if_the_group_would_go_on(self) -> None:
        world = World(runbook(self.group(), action("z"))).start()
        world.succeed("a", {"was": 7}).succeed("b").fail("c").fail("b/compensate")
        assert world.status("b") == "compensation_failed"
        assert world.status("g") == "compensation_failed"
        assert "a/compensate" not in world.started
        assert world.state.status == "failed"

    def test_without_compensation_the_group_may_go_on(self) -> None:
        world = World(runbook(self.group(compensate=False), action("z"))).start().fail("a")
        assert world.status("g") == "failed"
        assert world.started[-1] == "z"

    def test_a_group_that_takes_too_long_is_stopped_and_undone(self) -> None:
        group = GroupStep(
            id="g",
            timeout=60,
            steps=(action("a", compensate=Call("noop")), action("b")),
            on_failure=OnFailure(compensate=True, then="fail"),
        )
        world = World(runbook(group)).start().succeed("a").execute("b").advance(61)
        assert world.state.node("b").cancelling
        world.record(e.StepCancelled(at=world.now, key="b", reason="stopped"))
        world.advance().succeed("a/compensate")
        assert world.status("g") == "compensated"
        assert world.state.error is not None
        assert "timeout of 60 s" in str(world.state.error)


class TestParallel:
    def test_branches_run_side_by_side_and_join(self) -> None:
        world = World(runbook(ParallelStep(id="p", steps=(action("a"), action("b"))), action("z"))).start()
        assert world.started == ["a", "b"]
        world.succeed("b")
        assert "z" not in world.started
        world.succeed("a")
        assert world.started[-1] == "z"

    def test_concurrency_limits_how_many_at_once(self) -> None:
        branches = tuple(action(f"b{n}") for n in range(5))
        world = World(runbook(ParallelStep(id="p", concurrency=2, steps=branches))).start()
        assert world.started == ["b0", "b1"]
        world.succeed("b1")
        assert world.started == ["b0", "b1", "b2"]
        world.succeed("b0").succeed("b2").succeed("b3").succeed("b4")
        assert world.state.status == "succeeded"

    def test_a_failed_branch_lets_the_others_end_and_fails_the_block(self) -> None:
        world = World(runbook(ParallelStep(id="p", steps=(action("a"), action("b"))))).start()
        world.fail("a")
        assert world.state.status == "running"
        world.succeed("b")
        assert world.status("p") == "failed"
        assert world.state.status == "failed"

    def test_continue_on_error_of_the_block_keeps_the_run_going(self) -> None:
        step = ParallelStep(id="p", continue_on_error=True, steps=(action("a"), action("b")))
        world = World(runbook(step, action("z"))).start().fail("a").succeed("b")
        assert world.started[-1] == "z"

    def test_fail_fast_stops_what_runs_and_starts_nothing_more(self) -> None:
        step = ParallelStep(
            id="p", fail_fast=True, concurrency=2, steps=(action("a"), action("b"), action("c"))
        )
        world = World(runbook(step)).start().execute("b").fail("a")
        assert world.started == ["a", "b"]
        assert world.state.node("b").cancelling
        world.record(e.StepCancelled(at=world.now, key="b", reason="told to"))
        world.advance()
        assert world.status("p") == "failed"
        assert world.state.error is not None
        assert "broken" in str(world.state.error)

    def test_fail_fast_takes_back_what_it_was_about_to_start(self) -> None:
        step = ParallelStep(
            id="p", fail_fast=True, steps=(action("a"), SetStep(id="s", values={"x": "${{ inputs.nope }}"}))
        )
        world = World(runbook(step)).start()
        assert world.started == []
        assert world.state.status == "failed"

    def test_groups_are_branches(self) -> None:
        step = ParallelStep(
            id="p",
            steps=(
                GroupStep(id="g", steps=(action("a"), action("b"))),
                GroupStep(id="h", steps=(action("c"),)),
            ),
        )
        world = World(runbook(step)).start()
        assert world.started == ["a", "c"]
        world.succeed("a")
        assert world.started == ["a", "c", "b"]


class TestWaiting:
    def test_a_wait_holds_until_its_time(self) -> None:
        world = World(runbook(WaitStep(id="w", for_=600), action("z"))).start()
        assert world.status("w") == "waiting"
        assert world.advance(599).started == []
        assert world.advance(1).started == ["z"]

    def test_a_wait_until_a_time(self) -> None:
        world = World(
            runbook(WaitStep(id="w", until="inputs.at")), inputs={"at": "2026-01-01T12:30:00Z"}
        ).start()
        assert world.state.node("w").due_at == START + timedelta(minutes=30)

    @pytest.mark.parametrize("at", ["soon", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"])
    def test_a_wait_until_something_that_is_no_time_fails_and_says_so(self, at: str) -> None:
        """Nor is a moment one that lies in no year at Greenwich: no database keeps it."""
        world = World(runbook(WaitStep(id="w", until="inputs.at")), inputs={"at": at}).start()
        assert "is not a time with a zone" in str(world.state.error)

    def test_wait_until_is_one_call_that_is_sampled(self) -> None:
        step = WaitUntilStep(id="w", call=Call("prometheus.query"), until="result.value < 1.0")
        world = World(runbook(step)).start()
        assert world.started == ["w"]
        assert world.commanded[0].idempotent


class TestApprovals:
    def ask(self) -> World:
        ask = ApprovalStep(id="ask", prompt="Go?", guards=("a",))
        return World(runbook(ask, action("a", when='steps.ask.decision == "approved"'))).start()

    def test_an_approval_is_asked_and_waited_for(self) -> None:
        world = self.ask()
        assert [command.key for command in world.asked] == ["ask"]
        assert world.status("ask") == "awaiting_approval"
        assert plan(world.definition, world.state, world.now) == []

    def test_approved_goes_on(self) -> None:
        assert self.ask().decide("ask", "approved").started == ["a"]

    def test_rejected_may_go_on_and_is_seen_by_conditions(self) -> None:
        world = self.ask().decide("ask", "rejected", goes_on=True)
        assert world.status("a") == "skipped"
        assert world.state.status == "succeeded"

    def test_rejected_fails_otherwise(self) -> None:
        world = self.ask().decide("ask", "rejected", goes_on=False)
        assert world.state.status == "failed"
        assert "rejected by ada" in str(world.state.error)

    def test_expired_never_approves(self) -> None:
        world = self.ask().decide("ask", "expired", goes_on=False)
        assert world.started == []
        assert "approval_expired" in str(world.state.error)

    def test_a_void_approval_is_asked_anew_and_the_guarded_step_waits(self) -> None:
        world = self.ask().decide("ask", "approved")
        world.record(e.ApprovalVoided(at=world.now, key="ask", guarded="a", reason="The plan changed."))
        world.advance()
        assert [command.round for command in world.asked] == [1, 2]
        assert world.status("a") == "pending"
        world.decide("ask", "approved")
        assert world.started == ["a", "a"]


class TestStopping:
    def test_finally_runs_after_success_failure_and_stop(self) -> None:
        definition = runbook(action("a"), finally_=(action("f"),))
        for world in (
            World(definition).start().succeed("a"),
            World(definition).start().fail("a"),
            World(definition).start().stop(),
        ):
            assert world.started[-1] == "f"
        assert world.succeed("f").state.status == "cancelled"

    def test_on_failure_runs_before_finally_and_only_on_failure(self) -> None:
        definition = runbook(action("a"), on_failure=(action("o"),), finally_=(action("f"),))
        failed = World(definition).start().fail("a").succeed("o").succeed("f")
        assert failed.started == ["a", "o", "f"]
        assert failed.state.status == "failed"
        assert failed.state.error == {"code": "broken", "message": "It broke.", "step": "a"}
        assert World(definition).start().succeed("a").succeed("f").started == ["a", "f"]

    def test_a_failure_in_finally_fails_the_run(self) -> None:
        world = World(runbook(action("a"), finally_=(action("f"),))).start().succeed("a").fail("f")
        assert world.state.status == "failed"

    def test_an_executing_step_is_told_and_ends_in_its_real_outcome(self) -> None:
        world = World(runbook(action("a"), action("b"))).start().execute("a").stop()
        assert world.state.node("a").cancelling
        assert world.state.status == "cancelling"
        world.succeed("a")
        assert world.status("a") == "succeeded"
        assert world.state.status == "cancelled"
        assert world.started == ["a"]

    def test_what_waits_is_cancelled_at_once(self) -> None:
        world = World(runbook(ApprovalStep(id="ask", prompt="?"), action("a"))).start().stop("wrong one")
        assert world.status("ask") == "cancelled"
        assert world.state.status == "cancelled"
        assert world.state.node("ask").reason == "The run was stopped: wrong one"

    def test_a_compensation_that_began_is_completed_in_spite_of_a_stop(self) -> None:
        group = GroupStep(
            id="g",
            steps=(action("a", compensate=Call("noop")), action("b")),
            on_failure=OnFailure(compensate=True),
        )
        world = World(runbook(group)).start().succeed("a").fail("b").stop()
        assert world.state.status == "cancelling"
        assert world.succeed("a/compensate").status("g") == "compensated"
        assert world.state.status == "cancelled"

    def test_the_runs_deadline_stops_it_and_it_fails(self) -> None:
        world = World(
            runbook(WaitStep(id="w", for_=600), on_failure=(action("o"),)),
            deadline=START + timedelta(seconds=60),
        ).start()
        world.advance(61).succeed("o")
        assert world.status("w") == "cancelled"
        assert world.state.status == "failed"
        assert "run_timed_out" in str(world.state.error)

    def test_nothing_follows_the_end(self) -> None:
        world = World(runbook()).start()
        with pytest.raises(ImpossibleTransition):
            apply(world.state, e.StepScheduled(at=world.now, key="a"))
        assert plan(world.definition, world.state, world.now) == []


class TestUncertain:
    def probing(self) -> World:
        probe = Probe(Call("noop"), "result.weight == 0")
        return World(runbook(action("a", probe=probe), action("b"))).start()

    def test_without_a_probe_a_human_is_waited_for(self) -> None:
        world = World(runbook(action("a"), action("b"))).start().lose("a")
        assert world.status("a") == "uncertain"
        assert world.state.node("a").asks_human
        assert world.started == ["a"]

    @pytest.mark.parametrize(
        ("choice", "status", "next_started"), [("done", "succeeded", "b"), ("fail", "failed", "a")]
    )
    def test_a_human_decides(self, choice: str, status: str, next_started: str) -> None:
        world = World(runbook(action("a"), action("b"))).start().lose("a")
        world.record(e.StepDecided(at=world.now, key="a", choice=choice, by="ada", reason="looked"))
        world.advance()
        assert world.status("a") == status
        assert world.started[-1] == next_started

    def test_a_human_says_retry(self) -> None:
        world = World(runbook(action("a"))).start().lose("a")
        world.record(e.StepDecided(at=world.now, key="a", choice="retry", by="ada", reason="looked"))
        assert world.status("a") == "ready"
        assert world.state.node("a").attempt == 2

    def test_the_probe_found_it_done(self) -> None:
        world = self.probing().lose("a")
        assert world.started[-1] == "a/probe"
        world.succeed("a/probe", {"weight": 0})
        assert world.status("a") == "succeeded"
        assert world.state.node("a").outputs == {"weight": 0}
        assert world.started[-1] == "b"

    def test_the_probe_found_it_not_done_so_it_is_tried_again(self) -> None:
        world = self.probing().lose("a").succeed("a/probe", {"weight": 50})
        assert world.status("a") == "ready"
        assert world.state.node("a").attempt == 2

    def test_a_probe_that_cannot_tell_leaves_it_to_a_human(self) -> None:
        world = self.probing().lose("a").fail("a/probe")
        assert world.status("a") == "uncertain"
        assert world.state.node("a").asks_human
        assert world.state.node("a").reason == "The probe could not tell: It broke."
        assert plan(world.definition, world.state, world.now) == []

    def test_a_stopped_run_does_not_wait_for_that_human(self) -> None:
        world = World(runbook(action("a"), finally_=(action("f"),))).start().lose("a").stop().succeed("f")
        assert world.state.status == "cancelled"
        assert world.status("a") == "uncertain"


def test_the_outcome_tells_whether_production_is_well() -> None:
    definition = runbook(
        action("a"),
        action("b", continue_on_error=True),
        outcome={
            "recovered": 'steps.a.status == "succeeded"',
            "bad": 'steps.b.status == "succeeded"',
            "odd": "steps.a.outputs.x",
        },
    )
    world = World(definition).start().succeed("a").fail("b")
    assert world.state.outcome == {"recovered": True, "bad": False, "odd": None}
