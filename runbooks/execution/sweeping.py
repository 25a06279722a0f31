"""The sweeper's loop: a thread a duty, so that a slow one delays no other; a failing one is tried again."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence

import structlog
from django.db import connection

from runbooks.execution.process import keep_connection
from runbooks.execution.worker import Me, forget_old

log = structlog.get_logger(__name__)

Duty = tuple[str, Callable[[], object], float]
"""Its name, what it does, and every how many seconds."""

ALIVE_EVERY = 5.0
FORGET_EVERY = 3600.0
"""Seconds between two removals of the rows of processes that ended days ago."""


class Sweeper:
    """Performs duties until it is told to end. ``failures`` counts, by name, how often one raised."""

    def __init__(self, duties: Sequence[Duty]) -> None:
        """The sweeper's own duties (to say that it lives) come on top."""
        self._me = Me.in_pools("")
        self.failures: Counter[str] = Counter()
        self._duties: list[Duty] = [
            *duties,
            ("sweeper.say_alive", lambda: self._me.say_alive(kind="sweeper"), ALIVE_EVERY),
            ("workers.forget_old", forget_old, FORGET_EVERY),
        ]

    def run(self, ending: threading.Event) -> None:
        """Perform every duty at its pace until ``ending``; then each finishes what it does."""
        keep_connection()
        threads = [
            threading.Thread(target=self._keep_doing, args=(duty, ending), name=duty[0])
            for duty in self._duties
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._me.say_stopped()
        connection.close()

    def _keep_doing(self, duty: Duty, ending: threading.Event) -> None:
        _, _, every = duty
        while not ending.is_set():
            self.perform(duty)
            ending.wait(every)
        connection.close()

    def perform(self, duty: Duty) -> None:
        """Perform a duty once; what it raises is logged and counted, and hurts no other duty."""
        name, act, _ = duty
        try:
            act()
        except Exception:
            self.failures[name] += 1
            log.exception("duty_failed", duty=name, failures=self.failures[name])
        finally:
            connection.close_if_unusable_or_obsolete()
