"""Named points around every commit and effect, where `make prove` kills the process; otherwise nothing happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias, get_args

FailPoint: TypeAlias = Literal[
    "start.before_commit",  # a run and its first steps are written
    "start.after_commit",
    "claim.taken",  # a step is ours within the transaction
    "claim.before_commit",  # its intent is written
    "claim.after_commit",
    "poll.after_claim",  # claimed for good, not yet through the gate
    "effect.before",  # the intent is committed, nothing has happened
    "effect.after",  # everything has happened, nobody knows
    "complete.before_commit",  # the result and what comes next are written
    "complete.after_commit",
    "heartbeat.before_commit",
    "heartbeat.after_commit",
    "recover.before_commit",  # a step is taken back from a dead worker
    "recover.after_commit",
    "timer.before_commit",  # a run goes on because a time has come
    "timer.after_commit",
    "admit.before_commit",  # a pending run has begun, or it is written why it still waits
    "admit.after_commit",
    "hint.after_mark",  # a lost hint counts as sent again, and is not
    "approval.before_commit",  # a vote and what follows from it are written
    "approval.after_commit",
    "decision.before_commit",  # a human said what became of a step
    "decision.after_commit",
    "manual.before_commit",  # a human said that a manual step is done
    "manual.after_commit",
    "subrun.begun",  # a run is written within the transaction of the run that starts it
    "subrun.ended",  # a run has ended for good, the one that waits for it does not know
    "subrun.collected",  # its end is written into the one that waits
    "schedule.before_commit",  # a tick and its run are written
    "schedule.after_commit",
    "outbox.after_claim",  # a message is ours to send
    "outbox.after_send",  # it has left, and does not count as sent
    "outbox.after_mark",
    "steer.before_commit",  # a human has stopped, paused, resumed, handed over or skipped
    "steer.after_commit",
]

FAIL_POINTS: tuple[FailPoint, ...] = get_args(FailPoint)


WATCHERS: list[Callable[[FailPoint], None]] = []
"""Called at every fail point of this process; empty in a product that works."""


def reach(point: FailPoint) -> None:
    """The process has come here."""
    for watcher in WATCHERS:
        watcher(point)
