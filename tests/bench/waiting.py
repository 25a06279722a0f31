"""A hundred thousand runs that wait, against a thousand: a pass of the sweeper, and the memory of every process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from django.db import connection
from django.db.models import Model

from handrail.config.wiring import DUTIES
from handrail.shared.statements.shapes import table
from handrail.shared.statements.writing import adapted
from runbooks.execution.drive import Driver
from runbooks.execution.heart import Heart
from runbooks.execution.worker import Me
from runbooks.models import Run, RunEvent, StepRun
from tests.bench.measuring import Figure, seconds
from tests.bench.processes import Process, listens, until
from tests.bench.sides import running
from tests.bench.stage import Stage
from tests.ports import free_ports

FEW = 1_000
PASSES = 20
"""Passes of the sweeper in one measurement."""

SETTLE = 5.0
"""Seconds in which every duty of the sweeper comes round, before the processes are weighed."""

COMMANDS = ("web", "worker", "sweeper")


def measure(stage: Stage, *, many: int = 100_000, rounds: int = 5) -> Iterator[Figure]:
    """Both figures: the time of a pass, and the memory of every process together."""
    few = min(FEW, many // 2)
    herd = Herd(_waiting_run(stage))
    with ExitStack() as stack:
        herd.grow_to(few)
        processes = list(_processes(stack))
        low_sweep, low_memory = _sweep(rounds), _memory(processes)
        herd.grow_to(many)
        sweep, memory = _sweep(rounds), _memory(processes)
    yield Figure(f"waiting_{many}_sweep", sweep, low_sweep, "s")
    yield Figure(f"waiting_{many}_memory", memory, low_memory, "MiB")


def _waiting_run(stage: Stage) -> Run:
    """A real run that has done a step and waits for a month."""
    runbook = stage.publish("waiting", "- {id: first, uses: noop}\n- {id: month, kind: wait, for: 30d}")
    run = stage.start(runbook)
    heart = Heart(me := Me.in_pools("default"))
    try:
        Driver(me, heart).drive(StepRun.objects.get(run=run, state="ready").pk)
    finally:
        heart.stop()
    run.refresh_from_db()
    if run.state != Run.State.WAITING:
        raise AssertionError(f"the run is {run.state}")
    return run


class Herd:
    """Copies of one run with its steps and its history, made by the database itself."""

    def __init__(self, first: Run) -> None:
        self._first = first
        self._size = 1

    def grow_to(self, size: int) -> None:
        with connection.cursor() as cursor:
            for model in (Run, StepRun, RunEvent):
                cursor.execute(self._copy(model), [self._size, size - 1, adapted(self._first.pk)])
            cursor.execute("ANALYZE")
        self._size = size

    @staticmethod
    def _copy(model: type[Model]) -> str:
        """Copies of its rows that belong to the first run. Each id follows from the first one's and a number."""
        if connection.vendor == "postgresql":
            numbers = "(SELECT n FROM generate_series(%s, %s) AS numbers(n)) AS herd"
            new = "md5({}::text || herd.n)::uuid"
        else:
            numbers = (
                "(WITH RECURSIVE numbers(n) AS (SELECT %s UNION ALL SELECT n + 1 FROM numbers WHERE n < %s)"
                " SELECT n FROM numbers) AS herd"
            )
            new = "substr({}, 1, 24) || printf('%%08x', herd.n)"
        columns = [
            field.column for field in model._meta.fields if field.get_internal_type() != "BigAutoField"
        ]
        picked = [
            new.format(f"first.{one}") if one in ("id", "run_id") else f"first.{one}" for one in columns
        ]
        own = "run_id" if "run_id" in columns else "id"
        text = ["INSERT INTO", table(model), "(", ", ".join(columns), ") SELECT", ", ".join(picked)]
        return " ".join([*text, "FROM", table(model), "AS first,", numbers, f"WHERE first.{own} = %s"])


def _sweep(rounds: int) -> float:
    """Seconds of one pass: every duty once; the median of the rounds."""

    def passes() -> None:
        for _ in range(PASSES):
            for duty in DUTIES:
                duty.perform()

    passes()
    return statistics.median(seconds(passes) / PASSES for _ in range(rounds))


def _processes(stack: ExitStack) -> Iterator[Process]:
    """Everything that an installation runs all the time."""
    port = free_ports(1)[0]
    environment = {"HANDRAIL_BIND": f"127.0.0.1:{port}", "HANDRAIL_BASE_URL": f"http://127.0.0.1:{port}"}
    started = [stack.enter_context(running(command, **environment)) for command in COMMANDS]
    until(partial(listens, port), watch=started)
    yield from started


def _memory(processes: list[Process]) -> float:
    """MiB that all these and their children keep for themselves, with their parts of what they share."""
    time.sleep(SETTLE)
    return sum(_kept_by(pid) for process in processes for pid in process.family()) / 1024


def _kept_by(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0
