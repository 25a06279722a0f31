"""The fate of a commit that was never answered: under the run's lock, the history says whether it happened.

A connection that breaks during COMMIT leaves its client in doubt. To do the work again would double it, and to forget
it would lose it. Each event of a history is chained to the one before it by a hash that nobody else can have written.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import OperationalError, transaction

from runbooks.execution.gate import Work
from runbooks.execution.live import locked
from runbooks.execution.transition import Transition
from runbooks.execution.worker import Me, lease
from runbooks.models import Run, RunEvent, StepRun


@dataclass(frozen=True, slots=True)
class Written:
    """What a transaction wrote before its commit: the last link of the run's history, and the calls that it gated."""

    run_id: uuid.UUID
    n: int
    hash: str
    works: tuple[Work, ...]

    @classmethod
    def by(cls, run: Run, works: Iterable[Work]) -> Written:
        """What the transition that has just been written to ``run`` says of itself."""
        return cls(run.pk, run.history_n, run.history_hash, tuple(works))

    @classmethod
    def of(cls, opened: Transition, works: Iterable[Work]) -> Written:
        """What a transition that is about to be written at once will say of itself."""
        columns = opened.addition().columns
        n, head = columns["history_n"], columns["history_hash"]
        return cls(opened.live.run.pk, n if isinstance(n, int) else 0, str(head), tuple(works))

    def is_there(self) -> bool:
        """Whether it was committed. Only under the run's lock, which a commit in flight still holds."""
        return RunEvent.objects.filter(run_id=self.run_id, n=self.n, hash=self.hash).exists()

    def resumed(self, me: Me, now: datetime) -> list[Work]:
        """The gated calls that are still ours, under a fresh lease; others were taken back.

        Inside the transaction that has found out that it was committed.
        """
        return [work for work in self.works if _renewed(work, me, now)]


def _renewed(work: Work, me: Me, now: datetime) -> bool:
    mine = StepRun.objects.filter(
        pk=work.step_id,
        fence=work.fence,
        owner=me.id,
        state=StepRun.State.EXECUTING,
        lease_until__gt=now,
    )
    return bool(mine.update(lease_until=now + lease()))


class Unanswered(OperationalError):
    """The database went away during a commit: ``written`` is there, or it is not."""

    def __init__(self, written: Written, error: Exception) -> None:
        """``error`` is what the database's driver said."""
        super().__init__(str(error))
        self.written = written


def settle(written: Written, me: Me) -> list[Work]:
    """What of an unanswered claim is ours to do now."""
    with transaction.atomic():
        _, now, _ = locked(written.run_id)
        return written.resumed(me, now) if written.is_there() else []
