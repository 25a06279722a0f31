"""Waiting for what shall become true: by looking again and again, with a generous end, never by sleeping it out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 90.0
"""Seconds after which something that should have happened counts as never happening; a busy machine is slow."""

LOOK_EVERY = 0.05

T = TypeVar("T")


def eventually(what: str, look: Callable[[], T], *, within: float = PATIENCE) -> T:
    """Look until ``look`` gives something true, and return that; AssertionError with the last look otherwise."""
    pause = threading.Event()
    deadline = time.monotonic() + within
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"{what}: not within {within:.0f} s; last: {found!r}"
        pause.wait(LOOK_EVERY)
