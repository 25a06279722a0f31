"""What each kind of event does to the state is registered here; and what several of them do alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from types import MappingProxyType
from typing import TypeVar, cast

from runbooks.engine import events as e
from runbooks.engine.state import COMPENSATE, PROBE, STEP, Key, RunState, changed, key_of
from runbooks.engine.transitions import STEP_END, StepStatus, check_step

S = StepStatus
EventT = TypeVar("EventT", bound=e.Event)
Change = Callable[[RunState, e.Event], RunState]

CHANGES: dict[type[e.Event], Change] = {}
"""What each kind of event does."""


def changes(kind: type[EventT]) -> Callable[[Callable[[RunState, EventT], RunState]], Change]:
    """Register what an event of this kind does to the state."""

    def register(change: Callable[[RunState, EventT], RunState]) -> Change:
        CHANGES[kind] = cast("Change", change)
        return CHANGES[kind]

    return register


def moved(state: RunState, event: e.StepEvent, status: StepStatus, **values: object) -> RunState:
    """The state with the event's step in ``status``; the end of a step gets its time and place."""
    node = state.node(event.key)
    check_step(event.key, node.status, status)
    before: dict[str, object] = {}
    if node.held:
        # Why it was held is over with the hold, unless this is another one.
        before = {"held": "", "reason": ""}
    if status in STEP_END:
        before |= {"ended_at": event.at, "ended_n": state.n + 1}
        before |= {"ready_at": None, "due_at": None, "asks_human": False}
    return state.with_node(event.key, changed(node, status=status, **before | values))


def entered(state: RunState, event: e.StepEvent, deadline: datetime | None, **values: object) -> RunState:
    """The state with the event's block (or run of another runbook) begun."""
    values |= {"started_at": event.at, "deadline": deadline, "due_at": deadline}
    return moved(state, event, S.EXECUTING, **values)


def compensation_ended(state: RunState, event: e.StepEvent, status: StepStatus) -> RunState:
    """The end of a compensation is also the end of the step that it undid."""
    key = Key.parse(event.key)
    if key.role != COMPENSATE:
        return state
    undone = key_of(key.node, key.iteration)
    node = state.node(undone)
    return state.with_node(undone, changed(node, status=check_step(undone, node.status, status)))


def left_out(state: RunState, keys: Iterable[str], reason: str, event: e.Event) -> RunState:
    """The state with these skipped, too: they stand inside of what the event is about."""
    nodes = dict(state.nodes)
    for key in keys:
        inner = state.node(key)
        check_step(key, inner.status, S.SKIPPED)
        nodes[key] = changed(inner, status=S.SKIPPED, reason=reason, ended_at=event.at, ended_n=state.n + 1)
    return changed(state, nodes=MappingProxyType(nodes))


def needless_probes(state: RunState, event: e.Event) -> tuple[str, ...]:
    """The keys of the probes whose answers nobody needs after this event, whether they have ended or not."""
    if isinstance(event, e.RunFinished):
        return tuple(key for key in state.nodes if Key.parse(key).role == PROBE)
    if isinstance(event, e.StepProbed | e.StepDecided):
        place = Key.parse(event.key)
        probe = key_of(place.node, place.iteration, PROBE)
        return (probe,) if place.role == STEP and probe in state.nodes else ()
    return ()
