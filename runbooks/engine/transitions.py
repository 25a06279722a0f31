"""Which states may follow which: the two tables of runs and of steps, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class RunStatus(StrEnum):
    """The states of a run. ``waiting``: nothing executes, something is awaited."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class StepStatus(StrEnum):
    """The states of a step, of whatever kind. ``pending`` has no row yet; blocks are ``executing`` inside."""

    PENDING = "pending"
    WAITING = "waiting"
    READY = "ready"
    CLAIMED = "claimed"
    EXECUTING = "executing"
    AWAITING_APPROVAL = "awaiting_approval"
    AWAITING_HUMAN = "awaiting_human"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    UNCERTAIN = "uncertain"
    COMPENSATING = "compensating"
    COMPENSATED = "compensated"
    COMPENSATION_FAILED = "compensation_failed"


R = RunStatus
S = StepStatus

RUN_END = frozenset({R.SUCCEEDED, R.FAILED, R.CANCELLED})
"""A run in one of these is over; only a person who resumes it after a failure or a stop reopens it."""

STEP_END = frozenset(
    {S.SUCCEEDED, S.FAILED, S.TIMED_OUT, S.SKIPPED, S.CANCELLED, S.COMPENSATED, S.COMPENSATION_FAILED}
)
"""A step in one of these has its outcome; only compensation, a person who skips it, or a reopened run moves it on."""

RUN: Mapping[RunStatus, frozenset[RunStatus]] = {
    R.PENDING: frozenset({R.RUNNING, R.WAITING, R.CANCELLING}) | RUN_END,
    R.RUNNING: frozenset({R.WAITING, R.PAUSED, R.CANCELLING}) | RUN_END,
    R.WAITING: frozenset({R.RUNNING, R.PAUSED, R.CANCELLING}) | RUN_END,
    R.PAUSED: frozenset({R.RUNNING, R.WAITING, R.CANCELLING}) | RUN_END,
    # Whoever asked for the stop keeps being told so until `finally` is through.
    R.CANCELLING: RUN_END,
    R.SUCCEEDED: frozenset(),
    # Resumed from failure, by a person.
    R.FAILED: frozenset({R.RUNNING}),
    R.CANCELLED: frozenset({R.RUNNING}),
}

STEP: Mapping[StepStatus, frozenset[StepStatus]] = {
    S.PENDING: frozenset(
        {
            S.WAITING,
            S.READY,
            S.EXECUTING,
            S.AWAITING_APPROVAL,
            S.AWAITING_HUMAN,
            S.SUCCEEDED,
            S.FAILED,
            S.SKIPPED,
        }
    ),
    S.WAITING: frozenset({S.READY, S.SUCCEEDED, S.FAILED, S.TIMED_OUT, S.CANCELLED, S.SKIPPED}),
    S.READY: frozenset({S.CLAIMED, S.EXECUTING, S.FAILED, S.TIMED_OUT, S.CANCELLED, S.PENDING, S.SKIPPED}),
    S.CLAIMED: frozenset({S.READY, S.EXECUTING, S.FAILED, S.CANCELLED, S.PENDING}),
    S.EXECUTING: frozenset(
        {
            S.READY,
            S.SUCCEEDED,
            S.FAILED,
            S.TIMED_OUT,
            S.CANCELLED,
            S.UNCERTAIN,
            S.COMPENSATING,
            S.COMPENSATED,
            S.COMPENSATION_FAILED,
        }
    ),
    S.AWAITING_APPROVAL: frozenset({S.SUCCEEDED, S.FAILED, S.CANCELLED, S.PENDING}),
    S.AWAITING_HUMAN: frozenset({S.SUCCEEDED, S.FAILED, S.TIMED_OUT, S.CANCELLED, S.SKIPPED}),
    S.UNCERTAIN: frozenset({S.READY, S.SUCCEEDED, S.FAILED, S.CANCELLED}),
    # An approval whose plan changed is void: the question is open again.
    S.SUCCEEDED: frozenset({S.COMPENSATING, S.COMPENSATED, S.COMPENSATION_FAILED, S.PENDING}),
    S.COMPENSATING: frozenset({S.COMPENSATED, S.COMPENSATION_FAILED}),
    # A person goes on without it, as long as the run has not gone on from its failure.
    S.FAILED: frozenset({S.SKIPPED}),
    S.TIMED_OUT: frozenset({S.SKIPPED}),
    S.SKIPPED: frozenset(),
    S.CANCELLED: frozenset(),
    S.COMPENSATED: frozenset(),
    S.COMPENSATION_FAILED: frozenset(),
}


class ImpossibleTransition(ValueError):
    """A history or a caller claims a change of state that the tables do not allow."""


def check_run(before: RunStatus, after: RunStatus) -> RunStatus:
    """``after``, if a run may go there from ``before``; staying is always allowed."""
    if after != before and after not in RUN[before]:
        raise ImpossibleTransition(f"A run cannot go from {before} to {after}.")
    return after


def check_step(key: str, before: StepStatus, after: StepStatus) -> StepStatus:
    """``after``, if the step ``key`` may go there from ``before``; staying is always allowed."""
    if after != before and after not in STEP[before]:
        raise ImpossibleTransition(f"The step {key} cannot go from {before} to {after}.")
    return after


def step_states_before(after: StepStatus) -> tuple[StepStatus, ...]:
    """From which states a step may come to ``after``: the ``state IN (...)`` of a conditional update."""
    return tuple(before for before, following in STEP.items() if after in following)
