"""A program in its own process group: started with nothing of the worker's, heard while it runs, surely ended."""

from __future__ import annotations

import codecs
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO

from runbooks.steps.base import ActionContext, Failure

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CONFINE = Path(__file__).with_name("confine.py")
KEPT = 64 * 1024
"""Characters of each stream that become an output: its end, where programs say what went wrong."""
LONGEST_TAIL = 4_000
"""Characters of a line without an end that are held back until its end comes."""
TICK = 0.2
GRACE = 3.0
"""Seconds between asking (SIGTERM) and ending (SIGKILL) a process group."""
LAST_WORDS = 1.0
"""Seconds to wait for the pipes' end after the program's own: somebody else may hold them open."""
CHUNK = 64 * 1024


class Ending(StrEnum):
    """How a program came to its end."""

    EXITED = "exited"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Ended:
    """A program that has ended. ``exit_code`` is negative for a signal. The texts are redacted."""

    ending: Ending
    exit_code: int
    stdout: str
    stderr: str
    truncated: bool


class Listener:
    """One stream of the program: decoded, redacted across chunks, logged line by line, its end kept."""

    def __init__(self, name: str, context: ActionContext) -> None:
        """``name`` is ``stdout`` or ``stderr``."""
        self._name = name
        self._log = context.log
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._redacting = context.redactor.stream()
        self._tail = ""
        self.kept = ""
        self.truncated = False

    def hear(self, chunk: bytes) -> None:
        """Take what the program wrote."""
        self._say(self._redacting.feed(self._decoder.decode(chunk).replace("\0", "\ufffd")))

    def end(self) -> None:
        """Nothing more will come."""
        rest = self._decoder.decode(b"", final=True)
        self._say(self._redacting.feed(rest) + self._redacting.close())
        self._end_line()

    def _end_line(self) -> None:
        """A line that ends without a newline: with the program, or because it is so long."""
        if self._tail:
            self._log(self._name, self._tail)
            self._tail = ""

    def _say(self, text: str) -> None:
        if not text:
            return
        whole, newline, self._tail = (self._tail + text).rpartition("\n")
        if newline:
            self._log(self._name, whole + newline)
        if len(self._tail) > LONGEST_TAIL:
            self._end_line()
        self.kept += text
        if len(self.kept) > KEPT:
            self.kept = self.kept[-KEPT:]
            self.truncated = True


def run_process(
    argv: Sequence[str], env: Mapping[str, str], stdin: str | None, context: ActionContext
) -> Ended | Failure:
    """Run the program until it ends, the attempt's deadline passes, or the run is cancelled.

    A program that cannot be started is a :class:`Failure`.
    """
    if "/" in argv[0] and not argv[0].startswith("/"):
        return Failure("invalid_input", "The program must be a bare name or an absolute path.")
    if shutil.which(argv[0], path=PATH) is None:
        return Failure("program_not_found", f"The program {argv[0][:200]} is not installed on this worker.")
    with (
        tempfile.TemporaryDirectory(prefix="handrail-step-") as home,
        tempfile.TemporaryFile() as given,
    ):
        given.write((stdin or "").encode("utf-8", "surrogateescape"))
        given.seek(0)
        try:
            process = _start(argv, _environment(env, home, context), home, given, context)
        except (OSError, ValueError) as error:
            return Failure("program_not_found", f"The program cannot be started: {error}.")
        context.register_process_group(process.pid)
        try:
            return _accompany(process, context)
        finally:
            _end_group(process)
            context.register_process_group(None)


def _environment(env: Mapping[str, str], home: str, context: ActionContext) -> dict[str, str]:
    """Nothing of the worker's environment: it holds the database's password and the secrets."""
    return {
        **env,
        "PATH": PATH,
        "LANG": "C.UTF-8",
        "HOME": home,
        "TMPDIR": home,
        "HANDRAIL_RUN_ID": context.run_id,
        "HANDRAIL_STEP": context.node,
        "HANDRAIL_IDEMPOTENCY_KEY": context.idempotency_key,
    }


def _start(
    argv: Sequence[str], env: Mapping[str, str], home: str, given: IO[bytes], context: ActionContext
) -> subprocess.Popen[bytes]:
    cpu_seconds = int(max(context.deadline_monotonic - time.monotonic(), 1)) + 5
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(CONFINE), str(cpu_seconds), str(os.getpid()), *argv],
        stdin=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=home,
        env=dict(env),
        # A session of its own: a process group to kill, and no terminal to write into.
        start_new_session=True,
        bufsize=0,
    )


def _accompany(process: subprocess.Popen[bytes], context: ActionContext) -> Ended:
    """Listen until the end."""
    out, err = Listener("stdout", context), Listener("stderr", context)
    ending = Ending.EXITED
    with selectors.DefaultSelector() as selector:
        for pipe, listener in ((process.stdout, out), (process.stderr, err)):
            if pipe is not None:
                selector.register(pipe, selectors.EVENT_READ, listener)
        while not _has_ended(process):
            _listen(selector, TICK)
            if time.monotonic() >= context.deadline_monotonic:
                ending = Ending.TIMED_OUT
            elif context.cancelled():
                ending = Ending.CANCELLED
            else:
                continue
            _ask_to_end(process, selector)
            break
        _kill_group(process)
        until = time.monotonic() + LAST_WORDS
        while selector.get_map() and time.monotonic() < until:
            _listen(selector, TICK)
    exit_code = process.wait()
    out.end()
    err.end()
    return Ended(ending, exit_code, out.kept, err.kept, out.truncated or err.truncated)


def _listen(selector: selectors.BaseSelector, seconds: float) -> None:
    """Read what is there, or wait that long."""
    if not selector.get_map():
        # Both pipes are closed and the program lives on.
        time.sleep(seconds / 4)
        return
    for key, _ in selector.select(seconds):
        chunk = os.read(key.fd, CHUNK)
        if chunk:
            key.data.hear(chunk)
        else:
            selector.unregister(key.fileobj)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has, without reaping it: as long as it is not reaped, its group's number is nobody else's."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


def _ask_to_end(process: subprocess.Popen[bytes], selector: selectors.BaseSelector) -> None:
    """SIGTERM to the whole group, and a moment to clean up."""
    os.killpg(process.pid, signal.SIGTERM)
    until = time.monotonic() + GRACE
    while not _has_ended(process) and time.monotonic() < until:
        _listen(selector, TICK)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to whatever is left of the group, the leader's children after its end included."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        # Only the leader, ended and not yet reaped, is left (macOS says EPERM for that).
        return


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """On every way out, also that of an exception: nothing of the step stays behind."""
    if process.returncode is None:
        _kill_group(process)
        process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
