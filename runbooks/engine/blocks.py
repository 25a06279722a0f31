"""Blocks: steps that hold steps. Each kind is one function; a new kind is one more line in :data:`BLOCKS`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from runbooks.engine import events as e
from runbooks.engine.commands import start_of
from runbooks.engine.compensation import order
from runbooks.engine.flow import Flow, Halt, error_of, stops
from runbooks.engine.frames import entered, finished, late, timeout_error, told_to_stop, withdraw
from runbooks.engine.loops import for_each
from runbooks.engine.planning import Block, Planner
from runbooks.engine.state import COMPENSATE, Key, NodeState, key_of
from runbooks.engine.switch import switch
from runbooks.engine.transitions import StepStatus
from runbooks.language.definition import ActionStep, ForEachStep, GroupStep, ParallelStep, Step, SwitchStep

S = StepStatus


def group(planner: Planner, step: Step, halt: Halt | None) -> Flow:
    """Steps in order; when one fails, what was done may be undone."""
    node = entered(planner, step)
    if node.status == S.COMPENSATING:
        return _compensate(planner, step)
    over = late(planner, node)
    flow = planner.sequence(step.children(), halt or over)
    if flow is Flow.OPEN:
        return Flow.OPEN
    if over is None:
        halt = halt or told_to_stop(planner, step.children())
    if halt is not None:
        return finished(planner, step, S.CANCELLED, error_of("cancelled", halt.reason))
    if flow is Flow.PASSED:
        return finished(planner, step, S.SUCCEEDED, None)
    error = timeout_error(step) if over else planner.failure_of(step.children())
    if isinstance(step, GroupStep) and step.on_failure.compensate:
        undo = order(step, planner.state, planner.iteration)
        planner.record(e.BlockCompensating(at=planner.now, key=planner.key(step), order=undo, error=error))
        return _compensate(planner, step)
    return finished(planner, step, S.TIMED_OUT if over else S.FAILED, error)


def parallel(planner: Planner, step: Step, halt: Halt | None) -> Flow:
    """Branches side by side, at most ``concurrency`` at once."""
    node = entered(planner, step)
    over = late(planner, node)
    stop = halt or over
    branches = step.children()
    limit = step.concurrency if isinstance(step, ParallelStep) and step.concurrency else len(branches)
    open_branches = _follow_branches(planner, branches, stop)
    if stop is None:
        stop = _sibling_failed(planner, step)
        if stop is not None:
            # Another branch may have gone on a moment ago, in this very walk.
            withdraw(planner, branches)
            open_branches = _follow_branches(planner, branches, stop)
    if stop is None:
        waiting, started = _start_branches(planner, step, limit - open_branches)
        open_branches += started + waiting
        stop = _sibling_failed(planner, step)
        if stop is not None:
            withdraw(planner, branches)
            open_branches = _follow_branches(planner, branches, stop)
    if open_branches:
        return Flow.OPEN
    return _parallel_ended(planner, step, halt, over)


def _follow_branches(planner: Planner, branches: Sequence[Step], stop: Halt | None) -> int:
    """Take the branches that were begun as far as they go; how many of them are open."""
    begun = [branch for branch in branches if planner.node(branch).status != S.PENDING]
    return sum(planner.visit(branch, stop) is Flow.OPEN for branch in begun)


def _start_branches(planner: Planner, step: Step, free: int) -> tuple[int, int]:
    """Start pending branches while places are free: ``(still pending, open now)``."""
    waiting = started = 0
    for branch in step.children():
        if planner.node(branch).status != S.PENDING:
            continue
        if started >= free:
            waiting += 1
        elif planner.visit(branch, None) is Flow.OPEN:
            started += 1
        elif _sibling_failed(planner, step) is not None:
            break
    return waiting, started


def _sibling_failed(planner: Planner, step: Step) -> Halt | None:
    """Why the other branches stop: one failed and the block fails fast, or one ends the run."""
    fast = isinstance(step, ParallelStep) and step.fail_fast
    for branch in step.children():
        node = planner.node(branch)
        if node.ended and stops(branch, node) and (fast or node.fatal):
            return Halt(f"The branch {branch.id} failed.")
    return None


def _parallel_ended(planner: Planner, step: Step, halt: Halt | None, over: Halt | None) -> Flow:
    if halt is not None:
        return finished(planner, step, S.CANCELLED, error_of("cancelled", halt.reason))
    if over is not None:
        return finished(planner, step, S.TIMED_OUT, timeout_error(step))
    failed = [b for b in step.children() if _has_failed(b, planner.node(b))]
    if not failed:
        return finished(planner, step, S.SUCCEEDED, None)
    # The branch that failed explains more than one that was cancelled because of it.
    failed.sort(key=lambda branch: planner.node(branch).status == S.CANCELLED)
    return finished(planner, step, S.FAILED, planner.failure_of(failed))


def _has_failed(branch: Step, node: NodeState) -> bool:
    return node.ended and stops(branch, node)


def _compensate(planner: Planner, step: Step) -> Flow:
    """Undo the completed steps one after another. A stop of the run does not stop this half-way."""
    node = planner.node(step)
    for undone in node.order:
        place = Key.parse(undone)
        key = key_of(place.node, place.iteration, COMPENSATE)
        work = planner.state.node(key)
        if work.status == S.PENDING:
            planner.commands.append(start_of(key, _action(planner, place.node)))
            return Flow.OPEN
        if not work.ended and not planner.give_up_waiting(key, _action(planner, place.node)):
            return Flow.OPEN
        work = planner.state.node(key)
        if work.status != S.SUCCEEDED:
            error = {**(work.error or error_of("failed", "It could not be undone.")), "step": undone}
            return finished(planner, step, S.COMPENSATION_FAILED, error)
    return finished(planner, step, S.COMPENSATED, node.error)


def _action(planner: Planner, step_id: str) -> ActionStep:
    step = planner.definition.step(step_id)
    if not isinstance(step, ActionStep):
        raise TypeError(f"The step {step_id} is a {step.kind} and cannot be undone.")
    return step


BLOCKS: Mapping[str, Block] = {
    ForEachStep.kind: for_each,
    GroupStep.kind: group,
    ParallelStep.kind: parallel,
    SwitchStep.kind: switch,
}
"""The kinds of steps that hold steps."""
