"""How an event changes what is known: ``apply(state, event) -> state``, and the replay of a whole history."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TypeVar, cast

from runbooks.engine import events as e
from runbooks.engine.state import (
    COMPENSATE,
    PROBE,
    STEP,
    UNDO,
    Key,
    NodeState,
    RunState,
    changed,
    key_of,
)
from runbooks.engine.transitions import (
    STEP_END,
    ImpossibleTransition,
    RunStatus,
    StepStatus,
    check_run,
    check_step,
)

S = StepStatus
EventT = TypeVar("EventT", bound=e.Event)
Change = Callable[[RunState, e.Event], RunState]

NOT_UNDONE = "It was not undone: undoing a later step failed first."
"""Why a step is still done though its group undoes itself."""

CHANGES: dict[type[e.Event], Change] = {}
"""What each kind of event does."""


def changes(kind: type[EventT]) -> Callable[[Callable[[RunState, EventT], RunState]], Change]:
    """Register what an event of this kind does to the state."""

    def register(change: Callable[[RunState, EventT], RunState]) -> Change:
        CHANGES[kind] = cast("Change", change)
        return CHANGES[kind]

    return register


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


def needless_probes(state: RunState, event: e.Event) -> tuple[str, ...]:
    """The keys of the probes whose answers nobody needs after this event, whether they have ended or not."""
    if isinstance(event, e.RunFinished):
        return tuple(key for key in state.nodes if Key.parse(key).role == PROBE)
    if isinstance(event, e.StepProbed | e.StepDecided):
        place = Key.parse(event.key)
        probe = key_of(place.node, place.iteration, PROBE)
        return (probe,) if place.role == STEP and probe in state.nodes else ()
    return ()


def replay(history: Iterable[e.Event], state: RunState | None = None) -> RunState:
    """The state after a history, from the start or from where ``state`` left off."""
    now = state or RunState()
    for event in history:
        now = apply(now, event)
    return now


def _moved(state: RunState, event: e.StepEvent, status: StepStatus, **values: object) -> RunState:
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


def _entered(state: RunState, event: e.StepEvent, deadline: datetime | None, **values: object) -> RunState:
    """The state with the event's block (or run of another runbook) begun."""
    values |= {"started_at": event.at, "deadline": deadline, "due_at": deadline}
    return _moved(state, event, S.EXECUTING, **values)


@changes(e.RunStarted)
def _run_started(state: RunState, event: e.RunStarted) -> RunState:
    return changed(
        state,
        schema=event.schema,
        status=check_run(state.status, RunStatus.RUNNING),
        version_digest=event.version_digest,
        inputs=event.inputs,
        run=event.run,
        alert=event.alert,
        incident=event.incident,
        deadline=event.deadline,
        started_at=event.at,
        pins=event.pins or {},
        start_within=event.start_within,
        held="",
        held_reason="",
    )


@changes(e.RunHeld)
def _run_held(state: RunState, event: e.RunHeld) -> RunState:
    return changed(state, held=event.code, held_reason=event.reason, pins=event.pins or state.pins)


@changes(e.CancelRequested)
def _cancel_requested(state: RunState, event: e.CancelRequested) -> RunState:
    return changed(
        _after_pause(state, event.at) if state.paused else state,
        status=check_run(state.status, RunStatus.CANCELLING),
        cancelling=True,
        cancel_reason=event.reason,
        stop_how=event.how or "cancel",
        hold_reason="",
        paused_at=None,
    )


@changes(e.RunPaused)
def _run_paused(state: RunState, event: e.RunPaused) -> RunState:
    return replace(
        state,
        status=check_run(state.status, RunStatus.PAUSED),
        stop_how=event.how,
        hold_reason=event.reason,
        paused_at=event.at,
    )


@changes(e.RunResumed)
def _run_resumed(state: RunState, event: e.RunResumed) -> RunState:
    if not state.paused or state.items is not None:
        raise ImpossibleTransition("Only a paused run that was not handed over is resumed.")
    return replace(
        _after_pause(state, event.at),
        status=check_run(state.status, RunStatus.RUNNING),
        stop_how="",
        hold_reason="",
        paused_at=None,
    )


def _after_pause(state: RunState, now: datetime) -> RunState:
    """The run without the time of its pause, whether it goes on now, or is stopped and has an undoing to complete."""
    pause = now - (state.paused_at or now)
    nodes = {key: _later(node, pause, now) if node.in_flight else node for key, node in state.nodes.items()}
    deadline = state.deadline + pause if state.deadline is not None else None
    return replace(state, nodes=MappingProxyType(nodes), deadline=deadline)


def _later(node: NodeState, pause: timedelta, now: datetime) -> NodeState:
    """The step after a pause: what may not take too long gets more time, what waits for a moment does not.

    Nobody looked while the run was paused, so a condition is not known to have held, nor what held a step.
    """
    node = replace(node, paused=node.paused + pause.total_seconds(), true_since=None)
    if node.status == S.READY and (node.held or (node.ready_at is not None and node.ready_at < now)):
        # How long it waits for a worker counts from now on.
        node = replace(node, ready_at=now)
        return replace(node, held="", reason="") if node.held else node
    if node.status == S.EXECUTING and not node.attempt and node.deadline is not None:
        return replace(node, deadline=node.deadline + pause, due_at=node.deadline + pause)
    if node.status == S.AWAITING_HUMAN and node.due_at is not None:
        return replace(node, due_at=node.due_at + pause)
    return node


@changes(e.RunUndoing)
def _run_undoing(state: RunState, event: e.RunUndoing) -> RunState:
    return replace(state, phase=UNDO, undoing=tuple(event.order), undo_error=event.error)


@changes(e.RunHandedOver)
def _handed_over(state: RunState, event: e.RunHandedOver) -> RunState:
    return replace(
        state,
        status=check_run(state.status, RunStatus.PAUSED),
        stop_how="hand_over",
        hold_reason=event.reason,
        paused_at=state.paused_at or event.at,
        items=tuple(event.items),
    )


@changes(e.ItemTicked)
def _ticked(state: RunState, event: e.ItemTicked) -> RunState:
    if event.key in state.dealt or event.key not in (state.items or ()):
        raise ImpossibleTransition(f"{event.key} is not on the list, or was dealt with already.")
    return replace(state, dealt=MappingProxyType({**state.dealt, event.key: event.choice}))


@changes(e.RunReopened)
def _reopened(state: RunState, event: e.RunReopened) -> RunState:
    """The run as if what is done again had not happened; the tables of steps do not bind this one act."""
    if not state.ended:
        raise ImpossibleTransition("Only a run that is over is reopened.")
    nodes = dict(state.nodes)
    for key in event.again:
        asked = nodes.pop(key, NodeState()).round
        if asked:
            nodes[key] = NodeState(round=asked)
    for key, limit in event.revived.items():
        moment = datetime.fromisoformat(limit) if isinstance(limit, str) else None
        nodes[key] = replace(
            state.node(key), status=S.EXECUTING, error=None, fatal=False, cancelling=False, order=(),
            deadline=moment, due_at=moment, ended_at=None, ended_n=0,
        )  # fmt: skip
    return replace(
        state,
        status=check_run(state.status, RunStatus.RUNNING),
        phase="steps",
        nodes=MappingProxyType(nodes),
        error=None,
        outcome={},
        cancelling=False,
        cancel_reason="",
        stop_how="",
        undoing=(),
        undo_error=None,
        timed_out=False,
        deadline=event.deadline,
        ended_at=None,
        reopened=state.reopened + 1,
    )


@changes(e.RunTimedOut)
def _run_timed_out(state: RunState, _event: e.RunTimedOut) -> RunState:
    return changed(state, timed_out=True)


@changes(e.PhaseEntered)
def _phase_entered(state: RunState, event: e.PhaseEntered) -> RunState:
    return changed(state, phase=event.phase, error=state.error if event.error is None else event.error)


@changes(e.RunFinished)
def _run_finished(state: RunState, event: e.RunFinished) -> RunState:
    return changed(
        state.without_nodes(needless_probes(state, event)),
        status=check_run(state.status, RunStatus(event.status)),
        outcome=event.outcome,
        error=event.error,
        ended_at=event.at,
    )


@changes(e.StepScheduled)
def _scheduled(state: RunState, event: e.StepScheduled) -> RunState:
    return _moved(
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
    return _moved(state, event, S.READY, held=event.code, reason=event.reason, ready_at=event.ready_at)


@changes(e.StepStarted)
def _started(state: RunState, event: e.StepStarted) -> RunState:
    node = state.node(event.key)
    return _moved(
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
    after = _moved(state, event, S.SUCCEEDED, outputs=event.outputs, error=None, captured=event.compensate)
    return _compensation_ended(after, event, S.COMPENSATED)


@changes(e.StepFailed)
def _failed(state: RunState, event: e.StepFailed) -> RunState:
    status = S.TIMED_OUT if event.timed_out else S.FAILED
    after = _moved(state, event, status, error=event.error, fatal=event.fatal)
    return _compensation_ended(after, event, S.COMPENSATION_FAILED)


def _compensation_ended(state: RunState, event: e.StepEvent, status: StepStatus) -> RunState:
    """The end of a compensation is also the end of the step that it undid."""
    key = Key.parse(event.key)
    if key.role != COMPENSATE:
        return state
    undone = key_of(key.node, key.iteration)
    node = state.node(undone)
    return state.with_node(undone, changed(node, status=check_step(undone, node.status, status)))


@changes(e.StepRetrying)
def _retrying(state: RunState, event: e.StepRetrying) -> RunState:
    return _moved(
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
    return _moved(state, event, S.READY, attempt=event.attempt, crashes=event.crashes, ready_at=event.at)


@changes(e.StepSkipped)
def _skipped(state: RunState, event: e.StepSkipped) -> RunState:
    reason = f"{event.by}: {event.reason}" if event.by else event.reason
    nothing = {"outputs": None, "error": None, "fatal": False, "captured": None} if event.by else {}
    after = _moved(state, event, S.SKIPPED, reason=reason, **nothing)
    return _left_out(after, event.inside, event.reason, event)


def _left_out(state: RunState, keys: Iterable[str], reason: str, event: e.Event) -> RunState:
    """The state with these skipped, too: they stand inside of what the event is about."""
    nodes = dict(state.nodes)
    for key in keys:
        inner = state.node(key)
        check_step(key, inner.status, S.SKIPPED)
        nodes[key] = changed(inner, status=S.SKIPPED, reason=reason, ended_at=event.at, ended_n=state.n + 1)
    return changed(state, nodes=MappingProxyType(nodes))


@changes(e.StepCancelRequested)
def _step_cancel_requested(state: RunState, event: e.StepCancelRequested) -> RunState:
    return _moved(
        state, event, state.node(event.key).status, cancelling=True, reason=event.reason, due_at=None
    )


@changes(e.StepCancelled)
def _cancelled(state: RunState, event: e.StepCancelled) -> RunState:
    after = _moved(state, event, S.CANCELLED, reason=event.reason)
    return _compensation_ended(after, event, S.COMPENSATION_FAILED)


@changes(e.StepUncertain)
def _uncertain(state: RunState, event: e.StepUncertain) -> RunState:
    return _moved(state, event, S.UNCERTAIN, error=event.error, asks_human=not event.probe)


@changes(e.StepProbed)
def _probed(state: RunState, event: e.StepProbed) -> RunState:
    after = state.without_nodes(needless_probes(state, event))
    if event.verdict == "done":
        return _moved(
            after, event, S.SUCCEEDED, outputs=event.outputs, error=None, reason=event.words,
            captured=event.compensate,
        )  # fmt: skip
    if event.verdict == "not_done":
        return _moved(
            after, event, S.READY, reason=event.words, ready_at=event.at, attempt=_next(after, event)
        )
    return _moved(after, event, S.UNCERTAIN, asks_human=True, reason=event.words)


@changes(e.StepDecided)
def _decided(state: RunState, event: e.StepDecided) -> RunState:
    words = f"{event.by}: {event.reason}" if event.reason else event.by
    # An answer from before this decision must not speak for an attempt that comes after it.
    state = state.without_nodes(needless_probes(state, event))
    if event.choice == "done":
        after = _moved(state, event, S.SUCCEEDED, error=None, reason=words, captured=event.compensate)
        return _compensation_ended(after, event, S.COMPENSATED)
    if event.choice == "retry":
        return _moved(
            state, event, S.READY, reason=words, ready_at=event.at, attempt=_next(state, event), crashes=0,
            asks_human=False,
        )  # fmt: skip
    error = state.node(event.key).error or {"code": "uncertain", "message": words}
    after = _moved(state, event, S.FAILED, error=error, reason=words)
    return _compensation_ended(after, event, S.COMPENSATION_FAILED)


def _next(state: RunState, event: e.StepEvent) -> int:
    return state.node(event.key).attempt + 1


@changes(e.TimerStarted)
def _timer_started(state: RunState, event: e.TimerStarted) -> RunState:
    return _moved(state, event, S.WAITING, started_at=event.at, due_at=event.due_at)


@changes(e.Sampled)
def _sampled(state: RunState, event: e.Sampled) -> RunState:
    return _moved(
        state,
        event,
        S.READY if event.next_at else state.node(event.key).status,
        samples=event.n,
        true_since=event.since,
        reason=event.words,
        ready_at=event.next_at,
        outputs=event.outputs,
    )


@changes(e.ApprovalAsked)
def _asked(state: RunState, event: e.ApprovalAsked) -> RunState:
    return _moved(
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
        return _moved(state, event, S.SUCCEEDED, **values)
    code = "approval_expired" if event.decision == "expired" else "rejected"
    who = f" by {event.by}" if event.by else ""
    why = f": {event.reason}" if event.reason else ""
    error = {"code": code, "message": f"The approval was {event.decision}{who}{why}.", "retryable": False}
    return _moved(state, event, S.FAILED, error=error, **values)


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
    return _moved(
        state, event, S.AWAITING_HUMAN, prompt=event.prompt, due_at=event.due_at, started_at=event.at
    )


@changes(e.ManualAnswered)
def _manual_answered(state: RunState, event: e.ManualAnswered) -> RunState:
    words = f"{event.by}: {event.reason}" if event.reason else f"{event.by} confirmed."
    if event.choice == "done":
        return _moved(state, event, S.SUCCEEDED, outputs=event.inputs or None, reason=words)
    error = {"code": "not_done", "message": f"It could not be done. {words}", "retryable": False}
    return _moved(state, event, S.FAILED, error=error, reason=words)


@changes(e.SubrunStarted)
def _subrun_started(state: RunState, event: e.SubrunStarted) -> RunState:
    return _entered(state, event, event.deadline, run=event.run)


@changes(e.SubrunFinished)
def _subrun_finished(state: RunState, event: e.SubrunFinished) -> RunState:
    return _moved(state, event, S(event.status), outputs=event.outputs, error=event.error)


@changes(e.BlockStarted)
def _block_started(state: RunState, event: e.BlockStarted) -> RunState:
    return _entered(state, event, event.deadline)


@changes(e.LoopStarted)
def _loop_started(state: RunState, event: e.LoopStarted) -> RunState:
    return _entered(state, event, event.deadline, items=tuple(event.items))


@changes(e.CaseChosen)
def _case_chosen(state: RunState, event: e.CaseChosen) -> RunState:
    after = _entered(state, event, event.deadline, choice=event.choice, reason=event.words)
    return _left_out(after, event.inside, "Another case was taken.", event)


@changes(e.BlockCompensating)
def _block_compensating(state: RunState, event: e.BlockCompensating) -> RunState:
    after = _moved(state, event, S.COMPENSATING, order=tuple(event.order), error=event.error, due_at=None)
    nodes = dict(after.nodes)
    for key in event.order:
        nodes[key] = changed(nodes[key], status=check_step(key, nodes[key].status, S.COMPENSATING))
    return changed(after, nodes=MappingProxyType(nodes))


@changes(e.BlockFinished)
def _block_finished(state: RunState, event: e.BlockFinished) -> RunState:
    error = event.error if isinstance(event.error, dict) else None
    after = _moved(state, event, S(event.status), error=error, fatal=event.fatal)
    return after if event.status != S.COMPENSATION_FAILED else _given_up(after, event)


def _given_up(state: RunState, event: e.BlockFinished) -> RunState:
    """The undoing has stopped half-way: what it had not come to is still done, and nobody will undo it."""
    nodes = dict(state.nodes)
    for key in state.node(event.key).order:
        if nodes[key].status == S.COMPENSATING:
            nodes[key] = changed(nodes[key], status=S.COMPENSATION_FAILED, reason=NOT_UNDONE)
    return changed(state, nodes=MappingProxyType(nodes))
