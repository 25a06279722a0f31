"""When the sweeper may speak for the dead: not before the living could have said that they live.

Nobody can renew a lease while the database is down, while the machine sleeps, or while the sweeper itself is stopped
with the rest; and where the database's clock is this machine's (SQLite), somebody may set it forward. All leases have
expired then, and those who hold them are well.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from handrail.shared.clock import database_now, steady
from runbooks.execution import recover
from runbooks.execution.worker import lease

log = structlog.get_logger(__name__)

LONGEST_ROUND = 5.0
"""Seconds between two looks that are still nothing unusual."""


LARGEST_STEP = 1.0
"""Seconds by which the machine's clock may move against the steady one between two looks."""


class Patience:
    """After an absence everybody gets half a lease, time enough to renew: leases are renewed after a third."""

    def __init__(self, clock: Callable[[], float] = steady, wall: Callable[[], float] = time.time) -> None:
        """``clock`` counts seconds, also while the machine sleeps; ``wall`` is the clock that people set."""
        self._clock, self._wall = clock, wall
        self._offset = wall() - clock()
        self._looked: float | None = None
        self._until = 0.0

    def is_over(self) -> bool:
        """Whether expired leases count now. To be asked when the database has answered."""
        now, half = self._clock(), lease().total_seconds() / 2
        offset = self._wall() - now
        away = self._looked is not None and now - self._looked > max(half, LONGEST_ROUND)
        if away or abs(offset - self._offset) > LARGEST_STEP:
            self._until = now + half
            log.warning("leases_may_be_well", away=away, clock_moved=round(offset - self._offset, 1))
        self._looked, self._offset = now, offset
        return now >= self._until

    def recover_expired(self) -> int:
        """The sweeper's duty: take the steps of lost workers back; how many."""
        database_now()  # raises while the database is away
        if not self.is_over():
            return 0
        try:
            return recover.recover_expired()
        finally:
            self._looked = self._clock()


PATIENCE = Patience()
"""This process's."""
