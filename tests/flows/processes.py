"""Real processes of the product: started, watched, killed with everything that they started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from secrets import SystemRandom

from tests.flows.patience import eventually

TOP = Path(__file__).parents[2]
MARK = "HANDRAIL_TEST_PROCESS"
"""In the environment of a process and of all its descendants, however they group themselves."""

_NOT_INHERITED = frozenset({"DJANGO_SETTINGS_MODULE", "PYTHONDONTWRITEBYTECODE"})
"""Processes are started often here: they share their compiled modules."""


def environment(**settings: str) -> dict[str, str]:
    """The environment of a child: this one's without any Handrail setting, and ``settings``."""
    ours = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("HANDRAIL_") and name not in _NOT_INHERITED
    }
    return {**ours, "PYTHONPATH": f"{TOP}:{TOP / 'platform'}", "PYTHONUNBUFFERED": "1", **settings}


@dataclass(slots=True)
class Process:
    """``python -m handrail.cli <arguments>``; what it says is kept in ``log``."""

    name: str
    arguments: tuple[str, ...]
    env: dict[str, str]
    log: Path
    module: str = "handrail.cli"
    popen: subprocess.Popen[bytes] | None = None
    mark: str = field(default_factory=lambda: f"{SystemRandom().getrandbits(64):016x}")

    def start(self) -> Process:
        """Start it, as the leader of its own process group."""
        with self.log.open("ab") as log:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", self.module, *self.arguments],
                cwd=TOP,
                env={**self.env, MARK: self.mark},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    @property
    def pid(self) -> int:
        assert self.popen is not None, f"{self.name} was not started"
        return self.popen.pid

    def is_running(self) -> bool:
        return self.popen is not None and self.popen.poll() is None

    def family(self) -> list[int]:
        """The living processes that carry the mark: it, and what it has started."""
        wanted = f"{MARK}={self.mark}".encode()
        found = []
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                carries = wanted in (folder / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if carries:
                found.append(int(folder.name))
        return found

    def kill(self) -> None:
        """SIGKILL for the whole family at once: the power is off. No handler runs, nothing is said."""

        def gone() -> bool:
            family = self.family()
            for pid in family:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            return not family

        eventually(f"{self.name} is gone", gone, within=30)
        if self.popen is not None:
            self.popen.wait(timeout=30)

    def terminate(self) -> None:
        """SIGTERM: end in order."""
        assert self.popen is not None
        self.popen.terminate()

    def stop(self) -> int:
        """SIGTERM, and its exit status; the family of one that does not end in order is killed."""
        if self.popen is None:
            return 0
        if self.popen.poll() is None:
            self.popen.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.popen.wait(timeout=30)
        status = self.popen.poll()
        self.kill()
        return -1 if status is None else status

    def wait(self, seconds: float) -> int:
        """Its exit status, when it ends by itself; AssertionError when it does not."""
        assert self.popen is not None
        try:
            return self.popen.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(
                f"{self.name} did not end within {seconds} s:\n{self.said()[-4000:]}"
            ) from None

    def said(self) -> str:
        """Everything that it has written."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""
