"""The hints of one transition: which of the steps that have become ready workers are told of by name."""

from __future__ import annotations

import uuid
from collections import Counter

from django.conf import settings

from handrail.shared.wakeups import pool_queue, send

ADVANCE_TASK = "runbooks.advance"

MOST_HINTS = 16
"""Hints to one pool. Whoever claims a step takes others of its run along."""


class Hints:
    """What is told once the transition is committed.

    A hint brings a process, which makes ``WORKER_THREADS`` calls of the run at once. So the first hints to a pool
    speak for others, too, and pollers leave those alone as long as the ones that were named. What is beyond counts
    as told to nobody: pollers take it at once, and the sweeper announces it.
    """

    def __init__(self) -> None:
        """Nothing is ready yet."""
        self._named: list[tuple[uuid.UUID, str]] = []
        self._ready: Counter[str] = Counter()

    def tell_of(self, step_id: uuid.UUID, pool: str) -> bool:
        """Tell of a step that is ready, by a hint of its own or by another's; False if nobody is told of it."""
        before = self._ready[pool]
        self._ready[pool] += 1
        if before < MOST_HINTS:
            self._named.append((step_id, pool))
        return before < MOST_HINTS * int(settings.WORKER_THREADS)

    def __bool__(self) -> bool:
        """Whether there is anything to send."""
        return bool(self._named)

    def send(self) -> None:
        """Send them. One that is lost is found by pollers and by the sweeper."""
        for step_id, pool in self._named:
            hint(step_id, pool)


def hint(step_id: uuid.UUID, pool: str) -> bool:
    """Tell the workers of a pool of a step; False when the broker cannot be reached."""
    return send(ADVANCE_TASK, str(step_id), queue=pool_queue(pool))
