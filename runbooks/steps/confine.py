"""Run by path, alone, between the worker and a step's program: starts it without privileges, and watches over it.

A separate small process, because code between fork and exec of a process with threads may deadlock, and because
whoever shall end a program's children after the worker's death must outlive the worker.
Usage: ``python -I -S confine.py CPU_SECONDS PARENT_PID PROGRAM [ARGUMENT]...``
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from types import FrameType

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
LARGEST_FILE = 1 << 30
MOST_FILES = 1024
CANNOT_EXECUTE = 126

ORPHANED = signal.SIGURG
"""How the kernel tells the watcher that the worker has died; nobody else sends it."""

MEANT_FOR_THE_PROGRAM = (
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGALRM, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2,
)  # fmt: skip
"""What reaches the whole group; the watcher stays."""


def main(cpu_seconds: str, parent: str, *argv: str) -> None:
    """Start the program, and end as it ends; or, when the worker dies, with it and all of its children."""
    try:
        _bind(ORPHANED, int(parent))
        for number in MEANT_FOR_THE_PROGRAM:
            signal.signal(number, _stay)
        watcher = os.getpid()
        program = os.fork()
        if not program:
            _become(argv, int(cpu_seconds), watcher)
    except OSError as error:
        os.write(2, f"handrail: {argv[0]} cannot be started: {error.strerror}\n".encode())
        os._exit(CANNOT_EXECUTE)
    # Whoever listens to the program must hear its end.
    os.closerange(0, 3)
    _end_like(os.waitpid(program, 0)[1])


def _become(argv: tuple[str, ...], cpu_seconds: int, watcher: int) -> None:
    """No core dump, bounded CPU time, files and descriptors, no setuid program; then be the program."""
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_FSIZE: LARGEST_FILE,
        resource.RLIMIT_NOFILE: MOST_FILES,
    }
    for kind, most in limits.items():
        hard = resource.getrlimit(kind)[1]
        bounded = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (bounded, bounded))
    if sys.platform == "linux" and _prctl(PR_SET_NO_NEW_PRIVS, 1):
        raise OSError(ctypes.get_errno(), "cannot give up privileges")
    _bind(signal.SIGKILL, watcher)
    os.execvp(argv[0], argv)


def _bind(number: signal.Signals, parent: int) -> None:
    """Get this signal when the parent dies. Raises SystemExit when it is dead already."""
    if sys.platform != "linux":
        return
    if number == ORPHANED:
        signal.signal(number, _end_all)
    if _prctl(PR_SET_PDEATHSIG, number):
        raise OSError(ctypes.get_errno(), "cannot bind itself to the worker")
    if os.getppid() != parent:
        # It died before the kernel could be told.
        os._exit(CANNOT_EXECUTE)


def _prctl(option: int, value: int) -> int:
    return int(ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0))


def _stay(_number: int, _frame: FrameType | None) -> None:
    """A handler, and not SIG_IGN: the program, which is another one, begins with the usual reaction."""


def _end_all(_number: int, _frame: FrameType | None) -> None:
    """The whole group, the program's children and this process included."""
    os.killpg(0, signal.SIGKILL)


def _end_like(status: int) -> None:
    """End with the program's exit status, or by its signal."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status) % 256)


if __name__ == "__main__":
    main(*sys.argv[1:])
