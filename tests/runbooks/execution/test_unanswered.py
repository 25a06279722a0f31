"""The connection breaks during COMMIT: whether it happened is found out, and nothing is doubled or refused wrongly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest
from django.db import DataError, InterfaceError, OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper

from handrail.audit.models import AuditEntry
from handrail.shared.clock import steady
from handrail.shared.failpoints import WATCHERS, FailPoint
from handrail.shared.statements.writing import Batch
from runbooks.execution import drive, recover
from runbooks.execution.effect import Ended, perform
from runbooks.execution.fate import Unanswered, settle
from runbooks.execution.heart import Heart
from runbooks.execution.patience import Patience
from runbooks.execution.worker import Me, lease
from runbooks.models import LogLine, RunEvent, StepRun
from runbooks.steps.base import ActionContext, Outcome, Success
from tests.runbooks.execution.stage import Scripted, Stage, claim_step, ready_steps, states

pytestmark = pytest.mark.django_db(transaction=True)

T = TypeVar("T")

TWO = "- {id: a, uses: test.call}\n- {id: b, uses: test.call}"


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drive, "PAUSE_BEFORE_AGAIN", 0.0)


@contextmanager
def unanswered(point: FailPoint, *, committed: bool, times: int = 1) -> Iterator[None]:
    """The first commits after ``point`` break off; in truth they happened, or they did not."""
    real, real_at_once = BaseDatabaseWrapper._commit, Batch.execute_at_once
    state = {"armed": False, "left": times}

    def watch(here: FailPoint) -> None:
        state["armed"] = state["armed"] or (here == point and state["left"] > 0)

    def broken(act: Callable[[], T]) -> T:
        if not state["armed"]:
            return act()
        state["armed"], state["left"] = False, state["left"] - 1
        if committed:
            act()
        raise OperationalError("server closed the connection unexpectedly")

    def at_once(self: Batch) -> bool:
        # On PostgreSQL a single statement, which is its own commit.
        is_commit = connection.vendor == "postgresql"
        return broken(lambda: real_at_once(self)) if is_commit else real_at_once(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseDatabaseWrapper, "_commit", lambda self: broken(lambda: real(self)))
        patch.setattr(Batch, "execute_at_once", at_once)
        WATCHERS.append(watch)
        try:
            yield
        finally:
            WATCHERS.remove(watch)
    assert state["left"] == 0, "the point was reached"


@pytest.mark.parametrize("committed", [True, False], ids=["it-happened", "it-did-not"])
@pytest.mark.parametrize("times", [1, 2])
def test_a_completion_in_doubt_is_neither_doubled_nor_refused(
    stage: Stage, calls: type[Scripted], *, committed: bool, times: int
) -> None:
    run = stage.start(stage.publish(TWO))
    with unanswered("complete.before_commit", committed=committed, times=times):
        stage.drive(run)
    assert run.state == "succeeded"
    assert states(run) == {"a": "succeeded", "b": "succeeded"}
    assert [node for node, _, _ in calls.calls] == ["a", "b"]
    assert RunEvent.objects.filter(run=run, type="step.succeeded").count() == 2
    assert not AuditEntry.objects.filter(action="step.completion_refused").exists()


@pytest.mark.parametrize("committed", [True, False], ids=["it-happened", "it-did-not"])
def test_a_claim_in_doubt_is_acted_upon_if_it_happened(
    stage: Stage, calls: type[Scripted], *, committed: bool
) -> None:
    run = stage.start(stage.publish(TWO))
    with unanswered("claim.before_commit", committed=committed):
        stage.driver.drive(ready_steps(run)[0])
    assert len(calls.calls) == (2 if committed else 0)
    stage.drive(run)
    assert run.state == "succeeded"
    assert len(calls.calls) == 2


def test_a_claim_in_doubt_that_was_taken_back_meanwhile_is_left_alone(
    stage: Stage, calls: type[Scripted]
) -> None:
    run = stage.start(stage.publish(TWO))
    me = Me.in_pools("default")
    with unanswered("claim.before_commit", committed=True), pytest.raises(Unanswered) as doubt:
        claim_step(ready_steps(run)[0], me)
    StepRun.objects.filter(run=run).update(lease_until=recover.database_now() - lease())
    assert recover.recover_expired() == 1
    assert settle(doubt.value.written, me) == []


@pytest.mark.parametrize("error", [DataError("full"), InterfaceError("gone"), OSError(28, "no space")])
def test_a_result_is_kept_until_the_database_takes_it(
    stage: Stage, calls: type[Scripted], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    run = stage.start(stage.publish(TWO))
    left, real = [error] * 3, drive.complete_all

    def complete(*given: object, **named: object) -> object:
        if left:
            raise left.pop()
        return real(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(drive, "complete_all", complete)
    stage.drive(run)
    assert run.state == "succeeded"
    assert len(calls.calls) == 2


def test_a_log_that_cannot_be_written_does_not_cost_the_result(
    stage: Stage, calls: type[Scripted], monkeypatch: pytest.MonkeyPatch
) -> None:
    def talk(context: ActionContext) -> Outcome:
        context.log("stdout", "hello")
        return Success({})

    def refuse(*_given: object, **_named: object) -> None:
        raise OperationalError("database or disk is full")

    calls.script["a"] = [talk]
    run = stage.start(stage.publish(TWO))
    monkeypatch.setattr(LogLine.objects, "bulk_create", refuse)
    stage.drive(run)
    assert run.state == "succeeded"
    assert not LogLine.objects.exists()


def test_whoever_was_stopped_before_the_call_asks_whether_it_is_still_theirs(
    stage: Stage, calls: type[Scripted]
) -> None:
    run = stage.start(stage.publish(TWO))
    me = Me.in_pools("default")
    work = claim_step(ready_steps(run)[0], me)
    assert work is not None
    StepRun.objects.filter(run=run).update(lease_until=recover.database_now() - lease())
    assert recover.recover_expired() == 1
    work.begun = steady() - lease().total_seconds()
    ended = perform(work, Heart(me))
    assert isinstance(ended, Ended)
    assert ended.lost
    assert calls.calls == []


def test_one_row_that_the_database_refuses_keeps_no_other_from_being_taken_back(
    stage: Stage, calls: type[Scripted], monkeypatch: pytest.MonkeyPatch
) -> None:
    runbook = stage.publish(TWO)
    works = [claim_step(ready_steps(stage.start(runbook))[0], Me.in_pools("default")) for _ in range(2)]
    StepRun.objects.update(lease_until=recover.database_now() - lease())
    real = recover.open_transition
    assert works[0] is not None
    broken = works[0].live.run.pk

    def opening(run_id: object) -> object:
        if run_id == broken:
            raise DataError("it cannot be written")
        return real(run_id)  # type: ignore[arg-type]

    monkeypatch.setattr(recover, "open_transition", opening)
    assert recover.recover_expired() == 1


class TestPatience:
    @pytest.mark.parametrize("away", [60.0, 3600.0])
    def test_after_an_absence_the_living_may_renew_first(self, away: float) -> None:
        now = [0.0]
        patience = Patience(lambda: now[0], lambda: now[0] + 7)
        assert patience.is_over()
        now[0] += away
        assert not patience.is_over()
        for _ in range(int(lease().total_seconds() / 2)):
            now[0] += 1
            verdict = patience.is_over()
        assert verdict

    @pytest.mark.parametrize("step", [86_400.0, -86_400.0])
    def test_after_the_clock_was_set_they_may_too(self, step: float) -> None:
        now, wall = [0.0], [0.0]
        patience = Patience(lambda: now[0], lambda: now[0] + wall[0])
        assert patience.is_over()
        wall[0] = step
        now[0] += 1
        assert not patience.is_over()
        now[0] += lease().total_seconds() / 2
        # The next look is soon enough, and the clock has not moved again.
        assert patience._until <= now[0]
