"""A person leaves a step out: which may be, and why another may not."""

from __future__ import annotations

from runbooks.engine.compensation import inside
from runbooks.engine.state import STEP, Key, RunState, key_of
from runbooks.engine.transitions import StepStatus
from runbooks.language.definition import ApprovalStep, ForEachStep, Runbook, Step

S = StepStatus
_PHASES = ("steps", "on_failure", "undo", "finally")
_ALLOWED = (S.PENDING, S.READY, S.WAITING, S.AWAITING_HUMAN, S.FAILED, S.TIMED_OUT)


def refusal(definition: Runbook, state: RunState, key: str) -> str:
    """Why this step cannot be left out now, in words; empty if it can."""
    place = Key.parse(key)
    if state.ended:
        return "The run is over: nothing of it can be skipped any more."
    if state.started_at is None:
        return "The run has not begun: nothing of it can be skipped yet."
    if state.cancelling:
        return "The run is being stopped: nothing new starts anyway."
    if state.items is not None:
        return "The run was handed over: say on its checklist what becomes of this step."
    if place.role != STEP:
        return "Only a step can be skipped, not its undoing or its probe."
    step, node = definition.step(place.node), state.node(key)
    if step.children() and node.status != S.PENDING:
        return "It has begun: skip the steps inside of it that have not."
    if node.status == S.UNCERTAIN:
        return "Nobody knows what became of it: decide that instead."
    if node.status in (S.EXECUTING, S.CLAIMED):
        return "It executes: wait for its outcome, or stop the run."
    if node.status == S.AWAITING_APPROVAL or isinstance(step, ApprovalStep):
        return "An approval is answered, never skipped: deny it, or skip the steps that it is for."
    if node.status not in _ALLOWED:
        return f"It is {node.status.value} already: there is nothing to skip."
    return _out_of_reach(definition, state, place, step) or _unguarded(step)


def _out_of_reach(definition: Runbook, state: RunState, place: Key, step: Step) -> str:
    """Why skipping would change nothing: the run has gone on, or the step stands in a loop that has no such item."""
    if _PHASES.index(_phase_of(definition, step.id)) < _PHASES.index(state.phase):
        return "The run has gone on from there: this step will not run any more."
    loops = definition.places[step.id].loops
    indices = place.iteration.split(".") if place.iteration else []
    if len(indices) != len(loops):
        return "It stands in a loop: name the item, too, as in check[3]."
    for depth, loop in enumerate(loops):
        items = state.node(key_of(loop, ".".join(indices[:depth]))).items
        if items is None or not indices[depth].isdigit() or int(indices[depth]) >= len(items):
            return "The loop has no such item (yet)."
    for block in _around(definition, step):
        depth = len(definition.places[block.id].loops) + isinstance(block, ForEachStep)
        around = state.node(key_of(block.id, ".".join(indices[:depth])))
        if around.ended or around.status == S.COMPENSATING:
            what = "has ended" if around.ended else "is being undone"
            return f"What is around it {what}: this step will not run any more."
    return ""


def _unguarded(step: Step) -> str:
    """A block that holds an approval may be left out only with everything that the approval is for."""
    inner = {one.id for one in inside(step)}
    for one in inside(step):
        if isinstance(one, ApprovalStep) and not set(one.guards) <= inner:
            return "It holds an approval for steps outside of it: those would run without being approved."
    return ""


def _phase_of(definition: Runbook, step_id: str) -> str:
    for name, steps in (("on_failure", definition.on_failure), ("finally", definition.finally_)):
        if any(step_id in (top.id, *(one.id for one in inside(top))) for top in steps):
            return name
    return "steps"


def _around(definition: Runbook, step: Step) -> list[Step]:
    """The blocks that the step stands in."""
    return [block for block in definition.walk() if any(one.id == step.id for one in inside(block))]


def inside_keys(definition: Runbook, key: str) -> list[str]:
    """The keys of what is left out with a block, but for those in a loop: they have no state before it has items."""
    place = Key.parse(key)
    step = definition.step(place.node)
    depth = len(definition.places[step.id].loops)
    return [
        key_of(one.id, place.iteration)
        for one in inside(step)
        if len(definition.places[one.id].loops) == depth
    ]
