"""Run by path, alone, between the worker and a step's program: gives up privileges, then becomes the program.

A separate small process, because code between fork and exec of a process with threads may deadlock.
Usage: ``python -I -S confine.py CPU_SECONDS PARENT_PID PROGRAM [ARGUMENT]...``
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
LARGEST_FILE = 1 << 30
MOST_FILES = 1024
CANNOT_EXECUTE = 126


def confine(cpu_seconds: int, parent: int) -> None:
    """No core dump, bounded CPU time, files and descriptors, no setuid program; death with the worker."""
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
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        if prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "cannot give up privileges")
        if prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "cannot bind itself to the worker")
        if os.getppid() != parent:
            # The worker died before it could be told to the kernel.
            raise SystemExit(CANNOT_EXECUTE)


def main(cpu_seconds: str, parent: str, *argv: str) -> None:
    """Become the program."""
    try:
        confine(int(cpu_seconds), int(parent))
        os.execvp(argv[0], argv)
    except OSError as error:
        os.write(2, f"handrail: {argv[0]} cannot be started: {error.strerror}\n".encode())
        raise SystemExit(CANNOT_EXECUTE) from None


if __name__ == "__main__":
    main(*sys.argv[1:])
