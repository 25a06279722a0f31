"""How a block is entered and left, whatever it does in between."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from runbooks.engine import events as e
from runbooks.engine.commands import Command, Record
from runbooks.engine.compensation import inside
from runbooks.engine.flow import Flow, Halt, error_of, stops
from runbooks.engine.planning import Planner
from runbooks.engine.state import Key, NodeState, is_within
from runbooks.engine.transitions import StepStatus
from runbooks.language.definition import Json, Step


def entered(planner: Planner, step: Step, *, timed: bool = True) -> NodeState:
    """The state of a block, which is entered if it was not yet; from then on its time counts if it is ``timed``."""
    if planner.node(step).status == StepStatus.PENDING:
        deadline = deadline_of(planner, step) if timed else None
        planner.record(e.BlockStarted(at=planner.now, key=planner.key(step), deadline=deadline))
    return planner.node(step)


def deadline_of(planner: Planner, step: Step) -> datetime | None:
    """When a block that is entered now is over its time."""
    return planner.now + timedelta(seconds=step.timeout) if step.timeout is not None else None


def late(planner: Planner, node: NodeState) -> Halt | None:
    """The halt of a block whose time is over."""
    if node.deadline is None or planner.now < node.deadline:
        return None
    return Halt("The time of the block is over.")


def told_to_stop(planner: Planner, steps: Sequence[Step]) -> Halt | None:
    """The halt that has ended this sequence on an earlier walk, when what executed there was told to stop.

    Whoever was stopped before they began ends in the same way as whoever was stopped in their middle.
    """
    for step in steps:
        node = planner.node(step)
        if node.ended and stops(step, node):
            return Halt(node.reason or "It was stopped.") if node.status == StepStatus.CANCELLED else None
    return None


def timeout_error(step: Step) -> dict[str, Json]:
    """The error of a block whose time was over."""
    return error_of("timed_out", f"The step {step.id} took longer than its timeout of {step.timeout:g} s.")


def finished(
    planner: Planner,
    step: Step,
    status: StepStatus,
    error: dict[str, Json] | None,
    *,
    fatal: bool | None = None,
) -> Flow:
    """The block ends with this status. A `fail` step inside ends the run: nothing around it catches that."""
    if fatal is None:
        fatal = any(planner.node(child).fatal for child in step.children())
    planner.record(
        e.BlockFinished(
            at=planner.now,
            key=planner.key(step),
            status=status.value,
            error=error,
            fatal=fatal and error is not None,
        )
    )
    return planner.verdict(step)


def withdraw(planner: Planner, branches: Sequence[Step]) -> None:
    """Take back the starts of this very walk: nothing outside has seen them."""
    ids = {branch.id for branch in branches} | {step.id for branch in branches for step in inside(branch)}
    planner.commands[:] = [command for command in planner.commands if not _works_in(planner, command, ids)]


def _works_in(planner: Planner, command: Command, ids: set[str]) -> bool:
    """Whether a command is work of one of these steps, in the iteration through which the walk goes."""
    if isinstance(command, Record):
        return False
    return command.step.id in ids and is_within(Key.parse(command.key).iteration, planner.iteration)
