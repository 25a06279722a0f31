"""What happens to a run as a whole."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType

from runbooks.engine import events as e
from runbooks.engine.changes.registry import changes, needless_probes
from runbooks.engine.state import UNDO, NodeState, RunState, changed
from runbooks.engine.transitions import ImpossibleTransition, RunStatus, StepStatus, check_run

S = StepStatus


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
