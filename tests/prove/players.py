"""The processes that are killed: each does one part of the product's work in a loop, by the product's own functions."""

from __future__ import annotations

import os
import random
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import time_machine
from django.db import Error, connection, transaction

from handrail.accounts.actors import actor_of_user
from handrail.accounts.models import User
from handrail.incidents import timeline
from handrail.incidents.models import Incident
from handrail.outbox.actions import enqueue
from handrail.outbox.sending import deliver_due
from handrail.shared.actors import Actor, Channel
from handrail.shared.clock import database_now
from handrail.shared.errors import HandrailError
from handrail.shared.failpoints import WATCHERS, FailPoint
from runbooks import admitting, approvals, manual, resuming, runs, schedules
from runbooks.engine.state import key_of
from runbooks.execution import children, recover
from runbooks.execution.contexts import idempotency_key
from runbooks.execution.drive import Driver
from runbooks.execution.heart import Heart
from runbooks.execution.patience import Patience
from runbooks.execution.process import Ending, keep_connection
from runbooks.execution.worker import Me
from runbooks.models import Approval, Run, Runbook, StepRun
from tests.prove.actions import CHANNEL, ledger
from tests.prove.ledger import DID
from tests.prove.scenarios import SCENARIOS
from tests.prove.swallowing import belongs, note, say

IDLE = 0.02
"""Seconds between two looks of somebody who found nothing to do."""

WORKER, SWEEPER, HUMAN, STARTER = "worker", "sweeper", "human", "starter"

POINTS: dict[str, tuple[FailPoint, ...]] = {
    WORKER: (
        "claim.taken",
        "claim.before_commit",
        "claim.after_commit",
        "poll.after_claim",
        "effect.before",
        "effect.after",
        "complete.before_commit",
        "complete.after_commit",
        "heartbeat.before_commit",
        "heartbeat.after_commit",
        "subrun.begun",
        "subrun.ended",
        "subrun.collected",
        "admit.before_commit",
        "admit.after_commit",
    ),
    SWEEPER: (
        "schedule.before_commit",
        "schedule.after_commit",
        "subrun.collected",
        "outbox.after_claim",
        "outbox.after_send",
        "outbox.after_mark",
        "recover.before_commit",
        "recover.after_commit",
        "timer.before_commit",
        "timer.after_commit",
        "hint.after_mark",
        "claim.before_commit",
    ),
    HUMAN: (
        "approval.before_commit",
        "approval.after_commit",
        "decision.before_commit",
        "decision.after_commit",
        "manual.before_commit",
        "manual.after_commit",
        "steer.before_commit",
        "steer.after_commit",
    ),
    STARTER: ("start.before_commit", "start.after_commit"),
}


STOPS: tuple[FailPoint, ...] = (
    "claim.after_commit",
    "poll.after_claim",
    "effect.before",
    "effect.after",
    "complete.after_commit",
)
"""Where a worker may be stopped past its lease instead of killed: in no transaction, and not within its effect."""

STOPPED = 0.04
"""The share of the workers that are stopped."""


PAUSES = 0.05
"""How often, of all looks, the human pauses a run."""


@dataclass(frozen=True, slots=True)
class Arena:
    """What all share. ``last_words``: a file in which somebody says where they were killed; ``told``: where starters
    write the runs of which they know that they exist. ``most_open``: so many runs go on at once. ``shifted``: clocks
    are wrong by a day. ``words``: what the errors say that belong to the scene's trouble.
    """

    ending: Ending
    calm: Ending
    folder: Path
    most_open: int
    shifted: bool = False
    words: tuple[str, ...] = ()

    @property
    def last_words(self) -> Path:
        return self.folder / "last-words"

    @property
    def stopped(self) -> Path:
        """Who was stopped, and where."""
        return self.folder / "stopped"

    @property
    def unexpected(self) -> Path:
        """Errors of the database that do not belong to the scene's trouble."""
        return self.folder / "unexpected"

    @property
    def told(self) -> Path:
        return self.folder / "told"


def fork(arena: Arena, role: str, seed: int) -> int:
    """Begin the life of somebody; their process id. No connection may be open."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        random.seed(seed)
        if not arena.calm.is_set():
            _arm(arena, role)
        if arena.shifted and (days := random.choice((-1, 0, 1))):
            time_machine.travel(datetime.now(UTC) + timedelta(days=days), tick=True).start()
        keep_connection()
        _live(arena, role)
        connection.close()
        status = 0
    finally:
        if status:
            traceback.print_exc()  # nobody above would say it
        os._exit(status)


def _arm(arena: Arena, role: str) -> None:
    """Die at one point, when it is reached for the first, second, third... time."""
    stops = role == WORKER and random.random() < STOPPED
    mine = random.choice(STOPS if stops else POINTS[role])
    left = random.randint(1, OFTEN if role == STARTER else SELDOM)

    def reached(point: FailPoint) -> None:
        nonlocal left
        if point != mine or left <= 0 or arena.calm.is_set():
            return
        left -= 1
        if left:
            return
        if stops:
            say(arena.stopped, f"{os.getpid()}\t{point}")
            os.kill(os.getpid(), signal.SIGSTOP)
        else:
            say(arena.last_words, f"{role}\t{point}")
            os.kill(os.getpid(), signal.SIGKILL)

    WATCHERS.append(reached)


def _live(arena: Arena, role: str) -> None:
    """Play the role; whoever finds no database at the beginning begins again, as a supervisor would see to it."""
    parent = os.getppid()
    while not arena.ending.is_set() and os.getppid() == parent:
        try:
            ROLES[role](arena)
        except (Error, OSError) as error:
            swallow(arena, role, error)
            time.sleep(0.1)


def swallow(arena: Arena, who: str, error: Exception) -> None:
    """Go on after an error that belongs to the scene's trouble; any other one is for the judge."""
    if not belongs(error, arena.words):
        note(arena.unexpected, who, error)
    connection.close()


def _loop(arena: Arena, role: str, act: Callable[[], bool]) -> None:
    """Act until the end, or until the parent is gone: nobody else would ever end us."""
    parent = os.getppid()
    while not arena.ending.is_set() and os.getppid() == parent:
        try:
            found = act()
        except (Error, OSError) as error:
            swallow(arena, role, error)
            found = False
        if not found:
            time.sleep(IDLE)


def work(arena: Arena) -> None:
    """A worker that gets hints about ready steps, true and late ones, and polls."""
    me = Me.in_pools("default")
    me.say_alive()
    heart = Heart(me, also=me.say_alive)
    heart.start()
    driver = Driver(me, heart, stopping=arena.ending.is_set)

    def act() -> bool:
        if random.random() < 0.3:
            return driver.go_on(driver.next_overdue()) > 0
        due = StepRun.objects.filter(state="ready", ready_at__lte=database_now())
        ready = list(due.values_list("pk", flat=True)[:10])
        return bool(ready) and driver.drive(random.choice(ready)) > 0

    _loop(arena, WORKER, act)
    driver.say_stopped()


def sweep(arena: Arena) -> None:
    """The sweeper's duties for runs."""
    duties = (
        recover.fire_due,
        Patience().recover_expired,
        recover.hint_ready,
        approvals.expire_due,
        lambda: arena.calm.is_set() or schedules.fire_due(),
        admitting.admit_due,
        children.stop_unwanted,
        children.follow_parents,
        deliver_due,
    )

    def act() -> bool:
        for duty in duties:
            try:
                duty()
            except (Error, OSError) as error:
                # Each duty has its own thread in the product: a failing one hurts no other.
                swallow(arena, SWEEPER, error)
        time.sleep(0.1)
        return True

    _loop(arena, SWEEPER, act)


def decide(arena: Arena) -> None:
    """A person who approves, and who says what became of a step after a look into the ledger."""
    actor = actor_of_user(User.objects.get(username="human"), Channel.WEB)

    def act() -> bool:
        asked = Approval.objects.filter(state=Approval.State.PENDING).first()
        doubtful = StepRun.objects.filter(state="uncertain").order_by("?").first()
        by_hand = StepRun.objects.filter(state="awaiting_human").order_by("?").first()
        try:
            if asked is not None:
                approvals.decide(asked.pk, actor=actor, decision="approve")
            elif by_hand is not None:
                manual.answer(by_hand.pk, actor=actor, choice="done", inputs={"seen": 7})
            elif doubtful is not None:
                key = key_of(doubtful.node, doubtful.iteration, doubtful.role)
                happened = ledger().times(DID, idempotency_key(doubtful.run_id, key)) > 0
                choice = "done" if happened else "retry"
                runs.decide_step(doubtful.pk, actor=actor, choice=choice, reason="The ledger says so.")
        except HandrailError:
            # Somebody was faster, or the old worker is not known to be dead yet.
            return False
        steered = _steer(arena, actor)
        return steered or asked is not None or doubtful is not None or by_hand is not None

    _loop(arena, HUMAN, act)


def _steer(arena: Arena, actor: Actor) -> bool:
    """Let a paused run go on, or pause one now and then: nothing that a run does in the end may change by that."""
    outermost = Run.objects.filter(parent_step=None, is_open=True).order_by("?")
    paused = outermost.filter(state=Run.State.PAUSED).first()
    going = None
    if paused is None and not arena.calm.is_set() and random.random() < PAUSES:
        going = outermost.exclude(state=Run.State.PAUSED).first()
    try:
        if paused is not None:
            resuming.resume(paused.pk, actor=actor)
        elif going is not None:
            resuming.pause(going.pk, actor=actor, reason="To prove that it may.")
    except HandrailError:
        return False
    return paused is not None or going is not None


def begin(arena: Arena) -> None:
    """Starts runs as long as few go on."""
    actor = actor_of_user(User.objects.get(username="author"), Channel.API)
    slugs = [scenario.slug for scenario in SCENARIOS if scenario.is_started]
    runbooks = list(Runbook.objects.filter(slug__in=slugs).select_related("live", "project"))
    incidents = list(Incident.objects.all())

    def act() -> bool:
        if arena.calm.is_set() or Run.objects.filter(is_open=True).count() >= arena.most_open:
            return False
        run = _start(random.choice(runbooks), random.choice([None, *incidents]), actor)
        with transaction.atomic():
            enqueue(CHANNEL, "told", f"told:{run.pk}", {"run": str(run.pk)})
        say(arena.told, str(run.pk))
        return True

    _loop(arena, STARTER, act)


def _start(runbook: Runbook, incident: Incident | None, actor: Actor) -> Run:
    """Start a run, maybe in an incident: as a person does, or as an alert, which has told the incident before."""
    with transaction.atomic():
        if incident is not None and random.random() < 0.5:
            timeline.add(incident, "note", "It fires again.", actor=actor)
        return runs.start(runbook, inputs={}, actor=actor, incident=incident).run


ROLES: dict[str, Callable[[Arena], None]] = {WORKER: work, SWEEPER: sweep, HUMAN: decide, STARTER: begin}
SELDOM, OFTEN = 4, 16
"""After at most so many times somebody dies at their fail point; starters come to theirs again and again."""

CAST = (WORKER,) * 5 + (SWEEPER, HUMAN, STARTER)
"""Who plays at once."""
