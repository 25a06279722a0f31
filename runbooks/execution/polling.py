"""Polls the database for steps whose hint was lost or never sent: with it, a broker is only a shortcut."""

from __future__ import annotations

import threading
from typing import Protocol

import structlog
from django.db import Error, connection

from runbooks.execution.drive import Driver
from runbooks.execution.process import keep_connection

log = structlog.get_logger(__name__)

LOOK_EVERY = 0.25
"""Seconds between two looks of an idle poller."""

LOOK_AFTER_ERROR = 2.0
"""Seconds until a poller looks again whose database did not answer."""


class Ending(Protocol):
    """An event of threads or of processes."""

    def is_set(self) -> bool:
        """Whether the process shall end."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end, at most so many seconds."""


def poll(driver: Driver, ending: Ending, *, threads: int) -> None:
    """Poll with so many threads until ``ending``; each finishes the step that it has in hand."""
    keep_connection()
    # Only one thread looks at a time: the others execute, or wait for their turn to look.
    turn = threading.Lock()
    pollers = [
        threading.Thread(target=_poll, args=(driver, ending, turn), name=f"poller-{n}")
        for n in range(threads)
    ]
    for poller in pollers:
        poller.start()
    for poller in pollers:
        poller.join()


def _poll(driver: Driver, ending: Ending, turn: threading.Lock) -> None:
    while not ending.is_set():
        try:
            with turn:
                work = None
                while work is None and not ending.is_set():
                    work = driver.next_overdue()
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
