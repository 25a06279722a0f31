"""What a transition adds to its run's history, linked to what stands there already, and to the run's own row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from handrail.audit.chain import link, run_event
from handrail.shared.artifacts import shrink
from handrail.shared.statements.writing import Value
from runbooks.engine import events as e
from runbooks.engine.events import Event
from runbooks.engine.state import RunState, run_status
from runbooks.execution.rows import light
from runbooks.models import Run

_STEERING = (e.RunPaused, e.RunResumed, e.CancelRequested, e.RunHandedOver, e.RunReopened)


@dataclass(frozen=True, slots=True)
class Addition:
    """Rows of events, and the columns of the run's row as it will be."""

    entries: list[dict[str, Value]]
    columns: dict[str, Value]


def added(run: Run, state: RunState, events: Sequence[Event], now: datetime) -> Addition:
    """What these events, which have led to ``state``, add; the run in memory stays as it is."""
    n, head = run.history_n, run.history_hash
    entries: list[dict[str, Value]] = []
    for event in events:
        n += 1
        data = {name: shrink(value) for name, value in event.data().items()}
        hashed = link(head, run_event(run.pk, n, event.type, data, event.at))
        entries.append(
            {
                "run_id": run.pk,
                "n": n,
                "type": event.type,
                "data": data,
                "at": event.at,
                "previous_hash": head,
                "hash": hashed,
            }
        )
        head = hashed
    columns: dict[str, Value] = {
        "state": run_status(state, now).value,
        "revision": run.revision + 1,
        "history_n": n,
        "history_hash": head,
    }
    columns |= _rarely(run, state)
    if any(isinstance(event, _STEERING) for event in events):
        columns |= _steered(state, reopened=any(isinstance(event, e.RunReopened) for event in events))
    return Addition(entries, columns)


def _rarely(run: Run, state: RunState) -> dict[str, Value]:
    """The columns that change at the end, at the deadline, or with a stop."""
    changes: dict[str, Value] = {}
    if state.ended:
        changes = {
            "is_open": False,
            "ended_at": state.ended_at,
            "outcome": dict(state.outcome),
            "error": light(state.error),
            "deadline": None,
        }
    elif not _is_timed(state) and run.deadline is not None:
        changes = {"deadline": None}
    if state.cancelling and not run.cancel_requested:
        changes |= {"cancel_requested": True, "cancel_reason": state.cancel_reason[:500]}
    if (state.held, state.held_reason) != (run.held, run.held_reason):
        changes |= {"held": state.held, "held_reason": state.held_reason}
    return changes


def _is_timed(state: RunState) -> bool:
    """Whether the run's deadline still means something: what comes after the main steps takes the time that it takes.

    A row whose deadline is over and means nothing would be looked at in every round of the sweeper, before all others.
    """
    return state.phase == "steps" and not state.timed_out


def _steered(state: RunState, *, reopened: bool) -> dict[str, Value]:
    """The columns that follow from what a person did to the run as a whole."""
    changes: dict[str, Value] = {"stop_how": state.stop_how, "hold_reason": state.hold_reason[:500]}
    if not state.ended:
        changes["deadline"] = state.deadline if _is_timed(state) and not state.paused else None
    if reopened:
        # What it says and keeps from now on is there to be removed once more.
        changes |= {"log_over_at": None, "values_over_at": None}
        changes |= {"cancel_requested": state.cancelling, "cancel_reason": state.cancel_reason[:500]}
        if not state.ended:
            changes |= {"is_open": True, "ended_at": None, "outcome": {}, "error": None}
    return changes
