"""Child processes that live and die with this one: started, watched, restarted, stopped in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import IO

LAST_GRACE_SECONDS = 2.0
"""How long a child may take after a second signal: it kills what it looks after itself."""

LONGEST_PAUSE_SECONDS = 30.0
"""How long a child that keeps failing waits for its next start, at most."""

SUPERVISOR_VARIABLE = "_HANDRAIL_SUPERVISOR"
"""Tells a child which process looks after it."""


@dataclass(slots=True)
class Child:
    """One process to keep running. ``name`` is for people."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    due: float | None = None
    """When it is to be started again (monotonic); None while it runs."""

    def start(self, *, name_lines: bool = False) -> None:
        """Start it in a process group of its own, so that Ctrl-C reaches only the parent.

        With ``name_lines``, all that it writes comes out on standard error with its name in front of each line.
        """
        self.started = time.monotonic()
        self.due = None
        self.process = subprocess.Popen(
            list(self.argv),
            env={**os.environ, **self.environment, SUPERVISOR_VARIABLE: str(os.getpid())},
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if name_lines else None,
            stderr=subprocess.STDOUT if name_lines else None,
        )
        if self.process.stdout is not None:
            threading.Thread(
                target=_name_lines,
                args=(self.name, self.process.stdout),
                name=f"lines of {self.name}",
                daemon=True,
            ).start()

    @property
    def runs(self) -> bool:
        """Whether its process is there."""
        return self.process is not None and self.process.poll() is None


class Supervisor:
    """Keeps children running until it is told to stop.

    A child that ends by itself is started again, later and later (1 s to 30 s) while it keeps failing soon
    after its start. SIGINT and SIGTERM stop the children in the reverse order of their start; a second one
    does not wait for what they have in hand.
    """

    def __init__(
        self,
        children: Sequence[Child],
        *,
        say: Callable[[str], None],
        name_lines: bool = False,
        grace_seconds: float,
    ) -> None:
        """``say`` is told, in a sentence, when a child ended or had to be killed.

        ``grace_seconds``: how long children may take to finish before they are killed.
        """
        self._children = list(children)
        self._say = say
        self._name_lines = name_lines
        self._grace_seconds = grace_seconds
        self.killed = 0
        """How many children had to be killed: they could not say what becomes of their work."""
        self._stop = threading.Event()
        self._at_once = threading.Event()

    def run(self, *, when_started: Callable[[], None] | None = None) -> None:
        """Start everything, call ``when_started`` once, and block until a signal or :meth:`stop`."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._hear)
        try:
            for child in self._children:
                child.start(name_lines=self._name_lines)
            if when_started is not None:
                when_started()
            while not self._stop.wait(0.2):
                for child in self._children:
                    self._tend(child)
        finally:
            self._stop_all()

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        if self._stop.is_set():
            self._at_once.set()
        self._stop.set()

    def stop(self) -> None:
        """Ask :meth:`run` to end; safe from any thread."""
        self._stop.set()

    def _tend(self, child: Child) -> None:
        """Notice that it fell; start it when its pause is over."""
        if child.runs or child.process is None:
            return
        now = time.monotonic()
        if child.due is None:
            child.failures = child.failures + 1 if now - child.started < 60 else 1
            pause = min(LONGEST_PAUSE_SECONDS, 2.0 ** (child.failures - 1))
            child.due = now + pause
            self._say(f"{child.name} ended with {_ending(child.process)}; starting it again in {pause:.0f} s")
        elif now >= child.due:
            child.start(name_lines=self._name_lines)

    def _stop_all(self) -> None:
        """Tell one after the other to end, the last started first; kill what does not within the grace of all."""
        self._tell_to_end()
        if not _is_supervised():  # else it has been said by the one above
            self._say("Stopping: what is in hand is finished first; once more ends it at once.")
        self._wait(self._grace_seconds, until=self._at_once)
        if self._at_once.is_set():
            self._tell_to_end()
            self._wait(LAST_GRACE_SECONDS)
        for child in reversed(self._children):
            if child.process is not None and child.runs:
                self._say(f"{child.name} did not stop in time and was killed")
                with suppress(ProcessLookupError):
                    os.killpg(child.process.pid, signal.SIGKILL)
                child.process.wait()
                self.killed += 1

    def _tell_to_end(self) -> None:
        for child in reversed(self._children):
            if child.process is not None and child.runs:
                child.process.terminate()

    def _wait(self, seconds: float, *, until: threading.Event | None = None) -> None:
        """Until all have ended, at most so long, or until the event."""
        until = until or threading.Event()
        deadline = time.monotonic() + seconds
        while any(child.runs for child in self._children) and time.monotonic() < deadline:
            if until.wait(0.05):
                return


def _ending(process: subprocess.Popen[bytes]) -> str:
    """How it ended: its exit status, or the signal that ended it."""
    code = process.returncode
    return f"status {code}" if code >= 0 else signal.Signals(-code).name


def _name_lines(name: str, lines: IO[bytes]) -> None:
    """Copy its lines to standard error, each behind the name, until its last writer is gone."""
    with lines:
        for line in lines:
            text = line.decode(errors="replace").rstrip()
            if text:
                print(f"{name} | {text}", file=sys.stderr, flush=True)


def _is_supervised() -> bool:
    """Whether a :class:`Supervisor` started this process."""
    return os.environ.get(SUPERVISOR_VARIABLE) == str(os.getppid())


def end_with_supervisor() -> None:
    """When a :class:`Supervisor` started this process: end in order once it is gone, nobody would stop us otherwise."""
    supervisor = os.getppid()
    if not _is_supervised():
        return
    pause = threading.Event()

    def watch() -> None:
        while os.getppid() == supervisor:
            pause.wait(1.0)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="supervisor", daemon=True).start()
