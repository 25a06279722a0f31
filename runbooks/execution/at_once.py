"""Transitions without the run's lock: planned on what is in memory, written if nobody has moved the run meanwhile.

A step that goes well, in a run of which nobody has to be told, needs nothing from the database but to be written.
Such a transition asks nothing and locks nothing: its statements carry the condition that the run's revision is
still the one in memory. Whatever asks the database all the same finds out that it needs the lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import connection

from handrail.shared.clock import estimated_now
from runbooks.engine import events as e
from runbooks.engine.state import NodeState
from runbooks.engine.transitions import StepStatus
from runbooks.execution.live import LiveRun
from runbooks.execution.transition import NeedsLock, Transition

QUIET = (
    *(e.StepScheduled, e.StepStarted, e.StepSucceeded, e.StepFailed, e.StepRetrying, e.StepSkipped),
    *(
        e.BlockStarted,
        e.BlockFinished,
        e.LoopStarted,
        e.CaseChosen,
        e.TimerStarted,
        e.Sampled,
        e.PhaseEntered,
    ),
)
"""The events of which no audit trail needs to know, and that end no question to people."""


def open_at_once(live: LiveRun, key: str) -> Transition:
    """Begin for the worker of ``key``, without the lock. Raises :class:`NeedsLock` where that cannot do.

    Beside other calls of the run, workers would only get in each other's way: there they take turns at the lock.
    """
    now = estimated_now()
    if not live.settled or now is None or connection.in_atomic_block or _is_crowded(live, key):
        raise NeedsLock
    # That no kill switch is on, either, is a condition of what it writes.
    return Transition(live, max(now, live.last_at), switches=False, locked=False)


def _is_crowded(live: LiveRun, key: str) -> bool:
    return any(_is_work(node) and other != key for other, node in live.state.nodes.items())


def _is_work(node: NodeState) -> bool:
    return node.status == StepStatus.READY or (node.status == StepStatus.EXECUTING and node.attempt > 0)


@contextmanager
def asking_nothing() -> Iterator[None]:
    """Within, every query raises :class:`NeedsLock`: what it read could be out of date when it counts."""
    with connection.execute_wrapper(_refuse):
        yield


def _refuse(execute: Callable[..., object], *_: object) -> object:
    raise NeedsLock


def is_quiet(opened: Transition) -> bool:
    """Whether nothing has to be written but its own rows."""
    return all(isinstance(event, QUIET) for event in opened.events) and not opened.is_told()
