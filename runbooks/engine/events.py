"""What can happen to a run: typed events, and their JSON form in the history."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from runbooks.language.definition import Json

SCHEMA = 1
"""The version of this vocabulary. A worker replays only histories whose schema it knows."""

SUPPORTED_SCHEMAS: tuple[int, ...] = (1,)
"""The schemas that this code replays."""

REGISTRY: dict[str, type[Event]] = {}
"""Every event class by the name that its rows carry."""


def recorded(name: str) -> Callable[[type[Event]], type[Event]]:
    """Register an event class under the name that its rows carry."""

    def register(cls: type[Event]) -> type[Event]:
        cls.type = name
        cls.moments = tuple(f.name for f in dataclasses.fields(cls) if "datetime" in str(f.type))
        cls.names = tuple(f.name for f in dataclasses.fields(cls))
        REGISTRY[name] = cls
        return cls

    return register


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened at a moment of the database's clock."""

    type: ClassVar[str] = ""
    moments: ClassVar[tuple[str, ...]] = ()
    names: ClassVar[tuple[str, ...]] = ()

    at: datetime

    def data(self) -> dict[str, Json]:
        """The JSON form without ``at``, which has its own column; what is empty is left out."""
        found: dict[str, Json] = {}
        for name in self.names:
            value = getattr(self, name)
            if name == "at" or value is None or value == "":
                continue
            found[name] = value.isoformat() if isinstance(value, datetime) else value
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEvent(Event):
    """Something that happened to one step. ``key`` names the step and its role, see ``state.py``."""

    key: str


@recorded("run.started")
@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """The run exists: what its expressions see, and (``pins``) the versions of the runbooks that it may start.

    ``start_within``: seconds that its calls may wait for a worker, where their steps do not say otherwise.
    """

    schema: int = SCHEMA
    version_digest: str = ""
    inputs: dict[str, Json] = field(default_factory=dict)
    run: dict[str, Json] = field(default_factory=dict)
    alert: dict[str, Json] | None = None
    incident: dict[str, Json] | None = None
    by: str = ""
    deadline: datetime | None = None
    pins: dict[str, Json] | None = None
    start_within: float | None = None


@recorded("run.held")
@dataclass(frozen=True, slots=True, kw_only=True)
class RunHeld(Event):
    """The run may not begin yet, and why. Only before ``run.started``. ``pins`` as there, fixed already."""

    reason: str
    code: str
    look_at: datetime | None = None
    pins: dict[str, Json] | None = None


@recorded("run.cancel_requested")
@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequested(Event):
    """Somebody wants the run to stop: nothing new starts, `finally` still runs. ``how``: empty, or ``undo``."""

    by: str = ""
    reason: str = ""
    how: str = ""


@recorded("run.paused")
@dataclass(frozen=True, slots=True, kw_only=True)
class RunPaused(Event):
    """Nothing new starts, what executes ends as it ends. ``how``: pause, freeze, or parent (with its parent)."""

    by: str = ""
    reason: str = ""
    how: str = "pause"


@recorded("run.resumed")
@dataclass(frozen=True, slots=True, kw_only=True)
class RunResumed(Event):
    """A paused run goes on. What may not take too long gets the length of the pause on top."""

    by: str = ""
    reason: str = ""


@recorded("run.undoing")
@dataclass(frozen=True, slots=True, kw_only=True)
class RunUndoing(Event):
    """A stopped run undoes its completed steps, in this order. ``error``: why it cannot."""

    order: list[str] = field(default_factory=list)
    error: dict[str, Json] | None = None


@recorded("run.handed_over")
@dataclass(frozen=True, slots=True, kw_only=True)
class RunHandedOver(Event):
    """People do the rest: nothing starts any more. ``items`` are the keys of what is left, in the order as written."""

    by: str = ""
    reason: str = ""
    items: list[str] = field(default_factory=list)


@recorded("checklist.ticked")
@dataclass(frozen=True, slots=True, kw_only=True)
class ItemTicked(Event):
    """A person dealt with one item of what was handed over. ``choice``: done, or skipped with a reason."""

    key: str
    choice: str
    by: str = ""
    reason: str = ""


@recorded("run.reopened")
@dataclass(frozen=True, slots=True, kw_only=True)
class RunReopened(Event):
    """A run that failed or was stopped goes on from there.

    ``again``: what is forgotten, to be done anew. ``revived``: the blocks that are open once more, each with its
    new deadline (ISO 8601) or null.
    """

    by: str = ""
    reason: str = ""
    again: list[str] = field(default_factory=list)
    revived: dict[str, Json] = field(default_factory=dict)
    deadline: datetime | None = None


@recorded("run.timed_out")
@dataclass(frozen=True, slots=True, kw_only=True)
class RunTimedOut(Event):
    """The run's own deadline passed before it was through."""


@recorded("run.phase_entered")
@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseEntered(Event):
    """The main steps are over; ``on_failure`` or ``finally`` begins. ``error`` is why the run failed."""

    phase: str
    error: Json = None


@recorded("run.finished")
@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished(Event):
    """The end. ``outcome`` tells, name by name, whether production is well (None: could not be told)."""

    status: str
    outcome: dict[str, Json] = field(default_factory=dict)
    error: Json = None
    outputs: dict[str, Json] | None = None


@recorded("step.scheduled")
@dataclass(frozen=True, slots=True, kw_only=True)
class StepScheduled(StepEvent):
    """The step may be claimed from ``ready_at`` on."""

    attempt: int = 1
    ready_at: datetime | None = None


@recorded("step.held")
@dataclass(frozen=True, slots=True, kw_only=True)
class StepHeld(StepEvent):
    """The gate did not let the step through for now: it may be claimed again from ``ready_at`` on.

    ``code`` says what holds it, for those who let it go: ``switch:<id>``, ``circuit:<key>``... It costs no attempt.
    """

    reason: str
    code: str
    ready_at: datetime


@recorded("step.started")
@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted(StepEvent):
    """The gate let the step through: the intent, committed before its effect."""

    attempt: int = 1
    fence: int = 1
    worker: str = ""
    action: str = ""
    effect: str = ""
    target: str = ""
    input_digest: str = ""
    idempotency_key: str = ""
    deadline: datetime | None = None


@recorded("step.succeeded")
@dataclass(frozen=True, slots=True, kw_only=True)
class StepSucceeded(StepEvent):
    """The step is done. ``compensate`` holds the inputs of its compensation, as rendered at this moment."""

    outputs: Json = None
    compensate: dict[str, Json] | None = None


@recorded("step.failed")
@dataclass(frozen=True, slots=True, kw_only=True)
class StepFailed(StepEvent):
    """The step failed for good. ``fatal``: no group catches it, the run ends."""

    error: dict[str, Json] = field(default_factory=dict)
    timed_out: bool = False
    fatal: bool = False


@recorded("step.retrying")
@dataclass(frozen=True, slots=True, kw_only=True)
class StepRetrying(StepEvent):
    """An attempt failed; the next one, ``attempt``, may be claimed from ``ready_at`` on."""

    attempt: int
    ready_at: datetime
    error: dict[str, Json] = field(default_factory=dict)


@recorded("step.crashed")
@dataclass(frozen=True, slots=True, kw_only=True)
class StepCrashed(StepEvent):
    """The lease ran out in the middle of a step that may safely be done again: it is ready once more."""

    attempt: int
    crashes: int = 1
    worker: str = ""
    fence: int = 0


@recorded("step.skipped")
@dataclass(frozen=True, slots=True, kw_only=True)
class StepSkipped(StepEvent):
    """The step is left out, and why. ``inside`` are the steps written inside it, left out with it.

    ``by``: the person who left it out; empty when the runbook says so.
    """

    reason: str = ""
    inside: list[str] = field(default_factory=list)
    by: str = ""


@recorded("step.cancel_requested")
@dataclass(frozen=True, slots=True, kw_only=True)
class StepCancelRequested(StepEvent):
    """The executing step shall stop; it will end in a real outcome, or uncertain."""

    reason: str = ""


@recorded("step.cancelled")
@dataclass(frozen=True, slots=True, kw_only=True)
class StepCancelled(StepEvent):
    """The step was stopped, and it is known that nothing goes on."""

    reason: str = ""


@recorded("step.uncertain")
@dataclass(frozen=True, slots=True, kw_only=True)
class StepUncertain(StepEvent):
    """Whether the effect happened is not known."""

    error: dict[str, Json] = field(default_factory=dict)
    worker: str = ""
    fence: int = 0
    probe: bool = True


@recorded("step.probed")
@dataclass(frozen=True, slots=True, kw_only=True)
class StepProbed(StepEvent):
    """The probe of an uncertain step answered. ``verdict``: done, not_done or unknown.

    ``compensate``: as that of :class:`StepSucceeded`, when it was done.
    """

    verdict: str
    words: str = ""
    outputs: Json = None
    compensate: dict[str, Json] | None = None


@recorded("step.decided")
@dataclass(frozen=True, slots=True, kw_only=True)
class StepDecided(StepEvent):
    """A human said what became of an uncertain step. ``choice``: done, retry or fail.

    ``compensate``: as that of :class:`StepSucceeded`, when it is done.
    """

    choice: str
    by: str = ""
    reason: str = ""
    compensate: dict[str, Json] | None = None


@recorded("timer.started")
@dataclass(frozen=True, slots=True, kw_only=True)
class TimerStarted(StepEvent):
    """The step waits until ``due_at`` and holds no worker."""

    due_at: datetime


@recorded("wait.sampled")
@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled(StepEvent):
    """Sample ``n`` of a `wait_until`. ``since``: since when the condition has been true without a break."""

    n: int
    met: bool
    words: str = ""
    since: datetime | None = None
    next_at: datetime | None = None
    outputs: Json = None


@recorded("approval.asked")
@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalAsked(StepEvent):
    """People are asked. ``undecided`` are the paths in the plan that depend on what is not known yet."""

    approval: str
    digest: str
    round: int = 1
    expires_at: datetime | None = None
    undecided: list[str] = field(default_factory=list)


@recorded("approval.decided")
@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalDecided(StepEvent):
    """The answer: approved, rejected or expired. ``goes_on`` says whether the sequence continues."""

    decision: str
    goes_on: bool = True
    by: str = ""
    channel: str = ""
    reason: str = ""
    inputs: dict[str, Json] = field(default_factory=dict)


@recorded("approval.voided")
@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalVoided(StepEvent):
    """What was approved is not what would run now: the answer counts no more, and is asked for anew."""

    reason: str = ""
    guarded: str = ""


@recorded("manual.asked")
@dataclass(frozen=True, slots=True, kw_only=True)
class ManualAsked(StepEvent):
    """A person shall do something and say so until ``due_at``."""

    prompt: str = ""
    due_at: datetime | None = None


@recorded("manual.answered")
@dataclass(frozen=True, slots=True, kw_only=True)
class ManualAnswered(StepEvent):
    """The person's answer: done, or cannot."""

    choice: str
    by: str = ""
    channel: str = ""
    reason: str = ""
    inputs: dict[str, Json] = field(default_factory=dict)


@recorded("subrun.started")
@dataclass(frozen=True, slots=True, kw_only=True)
class SubrunStarted(StepEvent):
    """The step has started the run ``run`` of another runbook, and waits for it."""

    run: str
    runbook: str = ""
    version: int = 0
    deadline: datetime | None = None


@recorded("subrun.finished")
@dataclass(frozen=True, slots=True, kw_only=True)
class SubrunFinished(StepEvent):
    """That run is over. ``status`` is what the step is now."""

    status: str
    outputs: dict[str, Json] = field(default_factory=dict)
    error: dict[str, Json] | None = None


@recorded("block.started")
@dataclass(frozen=True, slots=True, kw_only=True)
class BlockStarted(StepEvent):
    """A group, parallel or other block was entered."""

    deadline: datetime | None = None


@recorded("loop.started")
@dataclass(frozen=True, slots=True, kw_only=True)
class LoopStarted(StepEvent):
    """A `for_each` was entered. Its items are fixed from now on."""

    items: list[Json] = field(default_factory=list)
    deadline: datetime | None = None


@recorded("switch.chosen")
@dataclass(frozen=True, slots=True, kw_only=True)
class CaseChosen(StepEvent):
    """A switch was entered. ``choice`` counts its lists of steps from 0; ``inside`` are the others' steps, left out."""

    choice: int
    words: str = ""
    inside: list[str] = field(default_factory=list)
    deadline: datetime | None = None


@recorded("block.compensating")
@dataclass(frozen=True, slots=True, kw_only=True)
class BlockCompensating(StepEvent):
    """A group undoes its completed steps, in this order."""

    order: list[str] = field(default_factory=list)
    error: dict[str, Json] = field(default_factory=dict)


@recorded("block.finished")
@dataclass(frozen=True, slots=True, kw_only=True)
class BlockFinished(StepEvent):
    """A block has its status. ``error`` is that of the step that made it fail."""

    status: str
    error: Json = None
    fatal: bool = False


class UnknownEvent(ValueError):
    """A history holds an event that this version of the engine does not know."""


def from_row(name: str, data: dict[str, Json], at: datetime) -> Event:
    """The event of a history row; the inverse of :meth:`Event.data`."""
    cls = REGISTRY.get(name)
    if cls is None:
        raise UnknownEvent(f"This engine does not know the event {name!r}; a newer one wrote it.")
    values: dict[str, Json | datetime] = dict(data)
    for moment in cls.moments:
        text = values.get(moment)
        if isinstance(text, str):
            values[moment] = datetime.fromisoformat(text)
    values["at"] = at
    construct: Callable[..., Event] = cls
    try:
        return construct(**values)
    except TypeError as error:
        raise UnknownEvent(f"The event {name!r} does not have the fields that it should: {error}.") from error
