"""How what is known of a step stands in its row: the columns that never change, and those that follow its state."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import cast

from handrail.shared.artifacts import shrink
from handrail.shared.statements.writing import Value
from runbooks.engine.commands import start_of
from runbooks.engine.state import STEP, Key, NodeState
from runbooks.engine.transitions import StepStatus
from runbooks.language.definition import ActionStep, Effect, Json, Runbook, Step, WaitUntilStep
from runbooks.models import Run

LONGEST_REASON = 500
LONGEST_HELD = 200
_TIMED = (StepStatus.WAITING, StepStatus.EXECUTING, StepStatus.AWAITING_HUMAN)
_ROLE_WORDS = {"compensate": "Undo: ", "probe": "Probe: "}


def title_of(step: Step, role: str) -> str:
    """What people read: the step's title, or its id; never what it calls, which ten steps of a runbook may call."""
    return (_ROLE_WORDS.get(role, "") + (step.title or step.id))[:300]


def pool_of(definition: Runbook, step: Step) -> str:
    """The runner pool whose workers take the step."""
    return step.pool or definition.pool


def fresh(definition: Runbook, key: str, row_id: uuid.UUID, run: Run, now: datetime) -> dict[str, Value]:
    """The columns of a new row that do not follow from its state; the others are to be merged over it."""
    place = Key.parse(key)
    step = definition.step(place.node)
    action, effect, idempotent = "", Effect.READ.value, False
    if isinstance(step, (ActionStep, WaitUntilStep)):
        start = start_of(key, step)
        action, effect, idempotent = start.call.uses, start.effect.value, start.idempotent
    return {
        "id": row_id,
        "run_id": run.pk,
        "node": place.node,
        "iteration": place.iteration,
        "role": place.role,
        "kind": step.kind if place.role == STEP else ActionStep.kind,
        "action": action,
        "title": title_of(step, place.role),
        "pool": pool_of(definition, step),
        "priority": run.priority,
        "hinted_at": None,
        "lease_until": None,
        "owner": "",
        "fence": 0,
        "idempotent": idempotent,
        "effect": effect,
        "inputs": None,
        "input_digest": "",
        "slot": "",
        "created_at": now,
    }


def light(error: Json) -> Json:
    """An error as rows hold it: what the program had said by then goes by reference when it is large."""
    if isinstance(error, dict) and "outputs" in error:
        return {**error, "outputs": cast("Json", shrink(error["outputs"]))}
    return error


def following(node: NodeState) -> dict[str, Value]:
    """The columns that follow from the state of a step."""
    state = StepStatus.WAITING if node.status == StepStatus.PENDING else node.status
    shown: dict[str, Value] = {} if node.items is None else {"inputs": {"items": shrink([*node.items])}}
    if node.prompt:
        shown = {"inputs": {"prompt": node.prompt}}
    return shown | {
        "state": state.value,
        "attempt": node.attempt,
        "crashes": node.crashes,
        "cancel_requested": node.cancelling,
        "ready_at": node.ready_at,
        "due_at": node.due_at if state in _TIMED else None,
        "outputs": None if node.outputs is None else shrink(node.outputs),
        "error": light(node.error),
        "reason": node.reason[:LONGEST_REASON],
        "held": node.held[:LONGEST_HELD],
        "started_at": node.started_at,
        "ended_at": node.ended_at,
    }
