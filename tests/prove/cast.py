"""Who plays in the simulation: coroutines that stop at every boundary, and the world that survives their crashes.

What a process does between two boundaries is one transaction, by the rules of the pure engine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from runbooks.engine import events as e
from runbooks.engine.deciding import retry_refusal
from runbooks.engine.transitions import StepStatus
from runbooks.language.definition import Json
from tests.prove.acts import Act
from tests.prove.samples import Sample
from tests.runbooks.engine.course import command_of
from tests.runbooks.engine.life import Life

S = StepStatus
LEASE = timedelta(seconds=30)

IDLE = ""
"""What a process says that has nothing to do now."""

Process = Iterator[str]


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

    def may_pass(self) -> bool:
        """Whether the gate lets anything through: in a pause it does not."""
        return not self.life.state.paused

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
        if not world.life.history and world.sample.waits:
            world.life.hold()
        elif not world.life.history:
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
            if not world.may_pass():
                world.lease(key).until = None
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
    broken = key == world.sample.mended and not world.life.state.reopened
    if broken or command.call.with_.get("fails") is True:
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


def admitter(world: World) -> Process:
    """Lets a run begin that waits for its turn, if it is to have one: by a process that ended, or by the sweeper."""
    life = world.life
    while True:
        if not world.sample.has_its_turn or not life.history or life.has_begun or life.state.ended:
            yield IDLE
            continue
        yield "admit.before_commit"
        if not life.has_begun and not life.state.ended:
            life.start()
        yield "admit.after_commit"


def steerer(world: World) -> Process:
    """A person who steers the run as the sample says. What was done is read from the history: they may die, too."""
    life = world.life
    while True:
        act = _next_act(world)
        if act is None:
            yield IDLE
            continue
        yield "steer.before_commit"
        if _next_act(world) is act:
            act.do(life)
        yield "steer.after_commit"


def _next_act(world: World) -> Act | None:
    """The first act that was not done yet, if its time has come and nothing refuses it."""
    for act in world.sample.acts:
        if not act.is_done(world.life):
            return act if act.may_be_done(world.life) else None
    return None


CAST: tuple[Callable[[World], Process], ...] = (
    starter,
    lambda world: worker(world, "one"),
    lambda world: worker(world, "two"),
    sweeper,
    human,
    child,
)
"""Who plays in every run."""


def cast_of(sample: Sample) -> list[Callable[[World], Process]]:
    """Who plays in a run of this sample."""
    return [*CAST, *([admitter] if sample.waits else []), *([steerer] if sample.acts else [])]
