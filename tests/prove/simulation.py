"""Every crash there is: a run in memory under virtual time, whose processes die at each commit and at each effect.

The processes are coroutines that stop at every boundary. What they do in between is one transaction, by the rules
of the pure engine: what is durable is a history and a lease a step, as in the database; effects are in a ledger.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from runbooks.engine.outcomes import is_repeatable
from runbooks.engine.state import COMPENSATE, Key, key_of
from runbooks.engine.transitions import StepStatus
from tests.prove.cast import IDLE, Process, World, cast_of
from tests.prove.samples import Sample
from tests.runbooks.engine.course import Broken, command_of
from tests.runbooks.engine.invariants import check_all
from tests.runbooks.engine.life import Life

S = StepStatus
MOST_STEPS = 20_000
SMALL = 30
"""Boundaries of a run that is small enough for CI to crash twice in it, at every two of them."""

RESIDUE = ("gate.after_commit", "complete_and_gate.after_commit", "effect.before")
"""Frozen exactly there, a process may act when its lease is long over: the docs say so, and nothing removes it."""


# One execution --------------------------------------------------------------------------------


@dataclass(slots=True)
class Execution:
    """One run to its end. ``points``: the boundaries that were passed, in order."""

    world: World
    points: list[str]
    frozen: list[Process] = field(default_factory=list)


def execute(sample: Sample, *, crash: frozenset[int] = frozenset(), freeze: int | None = None) -> Execution:
    """Run to the end; the process at each of the boundaries in ``crash`` dies there, the one at ``freeze`` is
    stopped there and goes on when everything else is over. Raises AssertionError for a run that never ends.
    """  # fmt: skip
    world = World(sample, Life(sample.definition, inputs=dict(sample.inputs)))
    cast = [(role, role(world)) for role in cast_of(sample)]
    execution = Execution(world, [])
    for _ in range(MOST_STEPS):
        idle = True
        for n, (role, process) in enumerate(cast):
            point = next(process)
            if point == IDLE:
                continue
            idle = False
            at = len(execution.points)
            execution.points.append(point)
            if at in crash:
                cast[n] = (role, role(world))
            elif at == freeze:
                execution.frozen.append(process)
                cast[n] = (role, role(world))
        if idle and not _time_passes(world):
            _thaw(execution)
            return execution
    raise AssertionError(f"{sample.name} goes on for ever")


def _time_passes(world: World) -> bool:
    """Go to when something is due next; False when nothing will happen any more."""
    leases = [lease.until for lease in world.leases.values() if lease.until is not None]
    moments = [until + timedelta(seconds=1) for until in leases]
    if world.life.history and not world.life.state.ended:
        moments += world.life.due()
    later = [moment for moment in moments if moment > world.life.now]
    if not later:
        return False
    world.life.now = min(later)
    return True


def _thaw(execution: Execution) -> None:
    """Who was stopped goes on, long after: nothing that they say may be believed."""
    for process in execution.frozen:
        for _ in range(20):
            if next(process) == IDLE:
                break


# The judgement --------------------------------------------------------------------------------


@dataclass(slots=True)
class Judgement:
    """What the crashes of one sample came to. The lists are sentences about what must not be."""

    name: str
    points: int = 0
    executions: int = 0
    by_point: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    judged: set[tuple[tuple[str, str, datetime], ...]] = field(default_factory=set)

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost, doubled or stuck."""
        return not (self.lost or self.doubled or self.stuck)


def simulate_all(found: list[Sample], *, long: bool) -> list[Judgement]:
    """Every sample; two crashes in one run for the small ones, or ``long`` for all that were written for it."""
    judgements: list[Judgement] = []
    for sample in found:
        small = len(execute(sample).points) <= SMALL
        judgements.append(simulate(sample, pairs=sample.pairs and (small or long)))
    return judgements


def simulate(sample: Sample, *, pairs: bool = False) -> Judgement:
    """Crash at every boundary; freeze at every one but the residue; with ``pairs`` crash at every two boundaries."""
    calm = execute(sample)
    judgement = Judgement(sample.name, points=len(calm.points), by_point=Counter(calm.points))
    if calm.world.life.state.status != sample.state:
        judgement.lost.append(
            f"{sample.name} ends {calm.world.life.state.status} without a crash, not {sample.state}"
        )
    judge(judgement, calm, calm, "without a crash")
    for at, point in enumerate(calm.points):
        crashed = _one(judgement, calm, f"crash at {at} ({point})", crash=frozenset({at}))
        if pairs and crashed is not None:
            for second in range(at + 1, len(crashed.points)):
                words = f"crashes at {at} ({point}) and {second} ({crashed.points[second]})"
                _one(judgement, calm, words, crash=frozenset({at, second}))
        if point not in RESIDUE:
            _one(judgement, calm, f"frozen at {at} ({point})", freeze=at)
    return judgement


def _one(
    judgement: Judgement,
    calm: Execution,
    words: str,
    *,
    crash: frozenset[int] = frozenset(),
    freeze: int | None = None,
) -> Execution | None:
    judgement.executions += 1
    try:
        found = execute(calm.world.sample, crash=crash, freeze=freeze)
    except AssertionError as endless:
        judgement.stuck.append(f"{words}: {endless}")
        return None
    judge(judgement, calm, found, words)
    return found


def judge(judgement: Judgement, calm: Execution, found: Execution, words: str) -> None:
    """The ledger and the end, against those of the run that nobody disturbed; and the history against itself."""
    name, life = judgement.name, found.world.life
    if not life.state.ended:
        judgement.stuck.append(f"{name}, {words}: the run is {life.state.status}")
        return
    wanted = calm.world.life.state.status
    if life.state.status != wanted:
        judgement.lost.append(f"{name}, {words}: ended {life.state.status}, not {wanted}")
    for key in calm.world.did | found.world.did:
        before, now = calm.world.did[key], found.world.did[key]
        place = Key.parse(key)
        undone = key_of(place.node, place.iteration) if place.role == COMPENSATE else key
        node = life.state.node(undone)
        # What was stopped before it began is not lost, nor the undoing of what never happened.
        stopped = not found.world.did[undone] and (node.cancelling or node.status == S.CANCELLED)
        if before and not now and not stopped:
            judgement.lost.append(f"{name}, {words}: {key} never happened")
        repeatable = is_repeatable(command_of(life.definition, key))
        if now > max(before, 1) and not repeatable:
            judgement.doubled.append(f"{name}, {words}: {key} happened {now} times")
        if place.role == COMPENSATE and now and not (before and found.world.did[undone]):
            judgement.doubled.append(
                f"{name}, {words}: {key} was undone, and should stand, or never happened"
            )
    told = tuple((event.type, getattr(event, "key", ""), event.at) for event in life.history)
    if told in judgement.judged:
        return
    judgement.judged.add(told)
    try:
        check_all(life.course)
    except Broken as broken:
        judgement.lost.append(f"{name}, {words}: {broken}")
