"""How long a call may wait for a worker, and all its attempts may take: moments, and the errors when they are over."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from runbooks.engine.flow import error_of
from runbooks.engine.state import NodeState, RunState
from runbooks.engine.transitions import StepStatus
from runbooks.language.definition import Json, Runbook, Step
from runbooks.language.durations import words

NOT_STARTED = "schedule_to_start_timeout"
"""The error code of a call that no worker took in time."""

NOT_CLOSED = "schedule_to_close_timeout"
"""The error code of a step whose attempts took too long together."""


def start_by(state: RunState, step: Step, node: NodeState) -> datetime | None:
    """Until when a worker must have taken a call that is ready; the time before it may be claimed does not count."""
    limit = step.schedule_to_start_timeout or state.start_within
    if limit is None or node.status != StepStatus.READY or node.ready_at is None:
        return None
    return node.ready_at + timedelta(seconds=limit)


def close_by(step: Step, node: NodeState) -> datetime | None:
    """Until when a call must have its outcome, whatever the number of its attempts; pauses of the run do not count."""
    if step.schedule_to_close_timeout is None or node.started_at is None:
        return None
    return node.started_at + timedelta(seconds=step.schedule_to_close_timeout + node.paused)


def ready_until(state: RunState, step: Step, node: NodeState) -> datetime | None:
    """When somebody must look at a ready call that nobody has taken: the timer in its row."""
    if node.status != StepStatus.READY:
        return None
    moments = [moment for moment in (start_by(state, step, node), close_by(step, node)) if moment is not None]
    return min(moments, default=None)


def overdue(
    definition: Runbook, state: RunState, step: Step, node: NodeState, now: datetime
) -> dict[str, Json] | None:
    """The error of a ready call whose time is over; None while it is not."""
    closes = close_by(step, node)
    if node.status == StepStatus.READY and closes is not None and now >= closes:
        return too_long(step, node.error)
    begins = start_by(state, step, node)
    if begins is None or now < begins:
        return None
    limit = step.schedule_to_start_timeout or state.start_within or 0.0
    pool = step.pool or definition.pool
    return error_of(
        NOT_STARTED,
        f"No worker of the pool {pool} took it within {words(limit)}. Start one (handrail worker --pool {pool}), "
        "or look at the machine room for those that are busy.",
    )


def too_long(step: Step, last: Mapping[str, Json] | None) -> dict[str, Json]:
    """The error of a step whose attempts took too long together; ``last`` is that of the last attempt."""
    limit = words(step.schedule_to_close_timeout or 0.0)
    why = f" The last attempt: {last['code']}: {last.get('message', '')}" if last and "code" in last else ""
    return error_of(
        NOT_CLOSED, f"All attempts together may take {limit}, and that time is over.{why}"[:2_000]
    )
