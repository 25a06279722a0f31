"""This process as a worker: its identity, its heart and its driver, made when they are first needed."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import threading
from functools import cache

from django.conf import settings
from django.db import connection, connections

from runbooks.execution.drive import Driver
from runbooks.execution.heart import Heart
from runbooks.execution.worker import Me

POOLS_VARIABLE = "HANDRAIL_WORKER_POOLS"
"""Set by `handrail worker` for its children: the pools whose steps they take, separated by commas."""


class Ending:
    """Whether the worker shall end: the step in hand is finished, nothing new is taken. Shared with forked children.

    One byte without any lock: a child that is killed while it looks must not keep the others from looking.
    """

    def __init__(self) -> None:
        self._shared = multiprocessing.RawValue(ctypes.c_bool)
        self._here = threading.Event()

    def set(self) -> None:
        """Say that it shall end; from a signal handler, too."""
        self._shared.value = True
        self._here.set()

    def is_set(self) -> bool:
        """Whether anybody has said so."""
        return bool(self._shared.value)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for it, as said in this process, at most so many seconds."""
        return self._here.wait(timeout)


ENDING = Ending()


def pools() -> tuple[str, ...]:
    """The pools of this process."""
    named = os.environ.get(POOLS_VARIABLE, "default")
    return tuple(name.strip() for name in named.split(",") if name.strip()) or ("default",)


def driver() -> Driver:
    """The driver of this process; a forked child gets its own."""
    return _driver(os.getpid())


@cache
def _driver(_pid: int) -> Driver:
    me = Me.in_pools(*pools())
    me.say_alive()
    heart = Heart(me, also=lambda: me.say_alive(draining=ENDING.is_set()), ending=ENDING.is_set)
    heart.start()
    return Driver(me, heart, stopping=ENDING.is_set, width=settings.WORKER_THREADS)


def keep_connection() -> None:
    """Let SQLite's connection stay open between pieces of work: to open one costs more than a step's statements.

    For processes whose threads live long. PostgreSQL's connections are borrowed from a pool anyway.
    """
    if connection.vendor == "sqlite":
        connection.settings_dict["CONN_MAX_AGE"] = None


def forked() -> None:
    """A child begins: no connection of its parent may be used in it."""
    for inherited in connections.all(initialized_only=True):
        inherited.close()
    keep_connection()
    driver()


def say_stopped() -> None:
    """The process ends in order: nothing that it did goes on."""
    driver().say_stopped()
