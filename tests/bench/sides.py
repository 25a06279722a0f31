"""The two sides of a measurement with processes: Handrail's, and the floor's bare ones; one pauses for the other."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from tests.bench import bare, floors
from tests.bench.processes import Process, listens, until

CONCURRENCY = 2


@dataclass(frozen=True, slots=True)
class Sides:
    """Both run all the time, so that neither is measured cold; :meth:`handrail` and :meth:`floor` choose."""

    ours: tuple[Process, ...]
    bare: tuple[Process, ...]

    def handrail(self) -> None:
        for process in self.bare:
            _pause(process)
        for process in self.ours:
            process.resume()

    def floor(self) -> None:
        for process in self.ours:
            _pause(process)
        for process in self.bare:
            process.resume()


def _pause(process: Process) -> None:
    """Pause it at a moment at which it does not hold the database's lock: the other side would wait for ever."""
    process.pause()
    while not floors.may_write():
        process.resume()
        time.sleep(0.01)
        process.pause()


@contextmanager
def running(command: str, **more: str) -> Iterator[Process]:
    """``handrail <command>`` for as long as it is needed. ``more`` is added to its environment."""
    name = command.split()[0]
    environment = {**os.environ, "HANDRAIL_WORKER_CONCURRENCY": str(CONCURRENCY), **more}
    log = Path(settings.HOME) / f"{name}.log"
    process = Process(("handrail.cli", *command.split()), environment, log).start()
    try:
        yield process
    finally:
        process.stop()


@contextmanager
def sides(*commands: str, bare_web: int = 0, **more: str) -> Iterator[Sides]:
    """Run ``handrail <command>`` for each command, and the bare worker with the same concurrency.

    ``bare_web``: the port of a bare web process, behind the same server as Handrail's; none without.
    """
    without = {
        name: value for name, value in {**os.environ, **more}.items() if name != "DJANGO_SETTINGS_MODULE"
    }
    worker = ["celery", "-A", "tests.bench.bare", "worker", f"--concurrency={CONCURRENCY}", "--pool=prefork"]
    worker += ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=WARNING"]
    worker += ["-Q", bare.NAME, "-n", f"{bare.NAME}-{os.getpid()}@%h"]
    with ExitStack() as stack:
        ours = tuple(stack.enter_context(running(command, **more)) for command in commands)
        programs = [worker]
        if bare_web:
            web = [
                "uvicorn",
                "tests.bench.bare_web:application",
                "--port",
                str(bare_web),
                "--lifespan",
                "off",
            ]
            programs.append([*web, "--no-access-log", "--no-server-header", "--log-level", "warning"])
        log = Path(settings.HOME) / "bare.log"
        theirs = tuple(Process(program, without, log).start() for program in programs)
        for process in theirs:
            stack.callback(process.stop)
        bare.commit.apply_async(("ready",))
        until(lambda: floors.count_rows("ready") > 0, watch=(*theirs, *ours))
        if bare_web:
            until(lambda: listens(bare_web), watch=theirs)
        yield Sides(ours, theirs)
