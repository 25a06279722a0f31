"""What happens to blocks, loops, cases, and runs of other runbooks."""

from __future__ import annotations

from types import MappingProxyType

from runbooks.engine import events as e
from runbooks.engine.changes.registry import changes, entered, left_out, moved
from runbooks.engine.state import RunState, changed
from runbooks.engine.transitions import StepStatus, check_step

S = StepStatus

NOT_UNDONE = "It was not undone: undoing a later step failed first."
"""Why a step is still done though its group undoes itself."""


@changes(e.SubrunStarted)
def _subrun_started(state: RunState, event: e.SubrunStarted) -> RunState:
    return entered(state, event, event.deadline, run=event.run)


@changes(e.SubrunFinished)
def _subrun_finished(state: RunState, event: e.SubrunFinished) -> RunState:
    return moved(state, event, S(event.status), outputs=event.outputs, error=event.error)


@changes(e.BlockStarted)
def _block_started(state: RunState, event: e.BlockStarted) -> RunState:
    return entered(state, event, event.deadline)


@changes(e.LoopStarted)
def _loop_started(state: RunState, event: e.LoopStarted) -> RunState:
    return entered(state, event, event.deadline, items=tuple(event.items))


@changes(e.CaseChosen)
def _case_chosen(state: RunState, event: e.CaseChosen) -> RunState:
    after = entered(state, event, event.deadline, choice=event.choice, reason=event.words)
    return left_out(after, event.inside, "Another case was taken.", event)


@changes(e.BlockCompensating)
def _block_compensating(state: RunState, event: e.BlockCompensating) -> RunState:
    after = moved(state, event, S.COMPENSATING, order=tuple(event.order), error=event.error, due_at=None)
    nodes = dict(after.nodes)
    for key in event.order:
        nodes[key] = changed(nodes[key], status=check_step(key, nodes[key].status, S.COMPENSATING))
    return changed(after, nodes=MappingProxyType(nodes))


@changes(e.BlockFinished)
def _block_finished(state: RunState, event: e.BlockFinished) -> RunState:
    error = event.error if isinstance(event.error, dict) else None
    after = moved(state, event, S(event.status), error=error, fatal=event.fatal)
    return after if event.status != S.COMPENSATION_FAILED else _given_up(after, event)


def _given_up(state: RunState, event: e.BlockFinished) -> RunState:
    """The undoing has stopped half-way: what it had not come to is still done, and nobody will undo it."""
    nodes = dict(state.nodes)
    for key in state.node(event.key).order:
        if nodes[key].status == S.COMPENSATING:
            nodes[key] = changed(nodes[key], status=S.COMPENSATION_FAILED, reason=NOT_UNDONE)
    return changed(state, nodes=MappingProxyType(nodes))
