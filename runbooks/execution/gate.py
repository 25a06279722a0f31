"""The gate: whether a claimed step may go ahead; if so, its intent is committed before its effect."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from handrail.shared.artifacts import shrink
from handrail.shared.clock import steady
from runbooks.engine import events as e
from runbooks.engine.commands import StartStep
from runbooks.engine.deadlines import close_by
from runbooks.engine.digest import input_digest
from runbooks.engine.flow import error_of
from runbooks.engine.state import STEP, RunState
from runbooks.engine.transitions import StepStatus
from runbooks.execution.asking import denial, void_if_unsound
from runbooks.execution.calls import rendered
from runbooks.execution.contexts import idempotency_key
from runbooks.execution.holds import hold_of, keep
from runbooks.execution.limits import limits_of
from runbooks.execution.live import LiveRun
from runbooks.execution.sampled import time_left
from runbooks.execution.transition import Transition
from runbooks.execution.worker import Me, lease
from runbooks.language.definition import Json
from runbooks.language.errors import ExpressionError
from runbooks.steps.base import INVALID_INPUT, InvalidInputs
from runbooks.steps.registry import get

DEFAULT_TIMEOUT = 60.0
"""Seconds that one call may take when neither the step nor the runbook's defaults say otherwise."""

SHORTEST = 1.0
"""Seconds that a call gets, even if the time of all its attempts is nearly over."""


@dataclass(slots=True)
class Work:
    """One call that passed the gate: everything that its effect and its completion need.

    ``inputs`` are rendered with references in the place of secrets. ``timeout`` is in seconds from now.
    ``state``: the run as it was then, while others of its calls may go on beside this one.
    ``circuit``: the key of the circuit breaker that wants to know how it went, or empty. ``begun``: when, on the
    steady clock, its lease was counted from.
    """

    live: LiveRun
    command: StartStep
    step_id: uuid.UUID
    fence: int
    attempt: int
    inputs: dict[str, Json]
    timeout: float
    gated_at: datetime
    state: RunState
    circuit: str = ""
    begun: float = field(default_factory=steady)

    @property
    def key(self) -> str:
        """The key of the step in its run."""
        return self.command.key


def gate(transition: Transition, command: StartStep, me: Me, fence: int) -> Work | None:
    """Let a ready step through, or hold it, or fail it, or void its approval; what is decided is recorded.

    The caller has made sure that the row is claimed by ``me`` under ``fence``, or that it is about to be
    written so. Raises :class:`~runbooks.steps.registry.UnknownAction` when another worker has to do it.
    """
    key = command.key
    node = transition.state.node(key)
    if node.status != StepStatus.READY or transition.state.paused:
        return None
    if command.role == STEP and void_if_unsound(transition, key):
        return None
    if command.role == STEP and (denied := denial(transition, key)):
        _refuse(transition, key, "not_approved", denied)
        return None
    try:
        inputs = rendered(transition.live.definition, transition.state, command)
        target = get(command.call.uses).bind(inputs).target()
        transition.limits[key] = limits_of(transition, command, target)
    except ExpressionError as error:
        _refuse(transition, key, "expression", str(error))
        return None
    except InvalidInputs as error:
        _refuse(transition, key, INVALID_INPUT, str(error))
        return None
    hold = hold_of(transition, command, target)
    if hold is not None:
        keep(transition, key, hold)
        return None
    timeout = time_left(transition, command) or command.step.timeout or DEFAULT_TIMEOUT
    closes = close_by(command.step, node)
    if closes is not None:
        timeout = min(timeout, max((closes - transition.now).total_seconds(), SHORTEST))
    transition.take_back_schedule(key)
    digest = input_digest(inputs)
    transition.record(
        e.StepStarted(
            at=transition.now,
            key=key,
            attempt=node.attempt,
            fence=fence,
            worker=me.id,
            action=command.call.uses,
            effect=command.effect.value,
            target=target[:200],
            input_digest=digest,
            idempotency_key=idempotency_key(transition.live.run.pk, key, transition.state.reopened),
            deadline=transition.now + timedelta(seconds=timeout),
        )
    )
    transition.columns[key] = {
        "owner": me.id,
        "fence": fence,
        "lease_until": transition.now + lease(),
        "inputs": shrink(inputs),
        "input_digest": digest,
        "slot": transition.limits[key].slot,
    }
    step_id = transition.row_id(key)
    circuit = transition.limits[key].circuit
    return Work(
        transition.live,
        command,
        step_id,
        fence,
        node.attempt,
        inputs,
        timeout,
        transition.now,
        transition.state,
        circuit,
    )


def _refuse(transition: Transition, key: str, code: str, message: str) -> None:
    """The step cannot be called with these inputs: it fails before anything happened."""
    transition.record(e.StepFailed(at=transition.now, key=key, error=error_of(code, message)))
