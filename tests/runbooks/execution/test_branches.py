"""Branches side by side: the worker that ends one takes the next along; and what a worker remembers of a run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from handrail.shared.clock import database_now
from runbooks.execution.live import locked
from runbooks.execution.transition import open_transition
from runbooks.models import Run, StepRun
from tests.runbooks.execution.stage import Stage, a_driver, ready_steps, states

pytestmark = pytest.mark.django_db(transaction=True)


def fan(stage: Stage, width: int) -> Run:
    branches = "\n".join(f"    - {{id: s{number}, uses: noop}}" for number in range(width))
    steps = f"- id: all\n  kind: parallel\n  steps:\n{branches}\n- {{id: join, uses: noop}}"
    return stage.start(stage.publish(steps, slug=f"fan-{width}"))


def elsewhere(act: Callable[[], object]) -> None:
    """In another thread, which has a connection and a memory of its own."""

    def run() -> None:
        try:
            act()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(timeout=60)


def test_one_hint_does_all_branches(stage: Stage) -> None:
    run = fan(stage, 12)
    made = stage.driver.drive(ready_steps(run)[0])
    run.refresh_from_db()
    assert (run.state, made) == (Run.State.SUCCEEDED, 13)


def test_a_branch_that_another_worker_has_claimed_is_passed_over(stage: Stage) -> None:
    run = fan(stage, 3)
    steps = StepRun.objects.filter(run=run, node="s1")
    steps.update(state="claimed", owner="another", fence=7, lease_until=database_now() + timedelta(minutes=1))
    stage.driver.drive(StepRun.objects.get(run=run, node="s0").pk)
    assert states(run) == {"all": "executing", "s0": "succeeded", "s1": "claimed", "s2": "succeeded"}
    assert steps.get().fence == 7


def test_branches_of_another_pool_are_left_to_its_workers(stage: Stage) -> None:
    run = fan(stage, 2)
    a_driver("elsewhere").drive(StepRun.objects.get(run=run, node="s0").pk)
    assert states(run) == {"all": "executing", "s0": "succeeded", "s1": "ready"}


def test_what_another_worker_added_is_read_and_nothing_else(stage: Stage) -> None:
    run = fan(stage, 3)
    with transaction.atomic():
        known, *_ = locked(run.pk)
    elsewhere(lambda: a_driver("default").drive(StepRun.objects.get(run=run, node="s0").pk))
    with CaptureQueriesContext(connection) as captured, transaction.atomic():
        live, *_ = locked(run.pk, known)
    assert live is known
    assert live.state.ended
    assert live.run.history_n == live.state.n
    assert sum("runbooks_runevent" in query["sql"] for query in captured.captured_queries) == 1


def test_what_a_rolled_back_transition_left_in_memory_is_never_believed(stage: Stage) -> None:
    run = fan(stage, 2)
    with transaction.atomic():
        opened = open_transition(run.pk)
        opened.live.run.revision += 1
        opened.live.state = opened.live.state.without_nodes(["s0"])
        transaction.set_rollback(True)
    # Somebody else's commit gives the row the very revision that stands in memory.
    Run.objects.filter(pk=run.pk).update(revision=opened.live.run.revision)
    with transaction.atomic():
        live, *_ = locked(run.pk, opened.live)
    assert live is not opened.live
    assert live.state.node("s0").status == "ready"
