"""A run so far, as the invariants judge it, and what they ask about the shape of its runbook."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from runbooks.engine import events as e
from runbooks.engine.commands import StartStep, start_of
from runbooks.engine.compensation import inside
from runbooks.engine.outcomes import is_repeatable
from runbooks.engine.state import STEP, Key, NodeState, RunState, key_of
from runbooks.language.definition import ForEachStep, ParallelStep, Runbook, Step

BEGINS = (e.StepScheduled, e.StepStarted, e.TimerStarted, e.ApprovalAsked, e.ManualAsked, e.SubrunStarted)
BEGINS_BLOCK = (e.BlockStarted, e.LoopStarted, e.CaseChosen)


class Broken(AssertionError):
    """An invariant does not hold."""


@dataclass(frozen=True, slots=True)
class Course:
    """A run so far: its history, the state after each event, and which of the events the plan itself decided."""

    definition: Runbook
    history: list[e.Event]
    states: list[RunState]
    planned: list[e.Event]
    now: datetime

    @property
    def state(self) -> RunState:
        """The run as it is now."""
        return self.states[-1]

    def moments(self) -> Iterator[tuple[e.Event, RunState, RunState]]:
        """Each event with the state before and after it."""
        before = RunState()
        for event, after in zip(self.history, self.states, strict=True):
            yield event, before, after
            before = after


def hold(holds: bool, words: str) -> None:
    if not holds:
        raise Broken(words)


# The shape of the runbook ---------------------------------------------------------------------


def step_of(course: Course, key: str) -> Step:
    return course.definition.step(Key.parse(key).node)


def command_of(definition: Runbook, key: str) -> StartStep:
    """The call that a key names."""
    return start_of(key, definition.step(Key.parse(key).node))


def may_be_repeated(course: Course, key: str) -> bool:
    return is_repeatable(command_of(course.definition, key))


def phase_of(course: Course, key: str) -> str:
    node = Key.parse(key).node
    definition = course.definition
    for phase, steps in (("on_failure", definition.on_failure), ("finally", definition.finally_)):
        if any(node == one.id for step in steps for one in (step, *inside(step))):
            return phase
    return "steps"


def around(course: Course, key: str) -> list[str]:
    """The keys of the blocks and items in which a piece of work stands."""
    place = Key.parse(key)
    found: list[str] = []
    indices = place.iteration.split(".") if place.iteration else []
    for step in course.definition.walk():
        if not step.children() or not any(inner.id == place.node for inner in inside(step)):
            continue
        depth = len(course.definition.places[step.id].loops)
        found.append(key_of(step.id, ".".join(indices[:depth])))
        if isinstance(step, ForEachStep):
            found.append(key_of(step.id, ".".join(indices[: depth + 1])))
    return found


def limited(course: Course, step: Step, state: RunState) -> Iterator[tuple[str, int, list[str]]]:
    """Each entered block that has a limit: ``(its key, the limit, the keys of its branches or items)``."""
    if not isinstance(step, ParallelStep | ForEachStep):
        return
    by_place: dict[str, list[str]] = defaultdict(list)
    depth = len(course.definition.places[step.id].loops)
    ids = {step.id} if isinstance(step, ForEachStep) else {child.id for child in step.children()}
    for key in state.nodes:
        place = Key.parse(key)
        indices = place.iteration.split(".") if place.iteration else []
        if place.node in ids and place.role == STEP and len(indices) == depth + isinstance(step, ForEachStep):
            by_place[".".join(indices[:depth])].append(key)
    limit = step.concurrency or len(step.children())
    for iteration, keys in by_place.items():
        yield key_of(step.id, iteration), limit, keys


def in_flight(state: RunState) -> dict[str, NodeState]:
    """What has begun and has no outcome."""
    return {key: node for key, node in state.nodes.items() if node.in_flight}
