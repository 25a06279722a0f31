"""The pollers' lookout: what was forgotten is taken, what waits in a queue that moves is left to it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import count

from django.db.models import F

from handrail.shared.clock import database_now
from runbooks.execution.claim import HINT_IS_LATE
from runbooks.execution.polling import LONG, LOOK_EVERY, Lookout
from runbooks.models import Run, StepRun
from tests.runbooks.execution.stage import Stage, states

APART = HINT_IS_LATE * 1.1


def queued(stage: Stage, runs: int, *, late: timedelta = HINT_IS_LATE) -> list[Run]:
    """Runs whose first steps workers were told of too long ago, the eldest first."""
    runbook = stage.publish("- {id: a, uses: noop}")
    found = [stage.start(runbook) for _ in range(runs)]
    for n, run in enumerate(found):
        at = database_now() - late - APART * (runs - n - 1)
        StepRun.objects.filter(run=run).update(ready_at=at, hinted_at=at)
    return found


def ticking(by: float = LOOK_EVERY) -> Callable[[], float]:
    """A clock by which so many seconds pass between any two looks at it."""
    ticks = count()
    return lambda: next(ticks) * by


def claimed(run: Run) -> bool:
    return states(run)["a"] != "ready"


def do_next(stage: Stage, lookout: Lookout) -> bool:
    """Look once, and do what was claimed."""
    return stage.driver.go_on(lookout.next_work()) > 0


def test_a_queue_that_moves_is_left_to_those_who_work_it_off(stage: Stage) -> None:
    lookout = Lookout(stage.driver, ticking())
    first, second, third = queued(stage, 3)
    for run in (first, second):
        assert not do_next(stage, lookout)
        stage.drive(run)
    assert not do_next(stage, lookout)
    assert [claimed(run) for run in (first, second, third)] == [True, True, False]


def test_what_is_still_the_first_at_the_next_look_was_forgotten(stage: Stage) -> None:
    lookout = Lookout(stage.driver, ticking())
    first, second = queued(stage, 2)
    assert not do_next(stage, lookout)
    assert do_next(stage, lookout)
    assert (claimed(first), claimed(second)) == (True, False)
    assert not do_next(stage, lookout), "told long after the one that was forgotten"
    assert do_next(stage, lookout)
    assert claimed(second)


def test_two_looks_in_one_moment_say_nothing(stage: Stage) -> None:
    """A poller that has just taken something makes place for the next one to look, at once."""
    lookout = Lookout(stage.driver, ticking(by=LOOK_EVERY / 100))
    (run,) = queued(stage, 1)
    assert [do_next(stage, lookout) for _ in range(5)] == [False] * 5
    assert not claimed(run)


def test_with_the_forgotten_one_go_those_that_were_told_soon_after(stage: Stage) -> None:
    lookout = Lookout(stage.driver, ticking())
    first, second, third = queued(stage, 3)
    at = StepRun.objects.get(run=first).hinted_at
    assert at is not None
    StepRun.objects.filter(run__in=[second, third]).update(hinted_at=at + HINT_IS_LATE / 2)
    assert [do_next(stage, lookout) for _ in range(4)] == [False, True, True, True]


def test_what_is_more_urgent_than_the_queue_in_front_of_it_is_taken_out_of_it(stage: Stage) -> None:
    lookout = Lookout(stage.driver, ticking())
    first, second, urgent = queued(stage, 3)
    StepRun.objects.filter(run=urgent).update(priority=F("priority") - 1)
    assert not do_next(stage, lookout)
    stage.drive(first)
    assert do_next(stage, lookout)
    assert (claimed(urgent), claimed(second)) == (True, False)


def test_of_whom_nobody_was_told_waits_for_no_second_look(stage: Stage) -> None:
    lookout = Lookout(stage.driver, ticking())
    *queue, untold = queued(stage, 3)
    StepRun.objects.filter(run=untold).update(hinted_at=None)
    assert do_next(stage, lookout)
    assert [claimed(run) for run in (*queue, untold)] == [False, False, True]
    StepRun.objects.filter(run=queue[0]).update(hinted_at=None)
    assert do_next(stage, lookout)
    assert claimed(queue[0])


def test_what_has_waited_for_long_is_helped_by_everybody(stage: Stage) -> None:
    lookout = Lookout(stage.driver, ticking())
    first, second = queued(stage, 2, late=LONG - APART / 2)
    assert do_next(stage, lookout)
    assert not do_next(stage, lookout)
    assert (claimed(first), claimed(second)) == (True, False)


def test_nothing_late_nothing_taken(stage: Stage) -> None:
    lookout = Lookout(stage.driver, ticking())
    run = stage.start(stage.publish("- {id: a, uses: noop}"))
    assert [do_next(stage, lookout) for _ in range(2)] == [False, False]
    assert not claimed(run)
