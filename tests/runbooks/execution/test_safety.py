"""Nothing is lost, nothing that is not idempotent happens twice, and every doubt is visible."""

from __future__ import annotations

import threading
import uuid
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models import F

from handrail.audit.models import AuditEntry
from handrail.shared.clock import database_now
from handrail.shared.errors import Conflict, Invalid
from runbooks import admitting, runs
from runbooks.execution import children, recover
from runbooks.execution.claim import claim_overdue
from runbooks.execution.complete import Done, complete_all
from runbooks.execution.effect import Ended
from runbooks.execution.gate import Work
from runbooks.execution.worker import Me
from runbooks.models import Run, RunEvent, StepAttempt, StepRun, Worker
from runbooks.steps.base import ActionContext, Failure, Success
from tests.runbooks.execution.stage import (
    Scripted,
    Stage,
    a_driver,
    claim_step,
    complete,
    history,
    ready_steps,
    states,
)

pytestmark = pytest.mark.django_db(transaction=True)

SAFE = "- {id: a, uses: test.call, idempotent: true}\n- {id: b, uses: noop}"
UNSAFE = "- {id: a, uses: test.call}\n- {id: b, uses: noop}"
PROBED = """
- id: a
  uses: test.call
  probe: {uses: test.read, done_when: result.weight == 0}
- {id: b, uses: noop}
"""
UNDOING = """
- id: g
  kind: group
  on_failure: {compensate: true, then: fail}
  steps:
    - {id: a, uses: test.call, compensate: {uses: test.call, with: {undo: true}}}
    - {id: b, uses: test.call}
"""


def gated(stage: Stage, steps: str, me: Me | None = None, slug: str = "a-runbook") -> Work:
    """A run whose first step passed the gate; its worker is then never heard of again."""
    run = stage.start(stage.publish(steps, slug))
    work = claim_step(ready_steps(run)[0], me or Me.in_pools("default"))
    assert work is not None
    return work


def lease_ends(work: Work) -> None:
    StepRun.objects.filter(pk=work.step_id).update(lease_until=database_now() - timedelta(seconds=1))


def row(work: Work) -> StepRun:
    return StepRun.objects.get(pk=work.step_id)


class TestClaiming:
    def test_a_step_is_claimed_once(self, stage: Stage) -> None:
        run = stage.start(stage.publish(SAFE.replace("test.call", "noop")))
        step_id = ready_steps(run)[0]
        assert claim_step(step_id, Me.in_pools("default")) is not None
        assert claim_step(step_id, Me.in_pools("default")) is None

    def test_many_threads_claim_one_step_once(self, stage: Stage) -> None:
        run = stage.start(stage.publish("- {id: a, uses: noop}"))
        step_id = ready_steps(run)[0]
        start, won = threading.Barrier(8), []

        def race() -> None:
            try:
                start.wait()
                work = claim_step(step_id, Me.in_pools("default"))
                if work is not None:
                    won.append(work)
            finally:
                connection.close()

        threads = [threading.Thread(target=race) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1

    def test_pollers_share_ready_steps_without_doing_any_twice(
        self, stage: Stage, calls: type[Scripted]
    ) -> None:
        branches = "\n".join(f"    - {{id: b{n}, uses: test.call}}" for n in range(12))
        run = stage.start(stage.publish(f"- id: p\n  kind: parallel\n  steps:\n{branches}"))
        StepRun.objects.update(hinted_at=None)

        def work_off() -> None:
            driver = a_driver("default")
            try:
                while (work := driver.next_overdue()) is not None:
                    driver.go_on(work)
            finally:
                connection.close()

        threads = [threading.Thread(target=work_off) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stage.drive(run)
        assert run.state == "succeeded"
        assert sorted(node for node, _, _ in calls.calls) == sorted(f"b{n}" for n in range(12))

    def test_a_poller_leaves_a_fresh_hint_to_whom_it_was_sent(self, stage: Stage) -> None:
        stage.start(stage.publish("- {id: a, uses: noop}"))
        me = Me.in_pools("default")
        assert claim_overdue(me) is None
        StepRun.objects.update(hinted_at=F("hinted_at") - timedelta(seconds=2))
        assert claim_overdue(me) is not None

    def test_a_step_of_another_pool_is_not_taken(self, stage: Stage) -> None:
        stage.start(stage.publish("- {id: a, uses: noop, runner: {pool: inside}}"))
        StepRun.objects.update(hinted_at=None)
        assert claim_overdue(Me.in_pools("default")) is None
        assert claim_overdue(Me.in_pools("default", "inside")) is not None

    def test_a_run_of_a_newer_engine_is_left_alone(self, stage: Stage) -> None:
        run = stage.start(stage.publish("- {id: a, uses: noop}"))
        Run.objects.update(engine_schema=99)
        assert claim_step(ready_steps(run)[0], Me.in_pools("default")) is None
        assert states(run) == {"a": "ready"}

    def test_a_hint_for_nothing_does_nothing(self, stage: Stage) -> None:
        run = stage.start(stage.publish("- {id: a, uses: noop}"))
        assert stage.driver.drive(run.pk) == 0


class TestTheIntent:
    def test_the_intent_is_committed_and_chained_before_the_effect(
        self, stage: Stage, calls: type[Scripted]
    ) -> None:
        seen: list[tuple[str, bool]] = []

        def look(context: ActionContext) -> Success:
            step = StepRun.objects.get(run_id=context.run_id, node=context.node)
            seen.append((step.state, connection.in_atomic_block))
            assert RunEvent.objects.filter(run_id=context.run_id, type="step.started").exists()
            return Success({})

        calls.script = {"a": [look]}
        stage.drive(stage.start(stage.publish(UNSAFE)))
        assert seen == [("executing", False)]

    def test_the_end_of_a_run_is_anchored_in_the_installations_audit_trail(self, stage: Stage) -> None:
        run = stage.start(stage.publish("- {id: a, uses: noop}"))
        stage.drive(run)
        entry = AuditEntry.objects.get(action="run.finished")
        assert entry.data["history_n"] == run.history_n
        assert entry.data["history_hash"] == run.history_hash == RunEvent.objects.filter(run=run).last().hash


class TestFences:
    def test_a_late_completion_is_refused(self, stage: Stage, calls: type[Scripted]) -> None:
        me = Me.in_pools("default")
        work = gated(stage, SAFE, me)
        lease_ends(work)
        assert recover.recover_expired() == 1
        run = work.live.run
        before = history(run)
        assert complete(work, Ended(Success({"late": True})), me) is None
        assert history(run) == before
        stage.drive(run)
        assert run.state == "succeeded"

    def test_a_lost_lease_is_not_even_reported(self, stage: Stage, calls: type[Scripted]) -> None:
        work = gated(stage, SAFE)
        assert complete(work, Ended(Success({}), lost=True), Me.in_pools("default")) is None
        assert row(work).state == "executing"

    def test_a_completion_is_counted_once(self, stage: Stage, calls: type[Scripted]) -> None:
        me = Me.in_pools("default")
        work = gated(stage, "- {id: a, uses: test.call}", me)
        complete(work, Ended(Success({})), me)
        assert complete(work, Ended(Success({})), me) is None
        assert RunEvent.objects.filter(type="step.succeeded").count() == 1


class TestRecovery:
    def test_a_live_lease_is_left_alone(self, stage: Stage, calls: type[Scripted]) -> None:
        work = gated(stage, SAFE)
        assert recover.recover_expired() == 0
        assert recover.recover(work.step_id) is False

    def test_a_step_that_was_only_claimed_is_ready_again(self, stage: Stage) -> None:
        run = stage.start(stage.publish("- {id: a, uses: noop}"))
        StepRun.objects.update(
            state="claimed", owner="x", fence=1, lease_until=database_now() - timedelta(seconds=1)
        )
        assert recover.recover_expired() == 1
        assert states(run) == {"a": "ready"}
        stage.drive(run)
        assert run.state == "succeeded"

    def test_an_idempotent_step_is_done_again(self, stage: Stage, calls: type[Scripted]) -> None:
        work = gated(stage, SAFE)
        lease_ends(work)
        recover.recover_expired()
        assert (row(work).state, row(work).crashes, row(work).attempt) == ("ready", 1, 2)
        assert StepAttempt.objects.get(step=work.step_id).outcome == "lost"
        stage.drive(work.live.run)
        assert work.live.run.state == "succeeded"

    def test_a_step_that_may_not_be_repeated_is_uncertain_and_waits_for_a_human(
        self, stage: Stage, calls: type[Scripted]
    ) -> None:
        work = gated(stage, UNSAFE)
        lease_ends(work)
        recover.recover_expired()
        assert row(work).state == "uncertain"
        assert recover.recover_expired() == 0
        assert recover.hint_ready() == 0
        run = Run.objects.get()
        assert run.state == "waiting"
        assert AuditEntry.objects.filter(action="step.uncertain").count() == 1
        assert calls.calls == []

    def test_its_probe_is_asked_first(self, stage: Stage, calls: type[Scripted]) -> None:
        calls.script = {"a": [Success({"weight": 0})]}
        work = gated(stage, PROBED)
        lease_ends(work)
        recover.recover_expired()
        assert states(work.live.run) == {"a": "uncertain", "a/probe": "ready"}
        stage.drive(work.live.run)
        assert work.live.run.state == "succeeded"
        assert states(work.live.run) == {"a": "succeeded", "a/probe": "succeeded", "b": "succeeded"}

    def test_the_probe_says_not_done_so_it_is_done(self, stage: Stage, calls: type[Scripted]) -> None:
        calls.script = {"a": [Success({"weight": 100}), Success({"done": True})]}
        work = gated(stage, PROBED)
        lease_ends(work)
        recover.recover_expired()
        stage.drive(work.live.run)
        assert work.live.run.state == "succeeded"
        assert row(work).outputs == {"done": True}

    def test_a_probe_may_be_asked_again_later(self, stage: Stage, calls: type[Scripted]) -> None:
        unsure = Failure("reset", "Cut off.", uncertain=True)
        calls.script = {"a": [unsure, Success({"weight": 100}), unsure, Success({"weight": 0})]}
        run = stage.start(stage.publish(PROBED))
        stage.drive(run)
        assert run.state == "succeeded"
        assert len(calls.calls) == 4

    def test_a_human_who_decides_first_makes_the_probe_needless(
        self, stage: Stage, calls: type[Scripted]
    ) -> None:
        work = gated(stage, PROBED)
        lease_ends(work)
        recover.recover_expired()
        probe = StepRun.objects.get(role="probe")
        runs.decide_step(work.step_id, actor=stage.actor, choice="done", reason="I looked.")
        stage.drive(work.live.run)
        assert work.live.run.state == "succeeded"
        assert states(work.live.run) == {"a": "succeeded", "a/probe": "cancelled", "b": "succeeded"}
        assert claim_step(probe.pk, Me.in_pools("default")) is None
        assert claim_overdue(Me.in_pools("default")) is None

    def test_a_probe_that_executes_when_a_human_decides_is_not_believed(
        self, stage: Stage, calls: type[Scripted]
    ) -> None:
        work = gated(stage, PROBED)
        lease_ends(work)
        recover.recover_expired()
        me = Me.in_pools("default")
        asking = claim_step(StepRun.objects.get(role="probe").pk, me)
        assert asking is not None
        runs.decide_step(work.step_id, actor=stage.actor, choice="retry", reason="I looked.", override=True)
        assert complete(asking, Ended(Success({"weight": 100})), me) is None
        again = claim_step(work.step_id, Me.in_pools("default"))
        assert again is not None
        lease_ends(again)
        recover.recover_expired()
        assert states(work.live.run) == {"a": "uncertain", "a/probe": "ready"}, "it is asked anew"

    def test_a_run_that_is_stopped_asks_no_probe_any_more(self, stage: Stage, calls: type[Scripted]) -> None:
        work = gated(stage, PROBED)
        lease_ends(work)
        recover.recover_expired()
        runs.stop(work.live.run.pk, actor=stage.actor, reason="enough")
        assert Run.objects.get().state == "cancelled"
        assert states(work.live.run) == {"a": "uncertain", "a/probe": "cancelled"}
        assert claim_overdue(Me.in_pools("default")) is None

    def test_a_step_that_kills_its_worker_three_times_is_parked(
        self, stage: Stage, calls: type[Scripted]
    ) -> None:
        work = gated(stage, SAFE)
        for _ in range(2):
            lease_ends(work)
            recover.recover_expired()
            assert claim_step(work.step_id, Me.in_pools("default")) is not None
        lease_ends(work)
        recover.recover_expired()
        assert row(work).state == "uncertain"
        assert row(work).error["code"] == "poison"

    def test_a_stop_does_not_repeat_what_may_have_happened(self, stage: Stage, calls: type[Scripted]) -> None:
        work = gated(stage, SAFE)
        runs.stop(work.live.run.pk, actor=stage.actor, reason="enough")
        lease_ends(work)
        recover.recover_expired()
        assert row(work).state == "uncertain"
        assert Run.objects.get().state == "cancelled"


class TestDeciding:
    def lost(self, stage: Stage, me: Me | None = None) -> Work:
        work = gated(stage, UNSAFE, me)
        lease_ends(work)
        recover.recover_expired()
        return work

    @pytest.mark.parametrize(("choice", "end"), [("done", "succeeded"), ("fail", "failed")])
    def test_a_human_decides_with_a_reason(
        self, stage: Stage, calls: type[Scripted], choice: str, end: str
    ) -> None:
        work = self.lost(stage)
        with pytest.raises(Invalid, match="Say how you know"):
            runs.decide_step(work.step_id, actor=stage.actor, choice=choice, reason=" ")
        runs.decide_step(work.step_id, actor=stage.actor, choice=choice, reason="I looked.")
        stage.drive(work.live.run)
        assert work.live.run.state == end
        assert AuditEntry.objects.get(action="step.decided").data["reason"] == "I looked."
        with pytest.raises(Conflict):
            runs.decide_step(work.step_id, actor=stage.actor, choice="retry", reason="again")

    def test_retry_is_not_offered_while_the_old_owner_may_still_act(
        self, stage: Stage, calls: type[Scripted]
    ) -> None:
        me = Me.in_pools("default")
        me.say_alive()
        work = self.lost(stage, me)
        with pytest.raises(Conflict, match="may still act"):
            runs.decide_step(work.step_id, actor=stage.actor, choice="retry", reason="I looked.")
        Worker.objects.update(heartbeat_at=database_now() - timedelta(minutes=5))
        runs.decide_step(work.step_id, actor=stage.actor, choice="retry", reason="I looked.")
        stage.drive(work.live.run)
        assert work.live.run.state == "succeeded"

    def test_an_undoing_is_not_tried_again_either_while_its_old_owner_may_still_act(
        self, stage: Stage, calls: type[Scripted]
    ) -> None:
        run = stage.start(stage.publish(UNDOING))
        me = Me.in_pools("default")
        me.say_alive()
        for node in ("a", "b"):
            work = claim_step(StepRun.objects.get(run=run, node=node).pk, me)
            assert work is not None
            outcome = Success({}) if node == "a" else Failure("broken", "it broke")
            assert complete_all([Done(work, Ended(outcome))], me, room=0) == []
        undoing = claim_step(StepRun.objects.get(run=run, role="compensate").pk, me)
        assert undoing is not None
        lease_ends(undoing)
        recover.recover_expired()
        assert row(undoing).state == "uncertain"
        with pytest.raises(Conflict, match="may still act"):
            runs.decide_step(undoing.step_id, actor=stage.actor, choice="retry", reason="I looked.")
        Worker.objects.update(heartbeat_at=database_now() - timedelta(minutes=5))
        runs.decide_step(undoing.step_id, actor=stage.actor, choice="retry", reason="I looked.")
        stage.drive(run)
        assert states(run)["a"] == "compensated"

    def test_a_worker_that_has_let_go_keeps_nobody_from_retrying(
        self, stage: Stage, calls: type[Scripted]
    ) -> None:
        me = Me.in_pools("default")
        me.say_alive()
        work = self.lost(stage, me)
        assert complete(work, Ended(Success({}), lost=True), me) is None
        runs.decide_step(work.step_id, actor=stage.actor, choice="retry", reason="It never began.")
        again = claim_step(work.step_id, me)
        assert again is not None
        complete(work, Ended(Success({"late": True})), me)
        assert row(work).owner == me.id, "what it has claimed since is still its own"
        complete_all([Done(again, Ended(Success({})))], me, room=0)
        stage.drive(work.live.run)
        assert work.live.run.state == "succeeded"

    def test_a_human_who_has_made_sure_overrides(self, stage: Stage, calls: type[Scripted]) -> None:
        me = Me.in_pools("default")
        me.say_alive()
        work = self.lost(stage, me)
        runs.decide_step(
            work.step_id, actor=stage.actor, choice="retry", reason="The host is off.", override=True
        )
        assert row(work).state == "ready"


class TestStopping:
    def test_an_executing_step_is_told_and_its_real_outcome_stands(
        self, stage: Stage, calls: type[Scripted]
    ) -> None:
        def stopped_meanwhile(context: ActionContext) -> Success:
            run = Run.objects.get(pk=context.run_id)
            preview = runs.preview_stop(run.pk, stage.actor)
            assert (preview.in_flight, preview.not_started) == (["a"], ["b", "f"])
            runs.stop(run.pk, actor=stage.actor, reason="wrong region")
            waited = threading.Event()
            while not context.cancelled():
                waited.wait(0.01)
            return Success({"done": "all the same"})

        calls.script = {"a": [stopped_meanwhile]}
        run = stage.start(stage.publish(UNSAFE, rest="finally:\n  - {id: f, uses: noop}"))
        stage.drive(run)
        assert run.state == "cancelled"
        assert states(run) == {"a": "succeeded", "f": "succeeded"}
        assert run.cancel_reason == "wrong region"

    def test_a_killed_call_that_may_have_acted_is_uncertain(
        self, stage: Stage, calls: type[Scripted]
    ) -> None:
        work = gated(stage, UNSAFE)
        runs.stop(work.live.run.pk, actor=stage.actor, reason="enough")
        killed = Failure("cancelled", "It was killed.", uncertain=True)
        complete(work, Ended(killed, cancelled=True), Me.in_pools("default"))
        assert states(work.live.run) == {"a": "uncertain"}
        assert Run.objects.get().state == "cancelled"

    def test_a_run_is_stopped_once_and_with_a_reason(self, stage: Stage) -> None:
        run = stage.start(stage.publish("- {id: w, kind: wait, for: 1h}"))
        with pytest.raises(Invalid):
            runs.stop(run.pk, actor=stage.actor, reason="")
        runs.stop(run.pk, actor=stage.actor, reason="enough")
        with pytest.raises(Conflict, match="over already"):
            runs.stop(run.pk, actor=stage.actor, reason="enough")
        assert states(run) == {"w": "cancelled"}

    def test_a_claimed_step_of_a_stopped_run_is_refused_at_the_gate(
        self, stage: Stage, calls: type[Scripted]
    ) -> None:
        run = stage.start(stage.publish(UNSAFE))
        with transaction.atomic():
            StepRun.objects.update(state="claimed", owner="me", fence=1)
        runs.stop(run.pk, actor=stage.actor, reason="enough")
        assert states(run) == {"a": "cancelled"}
        assert calls.calls == []

    def test_the_runs_deadline_stops_it(self, stage: Stage) -> None:
        run = stage.start(stage.publish("- {id: w, kind: wait, for: 1h}", rest="timeout: 30m"))
        Run.objects.update(deadline=database_now() - timedelta(seconds=1))
        # The history's own deadline decides; the row's column only says when to look.
        assert recover.fire_due() == 0
        assert states(run) == {"w": "waiting"}


class TestLostHints:
    def test_a_ready_step_is_announced_again_until_somebody_takes_it(self, stage: Stage) -> None:
        stage.start(stage.publish("- {id: a, uses: noop}"))
        assert recover.hint_ready() == 0
        StepRun.objects.update(hinted_at=database_now() - timedelta(seconds=6))
        assert recover.hint_ready() == 1
        assert recover.hint_ready() == 0

    @pytest.mark.parametrize(
        ("ready", "told", "again"),
        [(4, 4, 0), (6, 6, 1), (60, 6, 0), (60, 29, 0), (60, 31, 1), (7200, 290, 0), (7200, 310, 1)],
    )
    def test_the_longer_nobody_takes_it_the_rarer_it_is_announced(
        self, stage: Stage, ready: int, told: int, again: int
    ) -> None:
        """Where no worker is, every announcement stays in the queue until one comes."""
        stage.start(stage.publish("- {id: a, uses: noop}"))
        now = database_now()
        StepRun.objects.update(
            ready_at=now - timedelta(seconds=ready), hinted_at=now - timedelta(seconds=told)
        )
        assert recover.hint_ready() == again


class TestAnotherEngineSchema:
    def test_the_sweeper_leaves_what_it_cannot_read_and_goes_on_with_the_rest(
        self, stage: Stage, calls: type[Scripted], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recover, "BATCH", 1)
        theirs, ours = gated(stage, SAFE), gated(stage, SAFE, slug="ours")
        Run.objects.filter(pk=theirs.live.run.pk).update(engine_schema=99)
        lease_ends(theirs)
        lease_ends(ours)
        assert recover.recover_expired() == 1
        assert (row(theirs).state, row(ours).state) == ("executing", "ready")

    def test_runs_that_wait_for_their_turn_are_looked_at_behind_those_of_another_schema(
        self, stage: Stage, calls: type[Scripted], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(admitting, "BATCH", 1)
        soon = database_now() + timedelta(hours=1)
        theirs, ours = (
            runs.start(stage.publish(SAFE, slug=slug), inputs={}, actor=stage.actor, start_at=soon).run
            for slug in ("theirs", "ours")
        )
        Run.objects.filter(pk=theirs.pk).update(engine_schema=99)
        now = database_now()
        Run.objects.filter(pk=theirs.pk).update(start_at=now, look_at=now - timedelta(seconds=2))
        Run.objects.filter(pk=ours.pk).update(start_at=now, look_at=now - timedelta(seconds=1))
        assert admitting.admit_due() == 1
        ours.refresh_from_db()
        assert ours.started_at is not None

    def test_runs_that_were_paused_with_their_parents_go_on_behind_those_of_another_schema(
        self, stage: Stage, calls: type[Scripted], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(children, "BATCH", 1)
        followed: list[uuid.UUID] = []

        def follow(run_id: uuid.UUID) -> bool:
            followed.append(run_id)
            return True

        monkeypatch.setattr(children, "_follow", follow)
        ours, theirs = (stage.start(stage.publish(SAFE, slug=slug)) for slug in ("ours", "theirs"))
        Run.objects.update(state=Run.State.PAUSED, stop_how=children.WITH_PARENT)
        Run.objects.filter(pk=theirs.pk).update(engine_schema=99)
        assert children.follow_parents() == 1
        assert followed == [ours.pk]

    def test_what_a_worker_does_not_know_keeps_it_from_nothing_behind(
        self, stage: Stage, calls: type[Scripted]
    ) -> None:
        theirs = stage.start(stage.publish(SAFE))
        ours = stage.start(stage.publish(SAFE, slug="ours"))
        Run.objects.filter(pk=theirs.pk).update(engine_schema=99)
        StepRun.objects.update(hinted_at=None)
        work = claim_overdue(Me.in_pools("default"))
        assert work is not None
        assert work.live.run.pk == ours.pk
        assert claim_overdue(Me.in_pools("default")) is None
