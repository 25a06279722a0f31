"""Anything may happen to a run at any time, in any order; the invariants hold all the same."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from runbooks.engine import events as e
from runbooks.engine.deciding import retry_refusal
from runbooks.engine.steering import following, pause_refusal, resume_refusal, unwanted_refusal
from runbooks.engine.transitions import StepStatus
from runbooks.language.definition import Json, Runbook
from tests.runbooks.engine.generated import runbooks, undoable
from tests.runbooks.engine.invariants import (
    check_all,
    nobody_waits_for_a_worker_for_ever,
    planning_is_deterministic_and_settled,
    sentences,
)
from tests.runbooks.engine.life import Life, awaits_somebody

S = StepStatus
BROKEN: dict[str, Json] = {"code": "broken", "message": "It broke.", "retryable": False}
AGAIN: dict[str, Json] = BROKEN | {"retryable": True}
which = st.integers(0, 20)
seldom = st.sampled_from([1, 0, 1, 1])


class ARun(RuleBasedStateMachine):
    """One run of a runbook that Hypothesis has written, with everybody who has a hand in it."""

    life: Life
    start_within: float | None

    @initialize(
        definition=st.one_of(runbooks(), runbooks(), undoable()),
        deadline=st.sampled_from([None, None, 60.0]),
        start_within=st.sampled_from([None, None, 45.0]),
        waits=st.integers(0, 5),
    )
    def starts(
        self, definition: Runbook, deadline: float | None, start_within: float | None, waits: int
    ) -> None:
        if deadline is not None:
            object.__setattr__(definition, "timeout", deadline)
        self.life, self.start_within = Life(definition), start_within
        if waits:
            self.life.start(start_within=start_within)
        else:
            self.life.hold()

    # Admission ----------------------------------------------------------------------------------

    @precondition(lambda self: not self.life.has_begun and not self.life.state.ended)
    @rule()
    def it_is_admitted(self) -> None:
        self.life.start(start_within=self.start_within)

    @precondition(lambda self: not self.life.has_begun and not self.life.state.ended)
    @rule(code=st.sampled_from(["slot", "rate", "switch:x"]))
    def it_waits_for_something_else(self, code: str) -> None:
        if code != self.life.state.held:
            self.life.hold(code)

    def has(self, *statuses: StepStatus) -> bool:
        return bool(self.life.keys(*statuses))

    # Workers ------------------------------------------------------------------------------------

    @precondition(lambda self: self.life.claimable())
    @rule(n=which)
    def a_worker_starts_a_call(self, n: int) -> None:
        found = self.life.claimable()
        self.life.commit(self.life.started(found[n % len(found)]))

    @precondition(lambda self: self.life.claimable())
    @rule(n=which)
    def the_gate_holds_a_call(self, n: int) -> None:
        found = self.life.claimable()
        key, again = found[n % len(found)], self.life.now + timedelta(seconds=5)
        self.life.commit(
            e.StepHeld(at=self.life.now, key=key, reason="A switch is off.", code="switch:x", ready_at=again)
        )

    @precondition(lambda self: self.life.claimable())
    @rule(most=st.integers(1, 4))
    def a_worker_goes_on_and_on(self, most: int) -> None:
        for _ in range(most):
            if found := self.life.claimable():
                self.life.commit(self.life.started(found[0]))
                self.life.commit(*self.life.succeeded(found[0], {"ok": True}))

    def call(self, n: int) -> str:
        found = self.life.executing()
        return found[n % len(found)]

    @precondition(lambda self: self.life.executing())
    @rule(n=which, ok=st.booleans())
    def a_call_succeeds(self, n: int, ok: bool) -> None:
        self.life.commit(*self.life.succeeded(self.call(n), {"ok": ok}))

    @precondition(lambda self: self.life.executing())
    @rule(n=which, error=st.sampled_from([BROKEN, AGAIN, AGAIN | {"code": "timeout"}]))
    def a_call_fails(self, n: int, error: dict[str, Json]) -> None:
        self.life.commit(self.life.failed(self.call(n), error))

    @precondition(lambda self: self.life.executing())
    @rule(n=which)
    def a_call_ends_and_nobody_knows_how(self, n: int) -> None:
        self.life.commit(self.life.failed(self.call(n), AGAIN, uncertain=True))

    @precondition(lambda self: self.life.executing())
    @rule(n=which)
    def a_worker_dies_and_its_lease_runs_out(self, n: int) -> None:
        key = self.call(n)
        self.life.now += timedelta(seconds=15)
        self.life.commit(self.life.lost(key))

    @precondition(lambda self: self.life.executing())
    @rule(n=which)
    def a_call_does_not_show_that_it_lives(self, n: int) -> None:
        self.life.commit(self.life.fell_silent(self.call(n)))

    @precondition(lambda self: any(self.life.state.node(key).cancelling for key in self.life.executing()))
    @rule()
    def a_call_that_was_told_to_stop_stops(self) -> None:
        told = [key for key in self.life.executing() if self.life.state.node(key).cancelling]
        self.life.commit(self.life.failed(told[0], BROKEN | {"code": "cancelled"}))

    # People -------------------------------------------------------------------------------------

    @precondition(lambda self: self.has(S.UNCERTAIN))
    @rule(n=which, choice=st.sampled_from(["done", "retry", "fail"]))
    def a_person_decides_what_became_of_a_step(self, n: int, choice: str) -> None:
        found = self.life.keys(S.UNCERTAIN)
        key = found[n % len(found)]
        if choice != "retry" or retry_refusal(self.life.definition, self.life.state, key) is None:
            self.life.commit(self.life.decided(key, choice))

    @precondition(lambda self: self.has(S.AWAITING_APPROVAL))
    @rule(n=which, decision=st.sampled_from(["approved", "approved", "rejected", "expired"]))
    def an_approval_is_decided(self, n: int, decision: str) -> None:
        found = self.life.keys(S.AWAITING_APPROVAL)
        self.life.commit(self.life.voted(found[n % len(found)], decision))

    @precondition(lambda self: self.has(S.AWAITING_HUMAN))
    @rule(n=which, choice=st.sampled_from(["done", "cannot"]))
    def a_person_answers_a_manual_step(self, n: int, choice: str) -> None:
        found = self.life.keys(S.AWAITING_HUMAN)
        key = found[n % len(found)]
        due_at = self.life.state.node(key).due_at
        if due_at is None or self.life.now < due_at or self.life.state.paused:
            self.life.commit(e.ManualAnswered(at=self.life.now, key=key, choice=choice, by="ada", reason="r"))

    # Those who steer ----------------------------------------------------------------------------

    @precondition(lambda self: self.life.ways_to_stop())
    @rule(how=st.sampled_from(["undo", "hand_over", "cancel", "freeze"]), chance=seldom)
    def somebody_stops_the_run(self, how: str, chance: int) -> None:
        if chance == 0 and how in self.life.ways_to_stop():
            self.life.stop(how)

    @precondition(lambda self: not pause_refusal(self.life.state))
    @rule(chance=seldom)
    def somebody_pauses_the_run(self, chance: int) -> None:
        if chance == 0:
            self.life.pause()

    @precondition(lambda self: not resume_refusal(self.life.state))
    @rule()
    def somebody_lets_the_run_go_on(self) -> None:
        self.life.resume()

    @rule(held=st.booleans(), chance=seldom)
    def the_run_that_started_it_is_paused_or_goes_on(self, held: bool, chance: int) -> None:
        event = following(self.life.state, held=held, reason="with it", at=self.life.now)
        if event is not None and chance == 0:
            self.life.commit(event)

    @precondition(lambda self: not unwanted_refusal(self.life.state) and self.life.history)
    @rule(how=st.sampled_from(["cancel", "undo"]), chance=seldom)
    def the_run_that_started_it_is_stopped(self, how: str, chance: int) -> None:
        if chance == 0:
            self.life.stop(how)

    @precondition(lambda self: self.life.tickable())
    @rule(n=which, choice=st.sampled_from(["done", "skipped"]))
    def somebody_deals_with_an_item(self, n: int, choice: str) -> None:
        found = self.life.tickable()
        self.life.tick(found[n % len(found)], choice)

    @precondition(lambda self: self.life.skippable())
    @rule(n=which, chance=seldom)
    def somebody_skips_a_step(self, n: int, chance: int) -> None:
        if chance == 0:
            found = self.life.skippable()
            self.life.skip(found[n % len(found)])

    @precondition(lambda self: self.life.may_reopen())
    @rule()
    def somebody_resumes_the_run_after_its_end(self) -> None:
        self.life.reopen()

    # The world ----------------------------------------------------------------------------------

    @precondition(lambda self: self.life.subruns())
    @rule(n=which, status=st.sampled_from(["succeeded", "failed", "cancelled"]))
    def another_run_ends(self, n: int, status: str) -> None:
        found = self.life.subruns()
        self.life.commit(self.life.child_ended(found[n % len(found)], status))

    @rule(seconds=st.sampled_from([1, 10, 30, 60]))
    def time_passes(self, seconds: int) -> None:
        self.life.now += timedelta(seconds=seconds)
        self.life.advance()

    @precondition(lambda self: self.life.due())
    @rule()
    def the_next_timer_is_due(self) -> None:
        self.life.now = self.life.due()[0]
        self.life.advance()

    # What holds ---------------------------------------------------------------------------------

    @invariant()
    def the_plan_has_nothing_to_add(self) -> None:
        if hasattr(self, "life"):
            planning_is_deterministic_and_settled(self.life.course)
            nobody_waits_for_a_worker_for_ever(self.life.course)

    def teardown(self) -> None:
        if hasattr(self, "life"):
            check_all(self.life.course)
            comes_to_its_end(self.life)
            check_all(self.life.course)


def comes_to_its_end(life: Life) -> None:
    """Every run whose work completes ends: from wherever it is, workers, people and time bring it there.

    What is paused is resumed, what waits is admitted, and the checklist of what was handed over is dealt with.
    """
    for _ in range(400):
        if life.state.ended:
            return
        asked = [key for key, node in life.state.nodes.items() if awaits_somebody(node)]
        if not life.has_begun:
            life.start()
        elif life.executing():
            life.commit(*life.succeeded(life.executing()[0], {"ok": True}))
        elif life.claimable():
            life.commit(life.started(life.claimable()[0]))
        elif life.subruns():
            life.commit(life.child_ended(life.subruns()[0], "succeeded"))
        elif asked:
            _answer(life, asked[0])
        elif life.tickable():
            life.tick(life.tickable()[0])
        elif life.state.paused:
            assert life.state.items is None, f"nobody can deal with {life.state.items}: {life.state.nodes}"
            life.resume()
        else:
            assert life.due(), f"nothing will ever happen: {life.state.nodes}"
            life.now = life.due()[0]
            life.advance()
    raise AssertionError(f"it goes on for ever: {life.state.nodes}")


def _answer(life: Life, key: str) -> None:
    status = life.state.node(key).status
    if status == S.UNCERTAIN:
        life.commit(life.decided(key, "done"))
    elif status == S.AWAITING_HUMAN:
        life.commit(e.ManualAnswered(at=life.now, key=key, choice="done", by="ada"))
    else:
        life.commit(life.voted(key, "approved"))


TestARun = ARun.TestCase
TestARun.settings = settings(
    max_examples=200,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


BEGIN, END = "<!-- invariants -->", "<!-- /invariants -->"
PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "engine.md"


def test_the_page_about_the_engine_lists_the_invariants_as_they_are() -> None:
    text = PAGE.read_text()
    listed = text.partition(BEGIN)[2].partition(END)[0].strip()
    assert listed == "\n".join(f"- {sentence}" for sentence in sentences())
