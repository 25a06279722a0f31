"""Many steps at once, and many runs at once, in worker processes; against bare Celery tasks with a commit each."""

from __future__ import annotations

from itertools import count

from celery import chain as celery_chain

from runbooks.models import Run, Runbook
from tests.bench import bare, floors
from tests.bench.measuring import Figure, in_turn, medians, seconds
from tests.bench.processes import until
from tests.bench.sides import Sides
from tests.bench.stage import Stage

_notes = count(1)


def parallel(stage: Stage, both: Sides, *, width: int = 100, rounds: int = 5) -> Figure:
    """From the start of the run to the commit of its end; the floor joins by one more task."""
    runbook = stage.fan(width)

    def value() -> float:
        both.handrail()
        return seconds(lambda: _finish(both, runbook, [stage.start(runbook)]))

    def floor() -> float:
        both.floor()
        return seconds(lambda: _fan(both, width))

    both.handrail()
    _finish(both, runbook, [stage.start(runbook)])
    values, lows = in_turn(value, floor, rounds=rounds)
    return medians(f"parallel_{width}", values, lows)


def runs(stage: Stage, both: Sides, *, number: int = 200, length: int = 5, rounds: int = 5) -> Figure:
    """Steps a second, from the start of the first run to the end of the last; the floor's are chains of tasks."""
    runbook = stage.chain(length)

    def value() -> float:
        both.handrail()
        taken = seconds(lambda: _finish(both, runbook, [stage.start(runbook) for _ in range(number)]))
        return number * length / taken

    def floor() -> float:
        both.floor()
        return number * length / seconds(lambda: _chains(both, number, length))

    both.handrail()
    _finish(both, runbook, [stage.start(runbook)])
    values, lows = in_turn(value, floor, rounds=rounds)
    return medians(f"runs_{number}x{length}", values, lows, "steps/s")


def _finish(both: Sides, runbook: Runbook, started: list[Run]) -> None:
    first = started[0].pk
    open_runs = Run.objects.filter(runbook=runbook, pk__gte=first, is_open=True)
    until(lambda: not open_runs.exists(), watch=both.ours)
    done = Run.objects.filter(runbook=runbook, pk__gte=first, state=Run.State.SUCCEEDED).count()
    if done != len(started):
        raise AssertionError(f"{done} of {len(started)} runs succeeded")


def _fan(both: Sides, width: int) -> None:
    note = f"fan-{next(_notes)}"
    for _ in range(width):
        bare.commit.apply_async((note,))
    until(lambda: floors.count_rows(note) == width, watch=both.bare)
    bare.commit.apply_async((note,))
    until(lambda: floors.count_rows(note) == width + 1, watch=both.bare)


def _chains(both: Sides, number: int, length: int) -> None:
    note = f"chains-{next(_notes)}"
    for _ in range(number):
        celery_chain(*(bare.commit.si(note) for _ in range(length))).apply_async()
    until(lambda: floors.count_rows(note) == number * length, watch=both.bare)
