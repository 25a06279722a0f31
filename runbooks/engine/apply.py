"""How an event changes what is known: ``apply(state, event) -> state``, and the replay of a whole history."""

from __future__ import annotations

from collections.abc import Iterable

from runbooks.engine import events as e
from runbooks.engine.changes import CHANGES
from runbooks.engine.state import RunState, changed
from runbooks.engine.transitions import ImpossibleTransition


def apply(state: RunState, event: e.Event) -> RunState:
    """The state after the event. Raises :class:`ImpossibleTransition` for a history that cannot be."""
    if state.ended and not isinstance(event, e.StepDecided | e.RunReopened):
        raise ImpossibleTransition(f"The run is over ({state.status}); {event.type} cannot follow.")
    if not _may_follow(state, event):
        raise ImpossibleTransition(
            "A history begins with run.started, once; before it there is only run.held, or the end."
        )
    after = CHANGES[type(event)](state, event)
    return changed(after, n=state.n + 1)


def _may_follow(state: RunState, event: e.Event) -> bool:
    """Whether the event may stand at this place: before the run has begun, or after."""
    if state.started_at is not None:
        return not isinstance(event, e.RunStarted | e.RunHeld)
    ends_held = state.n > 0 and isinstance(event, e.CancelRequested | e.RunFinished)
    return ends_held or isinstance(event, e.RunStarted | e.RunHeld)


def replay(history: Iterable[e.Event], state: RunState | None = None) -> RunState:
    """The state after a history, from the start or from where ``state`` left off."""
    now = state or RunState()
    for event in history:
        now = apply(now, event)
    return now
