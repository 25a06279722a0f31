"""Real processes of Handrail on the database of the test: started, awaited by what they do, stopped, killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from django.conf import settings
from django.db import connection

from runbooks.models import Run, StepRun, Worker

T = TypeVar("T")

NO_BROKER = "redis://127.0.0.1:1/0"
"""A broker that is never there."""

TOP = Path(__file__).resolve().parents[3]


def database_url() -> str:
    """The URL of the database that this test uses, for processes of their own."""
    given = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{given['NAME']}"
    user = f"{given['USER']}:{given['PASSWORD']}@" if given["PASSWORD"] else f"{given['USER']}@"
    return f"postgres://{user}{given['HOST']}:{given['PORT']}/{given['NAME']}"


def broker_url(folder: Path) -> str:
    """The broker of this run of the tests: HANDRAIL_TEST_BROKER_URL, or one made of files."""
    return os.environ.get("HANDRAIL_TEST_BROKER_URL", "") or f"filesystem://{folder / 'broker'}"


def until(look: Callable[[], T], *, seconds: float = 60.0, what: str = "what was awaited") -> T:
    """Look again and again until there is something; what it is."""
    pause, deadline = threading.Event(), time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds:.0f} s"
        pause.wait(0.05)
    return found


class Processes:
    """The processes of one installation. ``folder`` takes their output; ``environment`` is theirs alone."""

    def __init__(self, folder: Path, *, broker: str, environment: Mapping[str, str] | None = None) -> None:
        """Nothing is started before :meth:`start`."""
        self.folder = folder
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "handrail.config.settings",
            "PYTHONPATH": os.pathsep.join([str(TOP), str(TOP / "platform")]),
            "HANDRAIL_HOME": str(settings.HOME),
            "HANDRAIL_DATABASE_URL": database_url(),
            "HANDRAIL_BROKER_URL": broker,
            "HANDRAIL_BASE_URL": settings.BASE_URL,
            "HANDRAIL_LEASE_SECONDS": "2",
            **(environment or {}),
        }
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, *arguments: str, name: str = "") -> subprocess.Popen[bytes]:
        """Start ``handrail ARGUMENTS``; its output goes to a file of its name."""
        name = name or arguments[0]
        with (self.folder / f"{name}.log").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "handrail.cli", *arguments],
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running[name] = process
        return process

    def start_worker(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a worker and wait until it says that it lives."""
        before = set(Worker.objects.values_list("pk", flat=True))
        process = self.start("worker", *arguments, name=f"worker-{len(self._running)}")
        until(
            lambda: Worker.objects.filter(kind="worker").exclude(pk__in=before).exists(),
            what=f"the worker's start ({self.output()})",
        )
        return process

    def output(self) -> str:
        """What the processes have said so far."""
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("*.log")))[-4_000:]

    def stop(self) -> None:
        """Stop everything, in order if it can be."""
        for process in self._running.values():
            if process.poll() is None:
                process.terminate()
        for process in self._running.values():
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._running.clear()


@contextmanager
def processes(
    folder: Path, *, broker: str = "", environment: Mapping[str, str] | None = None
) -> Iterator[Processes]:
    """An installation's processes for the time of a test; nothing of them is left afterwards."""
    made = Processes(folder, broker=broker or broker_url(folder), environment=environment)
    try:
        yield made
    finally:
        made.stop()


def kill_owner(step: StepRun) -> None:
    """SIGKILL the very process that executes the step."""
    os.kill(int(step.owner.split(":")[1]), signal.SIGKILL)


def ended(run: Run, *, seconds: float = 60.0) -> Run:
    """The run when it is over."""

    def look() -> bool:
        run.refresh_from_db()
        return not run.is_open

    until(look, seconds=seconds, what=f"the end of the run (it is {run.state})")
    return run


def step_in(run: Run, node: str, *states: str, seconds: float = 60.0) -> StepRun:
    """The step's row when it is in one of these states."""
    rows = StepRun.objects.filter(run=run, node=node, role="step", state__in=states)
    found = until(rows.first, seconds=seconds, what=f"{node} in {states}")
    assert found is not None
    return found
