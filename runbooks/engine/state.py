"""What is known about a run at one moment: immutable, and the same for everyone who read the same history."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any, TypeVar

from runbooks.engine.transitions import RUN_END, STEP_END, RunStatus, StepStatus
from runbooks.language.definition import Json

COMPENSATE = "compensate"
PROBE = "probe"
STEP = "step"
UNDO = "undo"
"""The way to stop a run that undoes what was done; and the phase in which that happens."""

_KEY = re.compile(r"(?P<node>[^\[/]+)(?:\[(?P<iteration>[^\]]*)\])?(?:/(?P<role>\w+))?")


@dataclass(frozen=True, slots=True)
class Key:
    """Names a piece of work of a run: ``shift``, ``check[3]``, ``shift/compensate``, ``shift/probe``."""

    node: str
    iteration: str = ""
    role: str = STEP

    def __str__(self) -> str:
        place = f"{self.node}[{self.iteration}]" if self.iteration else self.node
        return place if self.role == STEP else f"{place}/{self.role}"

    @staticmethod
    @lru_cache(maxsize=4096)
    def parse(text: str) -> Key:
        """The inverse of ``str()``. The keys of a run are asked about again and again: they are remembered."""
        found = _KEY.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} does not name a step of a run.")
        return Key(found["node"], found["iteration"] or "", found["role"] or STEP)


def key_of(node: str, iteration: str = "", role: str = STEP) -> str:
    """The text form of a key."""
    return str(Key(node, iteration, role))


def deeper(iteration: str, n: int) -> str:
    """The iteration of item ``n`` of a loop that stands in ``iteration``: ``2`` in ``1`` is ``1.2``."""
    return f"{iteration}.{n}" if iteration else str(n)


def is_within(iteration: str, around: str) -> bool:
    """Whether an iteration is this one, or one of a loop inside it."""
    return not around or iteration == around or iteration.startswith(f"{around}.")


StateT = TypeVar("StateT", bound="NodeState | RunState")


def changed(state: StateT, **values: object) -> StateT:
    """The same state with other values: like ``dataclasses.replace``, which takes three times as long.

    A step of a run makes a dozen of these.
    """
    kind = type(state)
    copied = object.__new__(kind)
    for name, (read, write) in _SLOTS[kind].items():
        write(copied, values.pop(name) if name in values else read(state))
    if values:
        raise TypeError(f"{kind.__name__} has no {', '.join(values)}")
    return copied


@dataclass(frozen=True, slots=True)
class NodeState:
    """One piece of work. ``ended_n`` is its place in the order of completion, for compensation.

    ``captured`` are the inputs of the compensation, rendered when the step completed. ``deadline`` is when
    the step or block times out, ``ready_at`` when it may be claimed, ``due_at`` when its timer fires.
    ``choice`` is which of its lists of steps a switch has taken, ``items`` what a loop goes through.
    ``held`` says what keeps a ready step at the gate, ``reason`` then says it in words. ``paused`` are the seconds
    for which its run was paused while it was under way.
    """

    status: StepStatus = StepStatus.PENDING
    attempt: int = 0
    crashes: int = 0
    outputs: Json = None
    error: dict[str, Json] | None = None
    reason: str = ""
    held: str = ""
    decision: str = ""
    fatal: bool = False
    choice: int | None = None
    items: tuple[Json, ...] | None = None
    cancelling: bool = False
    asks_human: bool = False
    goes_on: bool = True
    captured: Mapping[str, Json] | None = None
    order: tuple[str, ...] = ()
    approval: str = ""
    prompt: str = ""
    run: str = ""
    digest: str = ""
    round: int = 0
    undecided: tuple[str, ...] = ()
    samples: int = 0
    true_since: datetime | None = None
    ready_at: datetime | None = None
    due_at: datetime | None = None
    deadline: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    ended_n: int = 0
    paused: float = 0.0

    @property
    def ended(self) -> bool:
        """Whether the outcome is known."""
        return self.status in STEP_END

    @property
    def in_flight(self) -> bool:
        """Whether it was begun and has no outcome yet."""
        return self.status != StepStatus.PENDING and not self.ended


PENDING = NodeState()
"""What every step is before anything happened to it."""


@dataclass(frozen=True, slots=True)
class RunState:
    """A whole run. ``n`` counts the events so far; ``phase``: ``steps``, ``on_failure``, ``undo`` or ``finally``.

    ``held`` and ``held_reason`` say why a run that has no ``started_at`` yet has not begun.
    ``stop_how`` and ``hold_reason``: how and why it is held or stopped (``pause``, ``freeze``, ``parent``, ``cancel``,
    ``undo``, ``hand_over``). ``undoing`` is what a stop undoes, in order. ``items`` is what was handed over to people,
    ``dealt`` what they did about it. ``reopened`` counts how often the run was resumed after its end.
    """

    n: int = 0
    schema: int = 1
    status: RunStatus = RunStatus.PENDING
    phase: str = "steps"
    version_digest: str = ""
    inputs: Mapping[str, Json] = field(default_factory=dict)
    run: Mapping[str, Json] = field(default_factory=dict)
    alert: Mapping[str, Json] | None = None
    incident: Mapping[str, Json] | None = None
    nodes: Mapping[str, NodeState] = field(default_factory=dict)
    held: str = ""
    held_reason: str = ""
    cancelling: bool = False
    cancel_reason: str = ""
    timed_out: bool = False
    deadline: datetime | None = None
    error: Json = None
    outcome: Mapping[str, Json] = field(default_factory=dict)
    pins: Mapping[str, Json] = field(default_factory=dict)
    start_within: float | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    stop_how: str = ""
    hold_reason: str = ""
    paused_at: datetime | None = None
    undoing: tuple[str, ...] = ()
    undo_error: Mapping[str, Json] | None = None
    items: tuple[str, ...] | None = None
    dealt: Mapping[str, str] = field(default_factory=dict)
    reopened: int = 0

    def node(self, key: str) -> NodeState:
        """The state of a piece of work; :data:`PENDING` when nothing has happened to it."""
        return self.nodes.get(key, PENDING)

    @property
    def ended(self) -> bool:
        """Whether the run is over."""
        return self.status in RUN_END

    @property
    def paused(self) -> bool:
        """Whether nothing may start: paused, frozen, or handed over to people."""
        return self.status == RunStatus.PAUSED

    @property
    def undoes(self) -> bool:
        """Whether it is being stopped in such a way that what was done is undone."""
        return self.cancelling and self.stop_how == UNDO

    def with_node(self, key: str, node: NodeState) -> RunState:
        """The same run with one piece of work changed."""
        nodes = dict(self.nodes)
        nodes[key] = node
        return changed(self, nodes=MappingProxyType(nodes))

    def without_nodes(self, keys: Iterable[str]) -> RunState:
        """The same run in which nothing has happened to these."""
        gone = set(keys)
        return changed(self, nodes=MappingProxyType({k: v for k, v in self.nodes.items() if k not in gone}))


_SLOTS: dict[type, dict[str, tuple[Any, Any]]] = {
    kind: {
        field.name: (getattr(kind, field.name).__get__, getattr(kind, field.name).__set__)
        for field in fields(kind)
    }
    for kind in (NodeState, RunState)
}
"""How each field of a state is read and written, by name."""


def run_status(state: RunState, now: datetime) -> RunStatus:
    """What the run is doing at ``now``, derived from its steps: the ``state`` column of its row."""
    if state.ended or state.status in (RunStatus.PENDING, RunStatus.PAUSED):
        return state.status
    if state.cancelling:
        return RunStatus.CANCELLING
    return RunStatus.RUNNING if is_busy(state, now) else RunStatus.WAITING


def is_busy(state: RunState, now: datetime) -> bool:
    """Whether anything executes or could be claimed at ``now``; blocks themselves do not execute."""
    for node in state.nodes.values():
        if node.status == StepStatus.READY and (node.ready_at is None or node.ready_at <= now):
            return True
        if node.status == StepStatus.EXECUTING and node.attempt > 0:
            return True
    return False
