"""Real processes: started, paused while the other side is measured, ended with everything that they started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from tests.bench.places import TOP

MARK = "BENCH_PROCESS"
"""In the environment of a process and of all that it starts, however they group themselves."""

LONGEST_STOP = 5.0
"""Seconds that a family may take to stop."""

LOOK_EVERY = 0.004
"""Seconds between two looks at whether all is done: the same for Handrail and for the floor."""


@dataclass(slots=True)
class Process:
    """``python -m <arguments>``. What it says goes to ``log``."""

    arguments: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    mark: str = field(default_factory=lambda: uuid4().hex)
    popen: subprocess.Popen[bytes] | None = None

    def start(self) -> Process:
        with self.log.open("ab") as log:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", *self.arguments],
                cwd=TOP,
                env={**self.environment, MARK: self.mark},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def family(self) -> list[int]:
        wanted = f"{MARK}={self.mark}".encode()
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with suppress(OSError):
                    if wanted in (folder / "environ").read_bytes().split(b"\0"):
                        found.append(int(folder.name))
        return found

    def pause(self) -> None:
        """Stop the whole family where it stands: it costs nothing while the other side is measured.

        Returns when all of them have stopped: on another processor one goes on for a moment, and may take a lock.
        """
        self._signal(signal.SIGSTOP)
        deadline = time.perf_counter() + LONGEST_STOP
        while not all(_stands(pid) for pid in self.family()) and time.perf_counter() < deadline:
            time.sleep(0.001)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """End in order, and then for certain."""
        self.resume()
        if self.popen is not None:
            self.popen.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.popen.wait(timeout=15)
        self._signal(signal.SIGKILL)
        if self.popen is not None:
            self.popen.wait(timeout=15)

    def _signal(self, number: signal.Signals) -> None:
        for pid in self.family():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def complain(self) -> None:
        """Raise AssertionError with what it said if it has ended."""
        if self.popen is not None and self.popen.poll() is not None:
            raise AssertionError(f"{' '.join(self.arguments)} ended:\n{self.log.read_text()[-4000:]}")


def _stands(pid: int) -> bool:
    """Whether a process is stopped, or there is none any more."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state in "TtZX"


def until(done: Callable[[], bool], *, within: float = 120.0, watch: Sequence[Process] = ()) -> None:
    """Look again and again until it is done; AssertionError when it never is, or a process of ``watch`` ended."""
    deadline = time.perf_counter() + within
    while not done():
        if time.perf_counter() > deadline:
            said = "\n".join(process.log.read_text()[-2000:] for process in watch)
            raise AssertionError(f"it was not done within {within:.0f} s\n{said}")
        for process in watch:
            process.complain()
        time.sleep(LOOK_EVERY)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
