"""Resuming a run that is over: what is done again, which blocks are open once more, and when that cannot be right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from runbooks.engine.compensation import inside
from runbooks.engine.flow import stops
from runbooks.engine.state import (
    COMPENSATE,
    PROBE,
    STEP,
    Key,
    NodeState,
    RunState,
    deeper,
    is_within,
    key_of,
)
from runbooks.engine.transitions import RunStatus, StepStatus
from runbooks.language.definition import ActionStep, ApprovalStep, ForEachStep, Json, Runbook, Step

S = StepStatus


@dataclass(frozen=True, slots=True)
class Reopening:
    """``refusal``: why it cannot be resumed, in words; else what is forgotten, and the blocks that are open again."""

    refusal: str = ""
    again: list[str] = field(default_factory=list)
    revived: dict[str, Json] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A step or item that was begun. ``around``: the keys of the blocks it is in; ``passed``: one was passed."""

    key: str
    step: Step
    node: NodeState
    around: tuple[str, ...]
    passed: bool

    @property
    def is_block(self) -> bool:
        """Whether it was entered; one that failed before that is done again like any other step."""
        return bool(self.step.children()) and self.node.started_at is not None


def reopening(definition: Runbook, state: RunState, now: datetime) -> Reopening:
    """What resuming this run means: succeeded results stay; it goes on from the steps at which it stopped.

    An approval whose guarded step is still to come is asked anew: the answer was for then. Steps of `on_failure`
    and `finally` are forgotten, whether they succeeded or not: they are for after what runs now.
    """
    refusal = _refusal(definition, state)
    if refusal:
        return Reopening(refusal)
    pieces = list(_begun(definition.steps, state, "", (), passed=False))
    undone = set(state.undoing)
    again = {piece.key: piece for piece in pieces if _is_again(piece, undone)}
    for piece in pieces:
        if isinstance(piece.step, ApprovalStep) and _guards(definition, state, piece, again):
            again[piece.key] = piece
    blocks = {key for piece in again.values() for key in piece.around}
    blocks |= {piece.key for piece in pieces if piece.is_block and not piece.passed and _stopped(piece)}
    later = {
        step.id for top in (*definition.on_failure, *definition.finally_) for step in (top, *inside(top))
    }
    forgotten = [
        key for key in state.nodes if key in again or _base(key) in again or Key.parse(key).node in later
    ]
    return Reopening(
        again=forgotten,
        revived={piece.key: _deadline(piece, now) for piece in pieces if piece.key in blocks},
        kept=[
            piece.key
            for piece in pieces
            if piece.node.status == S.SUCCEEDED and not piece.is_block and piece.key not in again
        ],
    )


def _refusal(definition: Runbook, state: RunState) -> str:
    if not state.ended:
        return "The run is not over: there is nothing to resume it from."
    if state.status == RunStatus.SUCCEEDED:
        return "The run succeeded: there is nothing to resume. Start it again instead."
    if state.started_at is None:
        return "The run never began: start a new one instead."
    if state.items is not None:
        return "The run was handed over, and people finished it: start a new one instead."
    for key, node in state.nodes.items():
        if node.status == S.UNCERTAIN:
            return f"Nobody knows what became of {key}: decide that first, then resume."
        half = node.status in (S.COMPENSATING, S.COMPENSATION_FAILED)
        if half and not definition.step(Key.parse(key).node).children():
            return f"{key} could not be undone, so nobody knows what to keep: undo it by hand, then start a new run."
    return ""


def _begun(
    steps: Sequence[Step], state: RunState, iteration: str, around: tuple[str, ...], *, passed: bool
) -> Iterator[_Piece]:
    """Everything that was begun and not left out, with the blocks around it."""
    for step in steps:
        key = key_of(step.id, iteration)
        node = state.node(key)
        if node.status in (S.PENDING, S.SKIPPED):
            continue
        yield _Piece(key, step, node, around, passed)
        inner = passed or (node.ended and not stops(step, node))
        if not isinstance(step, ForEachStep):
            yield from _begun(step.children(), state, iteration, (*around, key), passed=inner)
            continue
        for n in range(len(node.items or ())):
            place = deeper(iteration, n)
            item = state.node(key_of(step.id, place))
            if item.status == S.PENDING:
                continue
            yield _Piece(key_of(step.id, place), step, item, (*around, key), inner)
            deep = (*around, key, key_of(step.id, place))
            done = inner or item.status == S.SUCCEEDED
            yield from _begun(step.steps, state, place, deep, passed=done)


def _is_again(piece: _Piece, undone: set[str]) -> bool:
    """Whether the run stopped at this step; what it went on without stays as it is, unless the stop undid it."""
    if piece.is_block:
        return False
    return piece.key in undone or (not piece.passed and _stopped(piece))


def _stopped(piece: _Piece) -> bool:
    """Whether it ended so that nothing after it ran."""
    return piece.node.ended and (piece.node.status == S.COMPENSATED or stops(piece.step, piece.node))


def _guards(definition: Runbook, state: RunState, piece: _Piece, again: dict[str, _Piece]) -> bool:
    """Whether an approval was given for a step that is still to come, or denied to one that is done again."""
    if not isinstance(piece.step, ApprovalStep) or not piece.node.decision:
        return False
    approved = piece.node.decision == "approved"
    iteration = Key.parse(piece.key).iteration
    for guard in piece.step.guards:
        for step in (definition.step(guard), *inside(definition.step(guard))):
            if not isinstance(step, ActionStep):
                continue
            found = [
                key
                for key in state.nodes
                if (place := Key.parse(key)).node == step.id
                and place.role == STEP
                and is_within(place.iteration, iteration)
            ]
            if (approved and not found) or any(key in again for key in found):
                return True
    return False


def _base(key: str) -> str:
    """The step to which a probe or a compensation belongs."""
    place = Key.parse(key)
    return key_of(place.node, place.iteration) if place.role in (COMPENSATE, PROBE) else key


def _deadline(piece: _Piece, now: datetime) -> Json:
    """When a block that is open again is over its time; an item of a loop has none of its own."""
    is_item = isinstance(piece.step, ForEachStep) and piece.node.items is None
    if piece.step.timeout is None or is_item:
        return None
    return (now + timedelta(seconds=piece.step.timeout)).isoformat()
