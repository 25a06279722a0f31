"""Drives a run from one step to the next within this worker, until nothing of it is ours to do."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable

import structlog
from django.db import Error, connection

from runbooks.execution.claim import claim_overdue, claim_steps
from runbooks.execution.complete import Done, complete_all
from runbooks.execution.crew import Crew
from runbooks.execution.effect import Ended, perform
from runbooks.execution.fate import Unanswered, Written, settle
from runbooks.execution.gate import Work
from runbooks.execution.heart import Heart
from runbooks.execution.worker import Me, lease

log = structlog.get_logger(__name__)

PAUSE_BEFORE_AGAIN = 1.0
"""Seconds between two tries to write a result to a database that does not take it."""

LONGEST_TRY = 3600.0
"""Seconds for which a worker keeps a result that the database does not take."""


class Driver:
    """A worker's loop. ``stopping`` is asked between steps: once true, nothing new is taken.

    ``width``: how many calls of one run it makes at once.
    """

    def __init__(
        self, me: Me, heart: Heart, *, stopping: Callable[[], bool] = lambda: False, width: int = 1
    ) -> None:
        """One driver serves a whole process; every thread may use it."""
        self.me = me
        self._heart = heart
        self._stopping = stopping
        self._width = width
        self._crew: Crew[Work, Ended] = Crew(
            lambda work: perform(work, heart), lambda work: perform(work, heart, aside=True), width
        )

    def say_stopped(self) -> None:
        """The process ends in order: nothing of its work goes on, and no beat says after this that it lives."""
        self._heart.stop()
        self.me.say_stopped()

    def drive(self, step_id: uuid.UUID) -> int:
        """Do the step that a hint names, and what follows it; how many calls were made.

        A process that ends takes nothing new: the step stays ready, and is announced to others again.
        """
        if self._stopping():
            return 0
        return self._go_on(self._claimed(lambda: claim_steps(step_id, self.me, room=self._width)))

    def next_overdue(self, *, untold: bool = False) -> Work | None:
        """Claim the most urgent step whose hint is late, for :meth:`go_on`; None when there is none.

        ``untold``: only of those of which nobody was told.
        """

        def claim() -> list[Work]:
            work = claim_overdue(self.me, untold=untold)
            return [] if work is None else [work]

        return next(iter(self._claimed(claim)), None)

    def go_on(self, work: Work | None) -> int:
        """Do a step that is claimed and gated, and what follows it; how many calls were made."""
        return self._go_on([] if work is None else [work])

    def _go_on(self, works: list[Work]) -> int:
        """Make these calls, write how they end, and go on with what follows, as long as there is anything.

        What cannot be written, for as long as that is tried, ends this once the other calls have ended, too.
        """
        made = 0
        shift = self._crew.begin()
        shift.begin(works)
        problem: Exception | None = None
        while ended := [Done(work, how) for work, how in shift.ended()]:
            made += len(ended)
            try:
                shift.begin(self._complete(ended, 0 if problem else shift.room))
            except Exception as error:  # noqa: BLE001  raised below, when nothing is left that it could harm
                problem = error
            finally:
                self._release(ended)
        if problem is not None:
            raise problem
        return made

    def _release(self, done: list[Done]) -> None:
        """Let go the leases of calls that were made aside: their results are written, or are given up."""
        for one in done:
            if one.ended.held is not None:
                self._heart.release(one.ended.held)

    def _claimed(self, claim: Callable[[], list[Work]]) -> list[Work]:
        """What was claimed; also by a commit of whose fate the database said nothing, as soon as it answers again.

        After a lease somebody else decides what becomes of such a step.
        """
        try:
            return claim()
        except Unanswered as doubt:
            written = doubt.written
        return self._insist(lambda: settle(written, self.me), "claim_in_doubt", self._for_a_lease())

    def _complete(self, done: list[Done], room: int) -> list[Work]:
        """Write results; a database that does not take them for a while does not make us forget them.

        It is tried for longer than a lease: while nobody can write, nobody else can decide what became of the steps.
        As soon as somebody has, our result is refused, which ends this.
        """
        written: Written | None = None

        def attempt() -> list[Work]:
            nonlocal written
            try:
                return complete_all(done, self.me, room=0 if self._stopping() else room, before=written)
            except Unanswered as doubt:
                written = doubt.written
                raise

        in_time = self._for_a_lease()
        end = time.monotonic() + LONGEST_TRY
        return self._insist(
            attempt,
            "completion_failed",
            lambda: in_time() or (not self._stopping() and time.monotonic() < end),
        )

    def _insist(self, act: Callable[[], list[Work]], event: str, goes_on: Callable[[], bool]) -> list[Work]:
        """Try again and again what the database, or a full disk, refuses; raise what it said at last."""
        pause = threading.Event()
        while True:
            try:
                return act()
            except (Error, OSError) as error:
                log.warning(event, error=str(error))
                connection.close()
                if not goes_on():
                    raise
                pause.wait(PAUSE_BEFORE_AGAIN)

    @staticmethod
    def _for_a_lease() -> Callable[[], bool]:
        end = time.monotonic() + lease().total_seconds()
        return lambda: time.monotonic() < end
