"""Polls the database for steps whose hint was lost or never sent: with it, a broker is only a shortcut."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

import structlog
from django.db import Error, connection

from handrail.shared.clock import steady
from runbooks.execution.claim import HINT_IS_LATE, Overdue, most_urgent
from runbooks.execution.drive import Driver
from runbooks.execution.gate import Work
from runbooks.execution.process import keep_connection

log = structlog.get_logger(__name__)

LOOK_EVERY = 0.25
"""Seconds between two looks of an idle poller."""

LONG = timedelta(seconds=5)
"""Who has waited for so long is helped by everybody, whether the queue moves or not."""

LOOK_AFTER_ERROR = 2.0
"""Seconds until a poller looks again whose database did not answer."""


class Ending(Protocol):
    """An event of threads or of processes."""

    def is_set(self) -> bool:
        """Whether the process shall end."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end, at most so many seconds."""


class Lookout:
    """Tells hints that were lost from hints that wait in a queue which others are working off.

    A queue gives its hints in the order in which they came, so the most urgent late step is another one at each look
    as long as anybody works it off; to help then would take the processors from those who do. The same one a look
    later was forgotten, or is more urgent than what stands before it, or everybody is busy: it is taken. So are
    those of which workers were told before it, or soon after. Of whom nobody was told does not wait for any of this,
    nor what has been ready for long: it may be that only other pollers work it off, and not fast enough.
    """

    def __init__(self, driver: Driver, clock: Callable[[], float] = steady) -> None:
        """Every poller of a process looks through this one, one at a time. ``clock`` counts seconds."""
        self._driver = driver
        self._clock = clock
        self._first: Overdue | None = None
        self._seen_at = 0.0
        self._lost_until: datetime | None = None

    def next_work(self) -> Work | None:
        """Claim what nobody else will come to soon; None when there is nothing, or nothing yet."""
        first, now = most_urgent(self._driver.me), self._clock()
        if first != self._first:
            self._first, self._seen_at = first, now
        if first is None:
            return None
        return self._driver.next_overdue(untold=not self._is_forgotten(first, now - self._seen_at))

    def _is_forgotten(self, first: Overdue, seen_for: float) -> bool:
        if first.told_at is None:
            return False
        if first.waits >= LONG:
            return True
        if seen_for >= LOOK_EVERY:
            self._lost_until = first.told_at + HINT_IS_LATE
        return self._lost_until is not None and first.told_at <= self._lost_until


def poll(driver: Driver, ending: Ending, *, threads: int) -> None:
    """Poll with so many threads until ``ending``; each finishes the step that it has in hand."""
    keep_connection()
    lookout = Lookout(driver)
    # Only one thread looks at a time: the others execute, or wait for their turn to look.
    turn = threading.Lock()
    pollers = [
        threading.Thread(target=_poll, args=(driver, lookout, ending, turn), name=f"poller-{n}")
        for n in range(threads)
    ]
    for poller in pollers:
        poller.start()
    for poller in pollers:
        poller.join()


def _poll(driver: Driver, lookout: Lookout, ending: Ending, turn: threading.Lock) -> None:
    while not ending.is_set():
        try:
            with turn:
                work = None
                while work is None and not ending.is_set():
                    work = lookout.next_work()
                    if work is None:
                        ending.wait(LOOK_EVERY)
            driver.go_on(work)
        except Error as error:
            log.warning("poll_failed", error=str(error))
            ending.wait(LOOK_AFTER_ERROR)
        except Exception:
            # The outermost loop of a thread: the step's lease runs out, and the sweeper decides about it.
            log.exception("poller_failed")
            ending.wait(LOOK_AFTER_ERROR)
        finally:
            connection.close_if_unusable_or_obsolete()
    connection.close()
