"""Calls of one run made side by side within a worker process: what a runbook calls parallel is not made in turns."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

import structlog
from django.db import connection

W = TypeVar("W")
R = TypeVar("R")

log = structlog.get_logger(__name__)


class Crew(Generic[W, R]):
    """At most ``width`` calls at once. A single one is made by the caller's own thread, which costs nothing more."""

    def __init__(self, call: Callable[[W], R], aside: Callable[[W], R], width: int) -> None:
        """The threads are started when they are first needed, and stay. ``aside``: the call when it is made in one."""
        self._call, self._aside = call, aside
        self._width = width
        self._here = threading.local()

    def begin(self) -> Shift[W, R]:
        """A shift for the thread that asks; each has threads of its own, so that no call waits for one."""
        threads: ThreadPoolExecutor | None = getattr(self._here, "threads", None)
        if threads is None:
            threads = self._here.threads = ThreadPoolExecutor(self._width, thread_name_prefix="crew")
        return Shift(self._call, self._aside, self._width, threads)


class Shift(Generic[W, R]):
    """The calls that one thread has begun and of which it has not heard yet."""

    def __init__(
        self, call: Callable[[W], R], aside: Callable[[W], R], width: int, threads: ThreadPoolExecutor
    ) -> None:
        """Use :meth:`Crew.begin`."""
        self._call, self._aside = call, aside
        self._width = width
        self._threads = threads
        self._running: dict[Future[R], W] = {}
        self._next: W | None = None

    @property
    def room(self) -> int:
        """How many more calls may be begun."""
        return self._width - len(self._running) - (self._next is not None)

    def begin(self, works: Sequence[W]) -> None:
        """Begin them all."""
        if not self._running and self._next is None and len(works) == 1:
            self._next = works[0]
            return
        for work in works:
            self._running[self._threads.submit(self._in_thread, work)] = work

    def ended(self) -> list[tuple[W, R]]:
        """Wait until one of them has ended at least; what has ended by then. Nothing when none is left.

        A call that raises is left to its lease, like one whose process died: who knows how far it came.
        """
        if self._next is not None:
            work, self._next = self._next, None
            return [(work, self._call(work))]
        while self._running:
            over, _ = wait(self._running, return_when=FIRST_COMPLETED)
            found = [(self._running.pop(future), future) for future in over]
            told = [(work, future.result()) for work, future in found if not _failed(future)]
            if told:
                return told
        return []

    def _in_thread(self, work: W) -> R:
        try:
            return self._aside(work)
        finally:
            connection.close_if_unusable_or_obsolete()


def _failed(future: Future[R]) -> bool:
    error = future.exception()
    if error is not None:
        log.error("call_failed", exc_info=error)
    return error is not None
