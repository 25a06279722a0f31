"""What a human may decide about a step in doubt, and the event that it becomes."""

from __future__ import annotations

from datetime import datetime

from runbooks.engine import events as e
from runbooks.engine.compensation import capture, inside
from runbooks.engine.state import COMPENSATE, STEP, Key, RunState, key_of
from runbooks.language.definition import ForEachStep, Runbook


def decided(
    definition: Runbook, state: RunState, said: tuple[str, str], *, by: str, reason: str, at: datetime
) -> e.StepDecided:
    """The event of a decision. ``said``: the key of the step and ``done``, ``retry`` or ``fail``.

    Done is a success like any other, so what its undoing would need is captured now.
    """
    key, choice = said
    captured = None
    if choice == "done" and Key.parse(key).role == STEP:
        captured = capture(definition, key, state, None)
    return e.StepDecided(at=at, key=key, choice=choice, by=by, reason=reason, compensate=captured)


def retry_refusal(definition: Runbook, state: RunState, key: str) -> str | None:
    """Why a step in doubt cannot be tried again now, in words; None if it can."""
    if state.ended:
        return "The run is over: say done or fail, then resume it from there."
    if state.items is not None:
        return "The run was handed over, and begins nothing again: say done or fail, then deal with its checklist."
    place = Key.parse(key)
    if place.role == COMPENSATE:
        # A compensation that has begun is completed, whatever is over around it.
        return None
    if _phase(definition, place.node) != state.phase:
        return "The run has gone on from this part: say done or fail."
    if state.phase != "finally" and state.cancelling:
        return "The run is being stopped, and begins nothing again: say done or fail."
    over = next((around for around in _around(definition, place) if state.node(around).ended), None)
    if over is not None:
        return f"{over}, in which this step stands, is over: say done or fail."
    return None


def part_that_is_over(definition: Runbook, state: RunState, key: str) -> str:
    """What is over so that the walk does not come to this step again: a block, or a part of the run; empty if not."""
    place = Key.parse(key)
    over = next((around for around in _around(definition, place) if state.node(around).ended), "")
    phase = _phase(definition, place.node)
    return over or (f"the part `{phase}` of the run" if phase != state.phase else "")


def _phase(definition: Runbook, node: str) -> str:
    for phase, steps in (("on_failure", definition.on_failure), ("finally", definition.finally_)):
        if any(node == one.id for step in steps for one in (step, *inside(step))):
            return phase
    return "steps"


def _around(definition: Runbook, place: Key) -> list[str]:
    """The keys of the blocks, and of the items of loops, in which a step stands."""
    indices = place.iteration.split(".") if place.iteration else []
    found: list[str] = []
    for step in definition.walk():
        if any(inner.id == place.node for inner in inside(step)):
            depth = len(definition.places[step.id].loops)
            found.append(key_of(step.id, ".".join(indices[:depth])))
            if isinstance(step, ForEachStep):
                found.append(key_of(step.id, ".".join(indices[: depth + 1])))
    return found
