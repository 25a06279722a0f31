"""Completing a step without the run's lock: whoever was faster is noticed, and nothing of it is written twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from handrail.shared import clock, failpoints
from handrail.shared.failpoints import FailPoint
from runbooks import runs
from runbooks.models import Run, StepRun
from tests.runbooks.execution.stage import Stage, history, ready_steps, states

pytestmark = pytest.mark.django_db(transaction=True)

CHAIN = "- {id: a, uses: noop}\n- {id: b, uses: noop}\n- {id: c, uses: noop}"


@contextmanager
def once_before_the_commit(act: Callable[[], object]) -> Iterator[None]:
    """Somebody else, with a connection of his own, acts when the first completion is about to be written."""
    done = threading.Event()

    def watch(point: FailPoint) -> None:
        if point != "complete.before_commit" or done.is_set():
            return
        done.set()

        def act_elsewhere() -> None:
            try:
                act()
            finally:
                connection.close()

        other = threading.Thread(target=act_elsewhere)
        other.start()
        other.join(timeout=60)

    failpoints.WATCHERS.append(watch)
    try:
        yield
    finally:
        failpoints.WATCHERS.remove(watch)
    assert done.is_set()


@pytest.mark.usefixtures("patient_clock")
def test_a_run_that_is_stopped_while_a_result_is_written_is_stopped_with_that_result(stage: Stage) -> None:
    run = stage.start(stage.publish(CHAIN))
    with once_before_the_commit(lambda: runs.stop(run.pk, actor=stage.actor, reason="enough")):
        made = stage.driver.drive(ready_steps(run)[0])
    run.refresh_from_db()
    assert (made, run.state) == (1, Run.State.CANCELLED)
    assert states(run) == {"a": "succeeded"}
    assert history(run).count("step.succeeded a") == 1


@pytest.mark.usefixtures("patient_clock")
def test_a_step_that_is_taken_away_while_its_result_is_written_keeps_nothing_of_it(stage: Stage) -> None:
    run = stage.start(stage.publish(CHAIN))

    def take() -> None:
        StepRun.objects.filter(run=run, node="a").update(fence=99, owner="another")

    before = run.history_n
    with once_before_the_commit(take):
        made = stage.driver.drive(ready_steps(run)[0])
    run.refresh_from_db()
    assert made == 1
    assert states(run) == {"a": "executing"}
    assert StepRun.objects.get(run=run).attempts.count() == 0
    assert run.history_n == before + 1  # that it was started


def test_the_database_s_clock_goes_on_without_being_asked_and_only_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clock, "_told", None)
    passed = 100.0
    monkeypatch.setattr(clock, "steady", lambda: passed)
    monkeypatch.setattr(connection, "vendor", "postgresql")
    said = datetime(2030, 1, 1, tzinfo=UTC)
    assert clock.estimated_now() is None
    clock.tell_time(said, asked_at=99.99)
    passed = 103.0
    assert clock.estimated_now() == said + timedelta(seconds=3)
    clock.tell_time(said - timedelta(days=1), asked_at=101.0)
    assert clock.estimated_now() == said + timedelta(seconds=3), (
        "an answer that waited says nothing about now"
    )
    passed = 111.0
    assert clock.estimated_now() is None
