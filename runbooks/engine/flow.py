"""What the walk over a runbook finds at a step: whether its sequence goes on, waits, or stops; and why it halts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from runbooks.engine.state import NodeState
from runbooks.engine.transitions import StepStatus
from runbooks.language.definition import GroupStep, Json, Step

S = StepStatus


class Flow(Enum):
    """What a visit found: the step is still open, the sequence may pass it, or the sequence stops here."""

    OPEN = "open"
    PASSED = "passed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Halt:
    """Why nothing new may start in a part of the runbook; what is in flight there is told to stop."""

    reason: str


def error_of(code: str, message: str) -> dict[str, Json]:
    """An error as it stands in events; made by the engine itself, so retrying never helps."""
    return {"code": code, "message": message, "retryable": False}


def stops(step: Step, node: NodeState) -> bool:
    """Whether a sequence ends at this step, which has ended."""
    if node.status in (S.SUCCEEDED, S.SKIPPED):
        return False
    if node.fatal or node.status == S.CANCELLED:
        return True
    if step.continue_on_error:
        return False
    # A group that could not undo itself has left something behind: nobody asked to go on from there.
    caught = isinstance(step, GroupStep) and step.on_failure.then == "continue"
    return not (caught and node.status != S.COMPENSATION_FAILED)
