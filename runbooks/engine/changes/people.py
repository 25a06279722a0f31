"""What people are asked, and what they answer."""

from __future__ import annotations

from runbooks.engine import events as e
from runbooks.engine.changes.registry import changes, moved
from runbooks.engine.state import NodeState, RunState
from runbooks.engine.transitions import StepStatus, check_step

S = StepStatus


@changes(e.ApprovalAsked)
def _asked(state: RunState, event: e.ApprovalAsked) -> RunState:
    return moved(
        state,
        event,
        S.AWAITING_APPROVAL,
        approval=event.approval,
        digest=event.digest,
        round=event.round,
        undecided=tuple(event.undecided),
        due_at=event.expires_at,
        started_at=state.node(event.key).started_at or event.at,
    )


@changes(e.ApprovalDecided)
def _approval_decided(state: RunState, event: e.ApprovalDecided) -> RunState:
    values: dict[str, object] = {"decision": event.decision, "outputs": event.inputs, "reason": event.reason}
    if event.goes_on:
        return moved(state, event, S.SUCCEEDED, **values)
    code = "approval_expired" if event.decision == "expired" else "rejected"
    who = f" by {event.by}" if event.by else ""
    why = f": {event.reason}" if event.reason else ""
    error = {"code": code, "message": f"The approval was {event.decision}{who}{why}.", "retryable": False}
    return moved(state, event, S.FAILED, error=error, **values)


@changes(e.ApprovalVoided)
def _voided(state: RunState, event: e.ApprovalVoided) -> RunState:
    """Back to the question: the approval is open again, and the step that it guards has not begun."""
    asked = state.node(event.key)
    check_step(event.key, asked.status, S.PENDING)
    again = state.with_node(
        event.key, NodeState(round=asked.round, reason=event.reason, started_at=asked.started_at)
    )
    guarded = state.node(event.guarded)
    if event.guarded and guarded.in_flight:
        check_step(event.guarded, guarded.status, S.PENDING)
        again = again.without_nodes([event.guarded])
    return again


@changes(e.ManualAsked)
def _manual_asked(state: RunState, event: e.ManualAsked) -> RunState:
    return moved(
        state, event, S.AWAITING_HUMAN, prompt=event.prompt, due_at=event.due_at, started_at=event.at
    )


@changes(e.ManualAnswered)
def _manual_answered(state: RunState, event: e.ManualAnswered) -> RunState:
    words = f"{event.by}: {event.reason}" if event.reason else f"{event.by} confirmed."
    if event.choice == "done":
        return moved(state, event, S.SUCCEEDED, outputs=event.inputs or None, reason=words)
    error = {"code": "not_done", "message": f"It could not be done. {words}", "retryable": False}
    return moved(state, event, S.FAILED, error=error, reason=words)
