"""A chain of durable steps in one worker, against as many durable commits of one small row."""

from __future__ import annotations

from runbooks.execution.drive import Driver
from runbooks.execution.heart import Heart
from runbooks.execution.worker import Me
from runbooks.models import Run, Runbook, StepRun
from tests.bench import floors
from tests.bench.measuring import Figure, in_turn, medians, seconds
from tests.bench.stage import Stage


def measure(stage: Stage, *, length: int = 40, rounds: int = 5) -> Figure:
    """From the start of the run to the commit of its end; the same process starts and drives it."""
    runbook = stage.chain(length)
    me = Me.in_pools("default")
    heart = Heart(me)
    driver = Driver(me, heart)

    def floor() -> float:
        return seconds(lambda: [floors.commit_row("chain") for _ in range(length)])

    try:
        values, lows = in_turn(lambda: seconds(lambda: drive(stage, runbook, driver)), floor, rounds=rounds)
    finally:
        heart.stop()
    return medians(f"chain_{length}", values, lows)


def drive(stage: Stage, runbook: Runbook, driver: Driver) -> Run:
    """Start a run and do all its steps; it must have succeeded, or the figure would be of something else."""
    run = stage.start(runbook)
    driver.drive(StepRun.objects.filter(run=run, state="ready").values_list("pk", flat=True)[0])
    run.refresh_from_db()
    if run.state != Run.State.SUCCEEDED:
        raise AssertionError(f"the run is {run.state}")
    return run
