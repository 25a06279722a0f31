"""Steering a run from outside: what may be done to it as it is now, and why something may not, in words."""

from __future__ import annotations

from datetime import datetime

from runbooks.engine import events as e
from runbooks.engine.compensation import stuck
from runbooks.engine.handover import open_items, remaining
from runbooks.engine.state import UNDO, RunState
from runbooks.engine.transitions import StepStatus
from runbooks.language.definition import Runbook

FREEZE, CANCEL, HAND_OVER = "freeze", "cancel", "hand_over"
WAYS = (FREEZE, CANCEL, UNDO, HAND_OVER)
"""The ways to stop a run."""

PARENT = "the run that started it"
WITH_PARENT = "parent"
"""How a run is paused that is paused because its parent is."""

S = StepStatus


def pause_refusal(state: RunState) -> str:
    """Why this run cannot be paused now, in words; empty if it can."""
    if state.ended:
        return f"The run is over already ({state.status})."
    if state.cancelling:
        return "The run is being stopped: nothing new starts anyway, and its end cannot be held up."
    if state.started_at is None:
        return "The run has not begun: stop it if it shall not."
    if state.items is not None:
        return "The run was handed over: nothing starts any more."
    return "The run is paused already." if state.paused else ""


def resume_refusal(state: RunState) -> str:
    """Why an open run does not go on by a resume, in words; empty if it does."""
    if state.items is not None:
        return "The run was handed over: people do the rest, and it does not go on by itself."
    if state.stop_how == WITH_PARENT:
        return f"It is paused with {PARENT}: resume that one."
    if not state.paused:
        return "The run goes on already." if not state.cancelling else "The run is being stopped."
    return ""


def stop_refusal(definition: Runbook, state: RunState, how: str) -> str:
    """Why the run cannot be stopped in this way now, in words; empty if it can."""
    if state.ended:
        return f"The run is over already ({state.status})."
    if state.cancelling:
        return "The run is being stopped already."
    if state.items is not None:
        return "The run was handed over already: deal with what is on its checklist."
    if state.started_at is None:
        return "" if how == CANCEL else "The run has not begun: it can only be stopped."
    if how == FREEZE:
        return "The run is paused already." if state.paused else ""
    if how == HAND_OVER:
        undoing = any(node.status == S.COMPENSATING for node in state.nodes.values())
        return "A group is being undone: hand over when that is through." if undoing else ""
    if state.phase == "finally":
        return "The run is in its last steps, which always run: there is nothing left to stop."
    if how == UNDO and (key := stuck(definition, state)) and state.node(key).status == S.COMPENSATION_FAILED:
        return f"{key} could not be undone, and what was done before it cannot be undone in order."
    return ""


def stopped(definition: Runbook, state: RunState, how: str, *, by: str, reason: str, at: datetime) -> e.Event:
    """The event of a stop in one of the four ways."""
    if how == FREEZE:
        return e.RunPaused(at=at, by=by, reason=reason, how=FREEZE)
    if how == HAND_OVER:
        return e.RunHandedOver(at=at, by=by, reason=reason, items=remaining(definition, state))
    return e.CancelRequested(at=at, by=by, reason=reason, how=UNDO if how == UNDO else "")


def item_state(state: RunState, key: str) -> str:
    """How an item of the checklist stands: open, busy, unknown, done, skipped or succeeded (by itself)."""
    if key in state.dealt:
        return state.dealt[key]
    status = state.node(key).status
    if status == S.SKIPPED:
        return "skipped"
    return {S.SUCCEEDED: "succeeded", S.EXECUTING: "busy", S.UNCERTAIN: "unknown"}.get(status, "open")


def tick_refusal(state: RunState, key: str) -> str:
    """Why nobody can deal with this item of the checklist now, in words; empty if somebody can."""
    found = item_state(state, key)
    if key in open_items(state) and found == "open" and not state.ended:
        return ""
    if found == "busy":
        return f"{key} still executes: wait for its outcome."
    if found == "unknown":
        return f"Nobody knows what became of {key}: decide that first."
    return f"{key} is {found} already."


def following(state: RunState, *, held: bool, reason: str, at: datetime) -> e.Event | None:
    """What a run does that another one started, when that one is paused (``held``) or not; None for nothing.

    One that has not begun yet waits anyway, and follows when it has.
    """
    if state.ended or state.cancelling or state.started_at is None or held == state.paused:
        return None
    if held:
        return e.RunPaused(at=at, by=PARENT, reason=reason, how=WITH_PARENT)
    return e.RunResumed(at=at, by=PARENT) if state.stop_how == WITH_PARENT else None


def unwanted_refusal(state: RunState) -> str:
    """Why a run is not stopped though the run that started it wants no more of it, in words; empty if it is."""
    if state.ended:
        return f"The run is over already ({state.status})."
    if state.cancelling:
        return "The run is being stopped already."
    if state.items is not None:
        return "The run was handed over: nothing starts any more, and people may have done the rest by hand."
    return "The run is in its last steps, which always run." if state.phase == "finally" else ""
