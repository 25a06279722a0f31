"""How long one call may take: a `wait_until` has many calls within one timeout."""

from __future__ import annotations

from runbooks.engine.commands import StartStep
from runbooks.engine.sampling import deadline_of
from runbooks.execution.transition import Transition
from runbooks.language.definition import WaitUntilStep

LONGEST_SAMPLE = 60.0
SHORTEST_SAMPLE = 1.0
"""Seconds for one sample, even if the step's own timeout leaves less."""


def time_left(transition: Transition, command: StartStep) -> float | None:
    """Seconds for one sample of a `wait_until`; None for every other call."""
    step = command.step
    if not isinstance(step, WaitUntilStep):
        return None
    deadline = deadline_of(transition.state.node(command.key), step)
    if deadline is None:
        return LONGEST_SAMPLE
    left = (deadline - transition.now).total_seconds()
    return max(SHORTEST_SAMPLE, min(LONGEST_SAMPLE, left))
