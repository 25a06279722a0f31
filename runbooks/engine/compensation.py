"""Undoing what was done: which steps, in which order, with which inputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from runbooks.engine.names import masked_secrets, names
from runbooks.engine.state import STEP, Key, RunState, is_within
from runbooks.engine.transitions import StepStatus
from runbooks.language.definition import ActionStep, Json, Runbook, Step
from runbooks.language.errors import ExpressionError
from runbooks.language.expressions import render

NOT_CAPTURED = "error"
"""The key under which it stands why the inputs could not be rendered; real inputs are under ``inputs``."""


def order(block: Step, state: RunState, iteration: str = "") -> list[str]:
    """The keys of what was completed inside the block and can be undone: the last completed one first.

    ``iteration``: the one in which the block stands; of the loops inside it every iteration counts.
    """
    return _reversed(inside(block), state, iteration)


def order_of_run(definition: Runbook, state: RunState) -> list[str]:
    """The same for everything that the run has done before its last steps, across all groups."""
    return _reversed(_before_the_end(definition), state, "")


def stuck(definition: Runbook, state: RunState) -> str:
    """The key of a step whose undoing failed, so that nothing from before it can be undone in order; else empty."""
    ids = {step.id for step in _before_the_end(definition)}
    for key, node in state.nodes.items():
        place = Key.parse(key)
        half = node.status in (StepStatus.COMPENSATION_FAILED, StepStatus.COMPENSATING)
        if half and place.role == STEP and place.node in ids and not definition.step(place.node).children():
            return key
    return ""


def stuck_inside(definition: Runbook, state: RunState) -> str:
    """The key of a step whose run of another runbook was to undo what it did, with this one, and failed; else empty."""
    ids = {step.id for step in _before_the_end(definition)}
    for key, node in state.nodes.items():
        failed = node.run and node.cancelling and (node.error or {}).get("code") == "compensation_failed"
        if failed and Key.parse(key).node in ids:
            return key
    return ""


def _before_the_end(definition: Runbook) -> Iterator[Step]:
    for step in (*definition.steps, *definition.on_failure):
        yield step
        yield from inside(step)


def _reversed(steps: Iterable[Step], state: RunState, iteration: str) -> list[str]:
    ids = {step.id for step in steps if isinstance(step, ActionStep) and step.compensate is not None}
    undoable: list[tuple[int, str]] = []
    for key, node in state.nodes.items():
        place = Key.parse(key)
        if (
            node.status == StepStatus.SUCCEEDED
            and place.node in ids
            and place.role == STEP
            and is_within(place.iteration, iteration)
        ):
            undoable.append((node.ended_n, key))
    return [key for _, key in sorted(undoable, reverse=True)]


def inside(block: Step) -> Iterator[Step]:
    """Every step written inside the block, at any depth."""
    for child in block.children():
        yield child
        yield from inside(child)


def capture(definition: Runbook, key: str, state: RunState, outputs: Json) -> dict[str, Json] | None:
    """The inputs of the step's compensation as they are now, at its completion; None if it has none.

    What cannot be rendered does not undo the success of the step: it is told when compensation is due.
    """
    step = definition.step(Key.parse(key).node)
    if not isinstance(step, ActionStep) or step.compensate is None:
        return None
    context = names(definition, state, key, self={"outputs": outputs}, secrets=masked_secrets(definition))
    try:
        rendered = render(dict(step.compensate.with_), context, path=f"{step.path}.compensate.with")
    except ExpressionError as error:
        return {NOT_CAPTURED: str(error)}
    return {"inputs": rendered}
