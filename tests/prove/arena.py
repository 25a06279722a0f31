"""One proof on one database: processes are started, killed and started again, until so many are dead."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings
from django.db import connections

from handrail.accounts import actions as accounts
from handrail.accounts.actors import CONSOLE, actor_of_user
from handrail.audit.models import AuditEntry
from handrail.incidents.actions import open_incident
from handrail.outbox.models import OutboxMessage
from handrail.shared.actors import Channel
from runbooks import versions
from runbooks.execution.process import Ending
from runbooks.models import Run, StepRun
from tests.prove.actions import CHANNEL, LEDGER_VARIABLE, ledger
from tests.prove.judge import Verdict, judge, stale_completions
from tests.prove.ledger import DID
from tests.prove.players import CAST, Arena, fork
from tests.prove.scenarios import SCENARIOS
from tests.prove.swallowing import unexpected
from tests.prove.troubles import NoTrouble, Trouble

AT_RANDOM = 0.25
"""The share of the kills that come from outside, at any instruction, in place of a fail point."""

SPARED = 3.0
"""Seconds that somebody who was stopped may live on, so that what they have to say is refused."""

FEWEST = 5
"""So many runs must have been told of before anybody may stop; harm to a place where nothing happens proves nothing."""

LONGEST_LIFE = 3.0
"""Seconds after which somebody who never came to their fail point is killed from outside."""

LOOKS = (1.0, 4.0)
"""Seconds for the sweeper's round, after two leases; the second look is for a machine that is busy."""

INCIDENTS = 3
"""So few that several runs tell the same one at once."""

DRAIN = 120.0
"""Seconds that what was begun may take to end, once nobody is killed any more."""


@dataclass(slots=True)
class Proof:
    """What came of it. ``points``: kills by role and fail point; ``outside`` those from outside. ``stopped``: who was
    stopped past the lease and went on; ``refused``: completions that were refused for it. ``counts``: what else
    befell. ``slowest``: seconds until everything had ended after a blow, at most.
    """

    database: str
    seed: int
    kills: int = 0
    outside: int = 0
    stopped: int = 0
    refused: int = 0
    runs: int = 0
    effects: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    points: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    verdict: Verdict = field(default_factory=Verdict)

    def result(self) -> dict[str, object]:
        """As JSON, for the process that plays the scenes."""
        verdict = self.verdict
        return {
            "runs": self.runs,
            "effects": self.effects,
            "seconds": round(self.seconds),
            "slowest": self.slowest,
            "kills": self.kills,
            "outside": self.outside,
            "stopped": self.stopped,
            "refused": self.refused,
            "points": dict(sorted(self.points.items())),
            "counts": dict(self.counts),
            "lost": verdict.lost,
            "doubled": verdict.doubled,
            "stuck": verdict.stuck,
            "unexpected": verdict.unexpected,
        }


def furnish() -> None:
    """An author who starts runs, a human who decides, the incidents for which they are started, and the runbooks."""
    project = accounts.create_project("proof", "Proof", actor=CONSOLE)
    author = accounts.create_user("author", name="Author", actor=CONSOLE)
    human = accounts.create_user("human", name="Human", actor=CONSOLE)
    for who, roles in ((author, ("admin", "responder")), (human, ("approver", "responder"))):
        for role in roles:
            accounts.assign_role(project, who, role, actor=CONSOLE)
    actor = actor_of_user(author, Channel.CLI)
    for number in range(INCIDENTS):
        open_incident(project, title=f"Incident {number}", actor=actor)
    for scenario in SCENARIOS:
        runbook = versions.create(project, scenario.source(), actor=actor)
        versions.publish(runbook, actor=actor, message="to prove")


@dataclass(slots=True)
class Player:
    role: str
    born: float
    doomed: bool = False
    goes_on_at: float = 0.0
    """When, if they are stopped."""


class Parent:
    """Forks, kills and buries. Holds no database connection while it forks."""

    def __init__(self, arena: Arena, proof: Proof, kills: int, trouble: Trouble) -> None:
        self.arena = arena
        self.trouble = trouble
        self.proof = proof
        self.wanted = kills
        self.living: dict[int, Player] = {}
        self.died: dict[int, list[float]] = {}
        self.dice = random.Random(proof.seed)

    def play(self) -> None:
        """Until so many have been killed; then nobody is, until everything has ended or the time is over."""
        for role in CAST:
            self._fork(role)
        while self.proof.kills < self.wanted or self.trouble.goes_on() or not self._something_happened():
            self._bury()
            self._wake_stopped()
            self._kill_somebody()
            self.trouble.tick()
            time.sleep(0.005)
        self.trouble.end()
        self.arena.calm.set()
        self._wake_stopped(everybody=True)
        calm = time.monotonic()
        lease = float(settings.LEASE_SECONDS)
        looks = [calm + 2 * lease + late for late in LOOKS]
        # Until a look at the dead, at least: what somebody was just starting is there by then.
        while time.monotonic() < calm + DRAIN and (looks or self._something_is_open()):
            self._bury()
            if looks and time.monotonic() > looks[0]:
                held = self._held_by_the_dead()
                looks = looks[1:] if held else []
                if not looks:
                    self.proof.verdict.stuck.extend(held)
            time.sleep(0.2)

    def _something_happened(self) -> bool:
        """Whether enough runs were started that the proof is one."""
        told = self.arena.told
        return told.exists() and len(told.read_text().split()) >= FEWEST

    def end(self) -> None:
        """Everybody goes home."""
        self.arena.ending.set()
        self._wake_stopped(everybody=True)
        deadline = time.monotonic() + 15
        while self.living and time.monotonic() < deadline:
            self._bury(again=False)
            time.sleep(0.02)
        for pid in self.living:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self.living.clear()

    def _fork(self, role: str) -> None:
        connections.close_all()
        pid = fork(self.arena, role, self.dice.getrandbits(32))
        self.living[pid] = Player(role, time.monotonic())

    def _bury(self, *, again: bool = True) -> None:
        """Who has died is followed by another of their role."""
        for pid in list(self.living):
            gone, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
            if gone != pid:
                continue
            if os.WIFSTOPPED(status):
                # Past the lease, and not yet so long that a human may say that they are dead.
                beyond = float(settings.LEASE_SECONDS) * self.dice.uniform(1.15, 1.5)
                self.living[pid].goes_on_at = time.monotonic() + beyond
                self.proof.stopped += 1
                continue
            self.died.setdefault(pid, []).append(time.monotonic())
            player = self.living.pop(pid)
            if os.WIFSIGNALED(status):
                self.proof.kills += 1
            elif again:
                raise RuntimeError(
                    f"the {player.role} {pid} ended by itself: {os.waitstatus_to_exitcode(status)}"
                )
            if again:
                self._fork(player.role)

    def _wake_stopped(self, *, everybody: bool = False) -> None:
        """SIGCONT for those whose time has come."""
        now = time.monotonic()
        for pid, player in self.living.items():
            if player.goes_on_at and (everybody or player.goes_on_at <= now):
                player.goes_on_at, player.born = 0.0, now + SPARED
                os.kill(pid, signal.SIGCONT)

    def _kill_somebody(self) -> None:
        now = time.monotonic()
        for pid, player in self.living.items():
            age = now - player.born
            if player.doomed or player.goes_on_at or age < 0:
                continue
            if age > LONGEST_LIFE or self.dice.random() < 0.005 * AT_RANDOM * age:
                os.kill(pid, signal.SIGKILL)
                player.doomed = True
                self.proof.outside += 1

    def _something_is_open(self) -> bool:
        """Whether a run goes on, or a message waits: also one that somebody dead had in hand."""
        on_the_way = (OutboxMessage.State.PENDING, OutboxMessage.State.SENDING)
        waits = OutboxMessage.objects.filter(channel=CHANNEL, state__in=on_the_way)
        found = Run.objects.filter(is_open=True).exists() or waits.exists()
        connections.close_all()
        return found

    def _held_by_the_dead(self) -> list[str]:
        """What nobody has taken back from the dead, as sentences."""
        # Between two looks of a `wait_until` nobody holds the step.
        held = StepRun.objects.filter(state__in=["claimed", "executing"], lease_until__isnull=False)
        found = [
            f"step {step} is still held by {owner}, who is dead"
            for step, owner in held.values_list("pk", "owner")
            if (pid := int(owner.split(":")[1])) in self.died and pid not in self.living
        ]
        connections.close_all()
        return found


@contextmanager
def _ledger_at(path: Path) -> Iterator[None]:
    os.environ[LEDGER_VARIABLE] = str(path)
    try:
        yield
    finally:
        del os.environ[LEDGER_VARIABLE]


@dataclass(frozen=True, slots=True)
class Play:
    """What is played. ``shifted``: everybody's clock is right, a day late or a day early."""

    kills: int
    seed: int
    most_open: int = 40
    shifted: bool = False


def prove(database: str, folder: Path, play: Play, trouble: Trouble | None = None) -> Proof:
    """Kill so many processes over the database of this process, which is empty but migrated; and judge."""
    proof = Proof(database, play.seed)
    began = time.monotonic()
    furnish()
    trouble = trouble or NoTrouble()
    arena = Arena(Ending(), Ending(), folder, play.most_open, play.shifted, trouble.words)
    parent = Parent(arena, proof, play.kills, trouble)
    with _ledger_at(folder / "ledger"):
        try:
            parent.play()
        finally:
            parent.end()
            connections.close_all()
        found = judge(ledger(), arena.told, parent.died, unexpected=unexpected(arena.unexpected))
        proof.effects = sum(line.word == DID for line in ledger().lines())
    connections.close_all()
    stale_completions(arena.stopped, parent.died, found)
    for name in ("lost", "doubled", "stuck", "unexpected"):
        getattr(proof.verdict, name).extend(getattr(found, name))
    words = arena.last_words.read_text().splitlines() if arena.last_words.exists() else []
    proof.points = Counter(word.replace("\t", " ") for word in words)
    proof.counts = parent.trouble.counts
    proof.refused = AuditEntry.objects.filter(action="step.completion_refused").count()
    proof.runs = Run.objects.count()
    proof.seconds = time.monotonic() - began
    return proof
