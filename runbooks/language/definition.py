"""What a runbook document means: the typed, immutable definition that the engine executes.

Produced only by :func:`runbooks.language.parse`. Durations are seconds (float). Values that may
hold ``${{ ... }}`` are :data:`Template`: plain JSON data whose strings are rendered at the gate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import ClassVar

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
"""Plain JSON data."""

Template = Json
"""JSON data whose strings may hold ``${{ expression }}``."""

Expression = str
"""CEL source text, without the ``${{ }}`` around it."""


class Effect(StrEnum):
    """What a step does to production."""

    READ = "read"
    REVERSIBLE = "reversible"
    IRREVERSIBLE = "irreversible"


class InputType(StrEnum):
    """The types of inputs, of runbooks and of approvals alike."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    ENUM = "enum"
    DURATION = "duration"
    OBJECT = "object"
    ARRAY = "array"


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One typed input."""

    name: str
    type: InputType
    description: str = ""
    required: bool = False
    default: Json = None
    has_default: bool = False
    pattern: str | None = None
    values: tuple[str, ...] = ()
    min: float | None = None
    max: float | None = None
    max_length: int | None = None
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Retry:
    """When a failed attempt is tried again. ``max_attempts`` counts the first attempt."""

    max_attempts: int = 1
    initial_interval: float = 2.0
    backoff: float = 2.0
    max_interval: float = 60.0
    jitter: str = "full"  # full | equal | none
    only_on: tuple[str, ...] = ()
    not_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an action: its name and its inputs before rendering."""

    uses: str
    with_: Mapping[str, Template] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Probe:
    """A read-only call that answers whether an uncertain effect has happened."""

    call: Call
    done_when: Expression


@dataclass(frozen=True, slots=True)
class OnFailure:
    """What a group does when one of its steps failed."""

    compensate: bool = False
    then: str = "fail"  # continue | fail


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What every kind of step has. ``line`` is 1-based; ``path`` is like ``steps[2].steps[0]``.

    Of a step that calls an action, ``timeout`` is for one attempt, ``schedule_to_start_timeout`` for how long
    each may wait for a worker, ``schedule_to_close_timeout`` for all attempts with the pauses between them.
    """

    kind: ClassVar[str] = ""
    repeats: ClassVar[bool] = False
    """Whether the steps inside are done once for each of several items, so that they have many states."""

    id: str
    title: str = ""
    when: Expression | None = None
    timeout: float | None = None
    schedule_to_start_timeout: float | None = None
    schedule_to_close_timeout: float | None = None
    retry: Retry | None = None
    continue_on_error: bool = False
    disabled: bool = False
    pool: str | None = None
    line: int = 0
    path: str = ""

    def children(self) -> tuple[Step, ...]:
        """The steps written directly inside this one."""
        return tuple(child for _, steps in self.lists() for child in steps)

    def lists(self) -> tuple[tuple[str, tuple[Step, ...]], ...]:
        """The lists of steps inside this one, each with its name; a step with one list needs none."""
        return ()


@dataclass(frozen=True, slots=True)
class Slots:
    """How many calls with the same key may be made at once, in all runs of the project."""

    key: Template
    limit: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionStep(Step):
    """One call of an action.

    ``rate``: how often its target may be called. ``circuit``: the key of the circuit breaker, if it is not the
    target's own.
    """

    kind: ClassVar[str] = "action"

    call: Call
    effect: Effect = Effect.REVERSIBLE
    idempotent: bool = False
    heartbeat: float | None = None
    concurrency: Slots | None = None
    rate: str = ""
    circuit: Template = None
    probe: Probe | None = None
    compensate: Call | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupStep(Step):
    """Steps in order, as one."""

    kind: ClassVar[str] = "group"

    steps: tuple[Step, ...]
    on_failure: OnFailure = OnFailure()

    def lists(self) -> tuple[tuple[str, tuple[Step, ...]], ...]:
        """The group's steps."""
        return (("", self.steps),)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelStep(Step):
    """Branches side by side. ``concurrency`` None means all at once."""

    kind: ClassVar[str] = "parallel"

    steps: tuple[Step, ...]
    concurrency: int | None = None
    fail_fast: bool = False

    def lists(self) -> tuple[tuple[str, tuple[Step, ...]], ...]:
        """The branches."""
        return (("", self.steps),)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForEachStep(Step):
    """Does its steps once for each item of a list. ``as_`` is the item's name in their expressions."""

    kind: ClassVar[str] = "for_each"
    repeats: ClassVar[bool] = True

    items: Expression
    steps: tuple[Step, ...]
    as_: str = "item"
    concurrency: int = 1
    on_item_failure: str = "fail"  # fail | continue

    def lists(self) -> tuple[tuple[str, tuple[Step, ...]], ...]:
        """What is done for each item."""
        return (("", self.steps),)


@dataclass(frozen=True, slots=True)
class Case:
    """One way of a switch: taken if it is the first whose condition is true."""

    when: Expression
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchStep(Step):
    """Takes the first case whose condition is true, else the default. ``default`` None: there is none."""

    kind: ClassVar[str] = "switch"

    cases: tuple[Case, ...]
    default: tuple[Step, ...] | None = None

    def lists(self) -> tuple[tuple[str, tuple[Step, ...]], ...]:
        """The cases in order, and the default last."""
        cases = tuple((f"case {n + 1}", case.steps) for n, case in enumerate(self.cases))
        return cases if self.default is None else (*cases, ("default", self.default))


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitStep(Step):
    """Waits without holding a worker. Exactly one of the two is set."""

    kind: ClassVar[str] = "wait"

    for_: float | None = None
    until: Expression | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitUntilStep(Step):
    """Repeats a read-only call each ``interval`` until ``until`` was true for ``sustained`` seconds."""

    kind: ClassVar[str] = "wait_until"

    call: Call
    until: Expression
    sustained: float = 0.0
    interval: float = 15.0


@dataclass(frozen=True, slots=True)
class Approvers:
    """Who may approve. Teams and users are slugs and usernames of the project."""

    teams: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    min: int = 1
    min_per_team: Mapping[str, int] = field(default_factory=dict)
    exclude: tuple[str, ...] = ("starter",)  # starter | last_editor; the starter is always excluded


@dataclass(frozen=True, slots=True)
class Escalation:
    """After how long whom else to ask."""

    after: float
    to: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalStep(Step):
    """Asks humans. ``guards`` are the ids of the steps whose rendered plan is shown and bound by digest."""

    kind: ClassVar[str] = "approval"

    prompt: Template
    guards: tuple[str, ...] = ()
    approvers: Approvers = Approvers()
    inputs: tuple[InputSpec, ...] = ()
    channels: tuple[Mapping[str, str], ...] = ()
    escalate: tuple[Escalation, ...] = ()
    on_timeout: str = "reject"  # reject | fail
    on_reject: str = "fail"  # continue | fail


@dataclass(frozen=True, slots=True, kw_only=True)
class ManualStep(Step):
    """A person does something and confirms. Empty ``teams`` and ``users``: every responder of the project may."""

    kind: ClassVar[str] = "manual"

    prompt: Template
    inputs: tuple[InputSpec, ...] = ()
    teams: tuple[str, ...] = ()
    users: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SubrunStep(Step):
    """Runs another runbook of the project and waits for it."""

    kind: ClassVar[str] = "runbook"

    runbook: str
    inputs: Mapping[str, Template] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetStep(Step):
    """Computes values: they become the step's outputs."""

    kind: ClassVar[str] = "set"

    values: Mapping[str, Template]


@dataclass(frozen=True, slots=True, kw_only=True)
class FailStep(Step):
    """Ends the run with a message."""

    kind: ClassVar[str] = "fail"

    message: Template


@dataclass(frozen=True, slots=True)
class Dedupe:
    """How repeated triggers are told apart. ``window`` in seconds."""

    key: Template
    window: float = 1800.0
    on_duplicate: str = "attach"  # attach | skip | start


@dataclass(frozen=True, slots=True)
class Trigger:
    """What starts the runbook by itself."""

    id: str
    on: str  # alert | incident | schedule | webhook
    when: Expression | None = None
    inputs: Mapping[str, Template] = field(default_factory=dict)
    dedupe: Dedupe | None = None
    mode: str = "enforce"  # shadow | suggest | enforce
    cron: str | None = None
    timezone: str | None = None
    catch_up: float = 600.0  # seconds that a tick of a schedule may be noticed late


@dataclass(frozen=True, slots=True)
class Concurrency:
    """How many runs with the same key may be live at once."""

    key: Template
    limit: int = 1
    on_conflict: str = "queue"  # queue | attach | skip | replace


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How many runs with the same key may start within ``per`` seconds."""

    key: Template
    max_runs: int
    per: float
    on_exceed: str = "page"  # page | skip | fail | queue


@dataclass(frozen=True, slots=True)
class Place:
    """Where a step stands: ``loops`` are the ids of the repeating steps around it, outermost first."""

    step: Step
    loops: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Runbook:
    """A whole runbook. ``places`` has every step by its id."""

    id: str
    title: str
    description: str = ""
    owner: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[InputSpec, ...] = ()
    secrets: Mapping[str, str] = field(default_factory=dict)
    triggers: tuple[Trigger, ...] = ()
    concurrency: Concurrency | None = None
    rate_limit: RateLimit | None = None
    pool: str = "default"
    timeout: float | None = None
    steps: tuple[Step, ...] = ()
    outcome: Mapping[str, Expression] = field(default_factory=dict)
    outputs: Mapping[str, Template] = field(default_factory=dict)
    on_failure: tuple[Step, ...] = ()
    finally_: tuple[Step, ...] = ()
    places: Mapping[str, Place] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the steps."""
        found: dict[str, Place] = {}
        stack: list[tuple[Step, tuple[str, ...]]] = [
            (step, ()) for step in reversed((*self.steps, *self.on_failure, *self.finally_))
        ]
        while stack:
            step, loops = stack.pop()
            found.setdefault(step.id, Place(step, loops))
            around = (*loops, step.id) if step.repeats else loops
            stack.extend((child, around) for child in reversed(step.children()))
        object.__setattr__(self, "places", MappingProxyType(found))

    def walk(self) -> Iterator[Step]:
        """Every step, parents before children, in document order: steps, on_failure, finally."""
        return (place.step for place in self.places.values())

    def step(self, step_id: str) -> Step:
        """The step with this id, or KeyError."""
        return self.places[step_id].step
