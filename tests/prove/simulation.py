"""Every crash there is: a run in memory under virtual time, whose processes die at each commit and at each effect.

The processes are coroutines that stop at every boundary. What they do in between is one transaction, by the rules
of the pure engine: what is durable is a history and a lease a step, as in the database; effects are in a ledger.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from runbooks.engine import events as e
from runbooks.engine.deciding import retry_refusal
from runbooks.engine.outcomes import is_repeatable
from runbooks.engine.state import COMPENSATE, Key
from runbooks.engine.transitions import StepStatus
from runbooks.language.definition import Json
from tests.prove.samples import Sample
from tests.runbooks.engine.course import Broken, command_of
from tests.runbooks.engine.invariants import check_all
from tests.runbooks.engine.life import Life

S = StepStatus
LEASE = timedelta(seconds=30)
MOST_STEPS = 20_000
SMALL = 30
"""Boundaries of a run that is small enough for CI to crash twice in it, at every two of them."""

IDLE = ""
"""What a process says that has nothing to do now."""

Process = Iterator[str]

RESIDUE = ("gate.after_commit", "complete_and_gate.after_commit", "effect.before")
"""Frozen exactly there, a process may act when its lease is long over: the docs say so, and nothing removes it."""


@dataclass(slots=True)
class Lease:
    """Who has a step in hand. The fence only grows."""

    fence: int = 0
    owner: str = ""
    until: datetime | None = None


@dataclass
class World:
    """What survives every crash: the committed history, the leases, and the effects in production."""

    sample: Sample
    life: Life
    leases: dict[str, Lease] = field(default_factory=dict)
    did: Counter[str] = field(default_factory=Counter)
    refused: int = 0

    def lease(self, key: str) -> Lease:
        """The lease of a step."""
        return self.leases.setdefault(key, Lease())

    def free(self) -> list[str]:
        """The steps that a worker may claim now."""
        return [key for key in self.life.claimable() if self.lease(key).until is None]

    def take(self, key: str, owner: str) -> int:
        """Claim a step: a new fence, a new lease."""
        lease = self.lease(key)
        lease.fence, lease.owner, lease.until = lease.fence + 1, owner, self.life.now + LEASE
        return lease.fence

    def holds(self, key: str, fence: int, status: StepStatus) -> bool:
        """Whether the fence still stands: what every conditional update asks."""
        lease = self.lease(key)
        return lease.fence == fence and lease.until is not None and self.life.state.node(key).status == status


# The processes --------------------------------------------------------------------------------


def starter(world: World) -> Process:
    """Starts the run, once."""
    while True:
        if world.life.history:
            yield IDLE
            continue
        yield "start.before_commit"
        if not world.life.history:
            world.life.start()
        yield "start.after_commit"


def worker(world: World, name: str) -> Process:
    """Claims, gates, acts, completes; and takes the next step in the commit of the one before."""
    carried: tuple[str, int] | None = None
    while True:
        if carried is None:
            free = world.free()
            if not free:
                yield IDLE
                continue
            key = free[0]
            yield "claim.before_commit"
            if key not in world.free():
                continue
            fence = world.take(key, name)
            yield "claim.after_commit"
            yield "gate.before_commit"
            if not world.holds(key, fence, S.READY):
                continue
            world.life.commit(world.life.started(key, fence=fence, worker=name))
            world.lease(key).until = world.life.now + LEASE
            yield "gate.after_commit"
        else:
            key, fence = carried
        yield "effect.before"
        ended = _act(world, key)
        yield "effect.after"
        yield "complete.before_commit"
        if not world.holds(key, fence, S.EXECUTING):
            world.refused += 1
            carried = None
            continue
        carried = _complete(world, name, key, ended)
        yield "complete.after_commit" if carried is None else "complete_and_gate.after_commit"


def _act(world: World, key: str) -> Json | None:
    """The effect; None when the target refuses it, as the runbook wants."""
    command = command_of(world.life.definition, key)
    if command.call.with_.get("fails") is True:
        return None
    answer = world.sample.production(key, world.did)
    world.did[key] += 1
    return answer


def _complete(world: World, name: str, key: str, outputs: Json | None) -> tuple[str, int] | None:
    """The result, what follows from it, and the claim and the start of the next step, in one commit."""
    life = world.life
    world.lease(key).until = None
    if life.state.node(key).cancelling and outputs is None:
        life.commit(e.StepCancelled(at=life.now, key=key, reason="It was told to stop."))
    elif outputs is None:
        error: dict[str, Json] = {"code": "refused", "message": "It always fails.", "retryable": False}
        life.commit(life.failed(key, error))
    else:
        life.commit(*life.succeeded(key, outputs))
    free = [] if life.state.ended else world.free()
    if not free:
        return None
    fence = world.take(free[0], name)
    life.commit(life.started(free[0], fence=fence, worker=name))
    return free[0], fence


def sweeper(world: World) -> Process:
    """Takes back what the silent had in hand, and fires what is due."""
    fired: datetime | None = None
    while True:
        now = world.life.now
        expired = [
            key for key, lease in world.leases.items() if lease.until is not None and lease.until < now
        ]
        if expired:
            yield "recover.before_commit"
            _take_back(world, expired[0])
            yield "recover.after_commit"
        elif fired != now and world.life.history and not world.life.state.ended:
            fired = now
            yield "timer.before_commit"
            if not world.life.state.ended:
                world.life.advance()
            yield "timer.after_commit"
        else:
            yield IDLE


def _take_back(world: World, key: str) -> None:
    lease, life = world.lease(key), world.life
    if lease.until is None or lease.until >= life.now:
        return
    if life.state.node(key).status == S.EXECUTING:
        life.commit(life.lost(key))
    lease.fence, lease.until = lease.fence + 1, None


def human(world: World) -> Process:
    """Answers what is asked; about a step in doubt they look into production, and say the truth."""
    life = world.life
    while True:
        answer = _answer(world)
        if answer is None:
            yield IDLE
            continue
        yield "answer.before_commit"
        answer = _answer(world)
        if answer is not None:
            life.commit(answer)
        yield "answer.after_commit"


def _answer(world: World) -> e.Event | None:
    life = world.life
    for key in life.keys(S.AWAITING_APPROVAL):
        return life.voted(key, "approved")
    for key in life.keys(S.AWAITING_HUMAN):
        return e.ManualAnswered(at=life.now, key=key, choice="done", by="human")
    for key in life.keys(S.UNCERTAIN):
        if life.state.node(key).asks_human:
            if world.did[key]:
                return life.decided(key, "done")
            refused = retry_refusal(life.definition, life.state, key)
            return life.decided(key, "fail" if refused else "retry")
    return None


def child(world: World) -> Process:
    """Runs the runbooks that the run's steps start."""
    while True:
        if not world.life.subruns():
            yield IDLE
            continue
        yield "child.before_commit"
        if world.life.subruns():
            key = world.life.subruns()[0]
            cancelling = world.life.state.node(key).cancelling
            world.life.commit(world.life.child_ended(key, "cancelled" if cancelling else "succeeded"))
        yield "child.after_commit"


CAST: tuple[Callable[[World], Process], ...] = (
    starter,
    lambda world: worker(world, "one"),
    lambda world: worker(world, "two"),
    sweeper,
    human,
    child,
)


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
    cast = [(role, role(world)) for role in CAST]
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
    _judge(judgement, calm, calm, "without a crash")
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
    _judge(judgement, calm, found, words)
    return found


def _judge(judgement: Judgement, calm: Execution, found: Execution, words: str) -> None:
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
        node = life.state.node(key)
        # What was stopped before it began is not lost.
        if before and not now and not node.cancelling and node.status != S.CANCELLED:
            judgement.lost.append(f"{name}, {words}: {key} never happened")
        repeatable = is_repeatable(command_of(life.definition, key))
        if now > max(before, 1) and not repeatable:
            judgement.doubled.append(f"{name}, {words}: {key} happened {now} times")
        if Key.parse(key).role == COMPENSATE and now and not before:
            judgement.doubled.append(f"{name}, {words}: {key} was undone, and should stand")
    told = tuple((event.type, getattr(event, "key", ""), event.at) for event in life.history)
    if told in judgement.judged:
        return
    judgement.judged.add(told)
    try:
        check_all(life.course)
    except Broken as broken:
        judgement.lost.append(f"{name}, {words}: {broken}")
