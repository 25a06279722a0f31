"""What the plan wants done: records that are decided already, and work for the world outside."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from runbooks.engine import events as e
from runbooks.engine.state import COMPENSATE, PROBE, STEP, Key
from runbooks.language.definition import (
    ActionStep,
    ApprovalStep,
    Call,
    Effect,
    Json,
    Step,
    SubrunStep,
    WaitUntilStep,
)


@dataclass(frozen=True, slots=True)
class Record:
    """Control flow was decided in memory: append this event, in the same commit as what led to it."""

    event: e.Event


@dataclass(frozen=True, slots=True)
class StartTimer(Record):
    """Wait without a worker until ``event.due_at``."""

    event: e.TimerStarted


@dataclass(frozen=True, slots=True)
class FinishRun(Record):
    """The run is over."""

    event: e.RunFinished


@dataclass(frozen=True, slots=True)
class StartStep:
    """Make one call of an action claimable (or claim it at once). ``attempt`` counts from 1."""

    key: str
    step: Step
    call: Call
    effect: Effect
    idempotent: bool
    attempt: int = 1

    @property
    def role(self) -> str:
        """``step``, ``compensate`` or ``probe``."""
        return Key.parse(self.key).role


@dataclass(frozen=True, slots=True)
class Compensate(StartStep):
    """Undo the completed step ``key`` names, with the inputs captured at its completion."""


@dataclass(frozen=True, slots=True)
class Probe(StartStep):
    """Ask, by reading, whether the uncertain step ``key`` names has happened."""


@dataclass(frozen=True, slots=True)
class AskApproval:
    """Ask people. ``round`` counts the times that this question was asked."""

    key: str
    step: ApprovalStep
    round: int = 1


@dataclass(frozen=True, slots=True)
class StartRun:
    """Start a run of another runbook with these inputs; the version is the one that is pinned."""

    key: str
    step: SubrunStep
    inputs: dict[str, Json]
    deadline: datetime | None = None


Command = Record | StartRun | StartStep | AskApproval


def start_of(key: str, step: Step, attempt: int = 1) -> StartStep:
    """The command that makes the work ``key`` of this step claimable: its call, probe or compensation."""
    role = Key.parse(key).role
    if isinstance(step, WaitUntilStep):
        return StartStep(key, step, step.call, Effect.READ, idempotent=True, attempt=attempt)
    if not isinstance(step, ActionStep):
        raise TypeError(f"The step {step.id} is a {step.kind}: it makes no call.")
    if role == STEP:
        return StartStep(key, step, step.call, step.effect, step.idempotent, attempt)
    if role == COMPENSATE and step.compensate is not None:
        repeatable = step.idempotent and _same_target(step.call, step.compensate)
        return Compensate(key, step, step.compensate, Effect.REVERSIBLE, repeatable, attempt)
    if role == PROBE and step.probe is not None:
        return Probe(key, step, step.probe.call, Effect.READ, idempotent=True, attempt=attempt)
    raise ValueError(f"The step {step.id} has no {role}.")


def _same_target(call: Call, undoing: Call) -> bool:
    """Whether what a step promises of its target is promised of its undoing's, too."""
    return call.uses == undoing.uses and all(
        call.with_.get(name) == undoing.with_.get(name) for name in ("connection", "target")
    )
