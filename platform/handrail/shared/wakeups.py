"""Hints to workers: a Celery task by name, sent after the commit; losing one delays but loses nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog
from celery import current_app
from django.conf import settings
from django.db import connection, transaction
from kombu.exceptions import OperationalError

from handrail.shared.clock import steady

log = structlog.get_logger(__name__)


def hint_queue() -> str:
    """The Celery queue of every hint that is not a step: outbox, deliveries, incidents."""
    return f"{settings.QUEUE_PREFIX}.hints"


def pool_queue(pool: str) -> str:
    """The Celery queue of a runner pool."""
    return f"{settings.QUEUE_PREFIX}.pool.{pool}"


def wake(task: str, *args: str, queue: str = "") -> None:
    """Send the hint when the current transaction commits; at once outside of one.

    ``args`` are ids, never data: a forged message can only provoke a look at the database. Without a ``queue``
    it goes to the one of :func:`hint_queue`. A transaction that gives the same hint twice sends it once.
    """
    hint = Hint(task, args, queue)
    if not any(waiting == hint for _, waiting, *_ in connection.run_on_commit):
        transaction.on_commit(hint)


def before_others(send_hints: Callable[[], None]) -> None:
    """Call it when the current transaction commits, ahead of every hint of :func:`wake`: on a small machine whoever is
    told first gets the processor. At once outside of a transaction.
    """
    transaction.on_commit(send_hints)
    hooks = connection.run_on_commit
    others = (place for place, (_, hook, *_) in enumerate(hooks) if isinstance(hook, Hint))
    if (first := next(others, None)) is not None:
        hooks.insert(first, hooks.pop())


@dataclass(frozen=True, slots=True)
class Hint:
    """A hint that is sent when it is called."""

    task: str
    args: tuple[str, ...]
    queue: str

    def __call__(self) -> None:
        """Send it."""
        send(self.task, *self.args, queue=self.queue)


LEFT_ALONE = 5.0
"""Seconds for which a broker that did not answer is not asked again: its hints are found by sweeper and pollers."""


class _Silence:
    """Until when the broker is left alone. A parallel of a hundred steps shall not wait a hundred times."""

    def __init__(self) -> None:
        self._until = 0.0

    def holds(self) -> bool:
        return steady() < self._until

    def begin(self) -> None:
        self._until = steady() + LEFT_ALONE

    def end(self) -> None:
        self._until = 0.0


_silence = _Silence()


def send(task: str, *args: str, queue: str = "") -> bool:
    """Send the hint now. False when the broker cannot be reached: the sweeper will find the row.

    Never takes long, whatever the broker does: its connections have timeouts, and one that did not answer is not
    asked again for a while.
    """
    if _silence.holds():
        return False
    try:
        current_app.send_task(task, args=args, queue=queue or hint_queue(), retry=False, ignore_result=True)
    except (OperationalError, OSError) as error:
        _silence.begin()
        log.warning("hint_not_sent", task=task, queue=queue, error=str(error))
        return False
    return True
