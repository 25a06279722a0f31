"""A run that is handed over to people: what is left of it, and when they have dealt with all of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Protocol

from runbooks.engine import events as e
from runbooks.engine.flow import error_of, stops
from runbooks.engine.state import RunState, deeper, key_of
from runbooks.engine.transitions import StepStatus
from runbooks.language.definition import ForEachStep, Runbook, Step, SwitchStep

S = StepStatus
REASON = "The run was handed over to people."


class Walk(Protocol):
    """What is needed of the planner."""

    definition: Runbook
    now: datetime

    @property
    def state(self) -> RunState:
        """The run as it is by now."""
        ...

    def record(self, event: e.Event) -> None:
        """Decide something."""
        ...


def remaining(definition: Runbook, state: RunState) -> list[str]:
    """The keys of what is left to do, in the order as written: each step that has no good end yet.

    A loop or a switch that was not begun is one item, and so is an item of a loop that was not.
    """
    before = {"steps": definition.steps, "on_failure": definition.on_failure}.get(state.phase, ())
    return [*_left(before, state, ""), *_left(definition.finally_, state, "")]


def _left(steps: Sequence[Step], state: RunState, iteration: str) -> Iterator[str]:
    for step in steps:
        key = key_of(step.id, iteration)
        node = state.node(key)
        begun = node.status != S.PENDING
        if step.disabled or (node.ended and not stops(step, node)):
            continue
        if not step.children() or (not begun and isinstance(step, ForEachStep | SwitchStep)):
            yield key
        elif isinstance(step, SwitchStep):
            yield from _left(step.lists()[node.choice or 0][1], state, iteration)
        elif isinstance(step, ForEachStep):
            yield from _left_of_loop(step, state, iteration)
        else:
            yield from _left(step.children(), state, iteration)


def _left_of_loop(step: ForEachStep, state: RunState, iteration: str) -> Iterator[str]:
    for n in range(len(state.node(key_of(step.id, iteration)).items or ())):
        place = deeper(iteration, n)
        item = state.node(key_of(step.id, place))
        if item.status == S.PENDING:
            yield key_of(step.id, place)
        elif item.status != S.SUCCEEDED:
            yield from _left(step.steps, state, place)


def open_items(state: RunState) -> list[str]:
    """The items that nobody has dealt with, and that did not come to a good end by themselves."""
    good = (S.SUCCEEDED, S.SKIPPED)
    return [key for key in state.items or () if key not in state.dealt and state.node(key).status not in good]


def leave_to_people(walk: Walk) -> bool:
    """Stop waiting for what is in flight; whether the run can end: nothing executes, nothing is left open."""
    for key, node in list(walk.state.nodes.items()):
        step = walk.definition.step(key.partition("[")[0].partition("/")[0])
        if not node.in_flight or step.children() or node.status == S.UNCERTAIN:
            continue
        if node.status != S.EXECUTING:
            walk.record(e.StepCancelled(at=walk.now, key=key, reason=REASON))
        elif node.run and not node.cancelling:
            walk.record(e.StepCancelRequested(at=walk.now, key=key, reason=REASON))
    busy = any(
        node.status == S.EXECUTING and (node.attempt or node.run) for node in walk.state.nodes.values()
    )
    if busy or open_items(walk.state):
        return False
    for key, node in list(walk.state.nodes.items()):
        if node.status == S.EXECUTING:
            error = error_of("handed_over", REASON)
            walk.record(e.BlockFinished(at=walk.now, key=key, status=S.CANCELLED.value, error=error))
    return True


def dealt_in_words(state: RunState) -> str:
    """How the rest was dealt with: ``Handed over: 3 steps done by hand, 1 left out.``"""
    done = sum(choice == "done" for choice in state.dealt.values())
    left_out = len(state.dealt) - done
    steps = "step" if done == 1 else "steps"
    return f"Handed over: {done} {steps} done by hand, {left_out} left out."
