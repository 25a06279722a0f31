"""What happens to a step and its calls."""

from __future__ import annotations

from runbooks.engine import events as e
from runbooks.engine.changes.registry import changes, compensation_ended, left_out, moved, needless_probes
from runbooks.engine.state import RunState
from runbooks.engine.transitions import StepStatus

S = StepStatus


@changes(e.StepScheduled)
def _scheduled(state: RunState, event: e.StepScheduled) -> RunState:
    return moved(
        state,
        event,
        S.READY,
        attempt=event.attempt,
        ready_at=event.ready_at,
        asks_human=False,
        started_at=state.node(event.key).started_at or event.at,
    )


@changes(e.StepHeld)
def _held(state: RunState, event: e.StepHeld) -> RunState:
    return moved(state, event, S.READY, held=event.code, reason=event.reason, ready_at=event.ready_at)


@changes(e.StepStarted)
def _started(state: RunState, event: e.StepStarted) -> RunState:
    node = state.node(event.key)
    return moved(
        state,
        event,
        S.EXECUTING,
        attempt=event.attempt,
        started_at=node.started_at or event.at,
        deadline=event.deadline or node.deadline,
        ready_at=None,
    )


@changes(e.StepSucceeded)
def _succeeded(state: RunState, event: e.StepSucceeded) -> RunState:
    after = moved(state, event, S.SUCCEEDED, outputs=event.outputs, error=None, captured=event.compensate)
    return compensation_ended(after, event, S.COMPENSATED)


@changes(e.StepFailed)
def _failed(state: RunState, event: e.StepFailed) -> RunState:
    status = S.TIMED_OUT if event.timed_out else S.FAILED
    after = moved(state, event, status, error=event.error, fatal=event.fatal)
    return compensation_ended(after, event, S.COMPENSATION_FAILED)


@changes(e.StepRetrying)
def _retrying(state: RunState, event: e.StepRetrying) -> RunState:
    return moved(
        state,
        event,
        S.READY,
        attempt=event.attempt,
        error=event.error,
        ready_at=event.ready_at,
        deadline=None,
    )


@changes(e.StepCrashed)
def _crashed(state: RunState, event: e.StepCrashed) -> RunState:
    return moved(state, event, S.READY, attempt=event.attempt, crashes=event.crashes, ready_at=event.at)


@changes(e.StepSkipped)
def _skipped(state: RunState, event: e.StepSkipped) -> RunState:
    reason = f"{event.by}: {event.reason}" if event.by else event.reason
    nothing = {"outputs": None, "error": None, "fatal": False, "captured": None} if event.by else {}
    after = moved(state, event, S.SKIPPED, reason=reason, **nothing)
    return left_out(after, event.inside, event.reason, event)


@changes(e.StepCancelRequested)
def _step_cancel_requested(state: RunState, event: e.StepCancelRequested) -> RunState:
    return moved(
        state, event, state.node(event.key).status, cancelling=True, reason=event.reason, due_at=None
    )


@changes(e.StepCancelled)
def _cancelled(state: RunState, event: e.StepCancelled) -> RunState:
    after = moved(state, event, S.CANCELLED, reason=event.reason)
    return compensation_ended(after, event, S.COMPENSATION_FAILED)


@changes(e.StepUncertain)
def _uncertain(state: RunState, event: e.StepUncertain) -> RunState:
    return moved(state, event, S.UNCERTAIN, error=event.error, asks_human=not event.probe)


@changes(e.StepProbed)
def _probed(state: RunState, event: e.StepProbed) -> RunState:
    after = state.without_nodes(needless_probes(state, event))
    if event.verdict == "done":
        return moved(
            after, event, S.SUCCEEDED, outputs=event.outputs, error=None, reason=event.words,
            captured=event.compensate,
        )  # fmt: skip
    if event.verdict == "not_done":
        return moved(
            after, event, S.READY, reason=event.words, ready_at=event.at, attempt=_next(after, event)
        )
    return moved(after, event, S.UNCERTAIN, asks_human=True, reason=event.words)


@changes(e.StepDecided)
def _decided(state: RunState, event: e.StepDecided) -> RunState:
    words = f"{event.by}: {event.reason}" if event.reason else event.by
    # An answer from before this decision must not speak for an attempt that comes after it.
    state = state.without_nodes(needless_probes(state, event))
    if event.choice == "done":
        after = moved(state, event, S.SUCCEEDED, error=None, reason=words, captured=event.compensate)
        return compensation_ended(after, event, S.COMPENSATED)
    if event.choice == "retry":
        return moved(
            state, event, S.READY, reason=words, ready_at=event.at, attempt=_next(state, event), crashes=0,
            asks_human=False,
        )  # fmt: skip
    error = state.node(event.key).error or {"code": "uncertain", "message": words}
    after = moved(state, event, S.FAILED, error=error, reason=words)
    return compensation_ended(after, event, S.COMPENSATION_FAILED)


def _next(state: RunState, event: e.StepEvent) -> int:
    return state.node(event.key).attempt + 1


@changes(e.TimerStarted)
def _timer_started(state: RunState, event: e.TimerStarted) -> RunState:
    return moved(state, event, S.WAITING, started_at=event.at, due_at=event.due_at)


@changes(e.Sampled)
def _sampled(state: RunState, event: e.Sampled) -> RunState:
    return moved(
        state,
        event,
        S.READY if event.next_at else state.node(event.key).status,
        samples=event.n,
        true_since=event.since,
        reason=event.words,
        ready_at=event.next_at,
        outputs=event.outputs,
    )
