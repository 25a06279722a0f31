"""Whether a run may begin now: one decision for whatever starts it, made under locks, counted from rows.

Asked when a run is made, and again each time when a pending one is looked at. It writes nothing. The locks that it
takes are held until the transaction ends, so that nobody decides about the same key at the same time.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from django.db.models import Q, QuerySet

from handrail.incidents import timeline
from handrail.shared.ids import short
from handrail.shared.statements.reading import fetch
from handrail.shared.statements.shapes import table
from runbooks.execution.holds import LOOK_AGAIN
from runbooks.execution.switching import Reach, code_of, switch_for, words_of
from runbooks.language.definition import Concurrency, RateLimit
from runbooks.language.definition import Runbook as Definition
from runbooks.models import Run, StepRun
from runbooks.priorities import SCHEDULED

SLOT = "slot"
RATE = "rate"
START_AT = "start_at"
POOL = "pool:"
"""What a pending run waits for, in its ``held``; a kill switch is ``switch:<id>``."""

LOOP_WINDOW = timedelta(hours=1)
SOONEST_LOOK, LATEST_LOOK = timedelta(seconds=5), timedelta(minutes=5)
"""How soon a run that waits for a pool is looked at again: a quarter of the time that it has waited, between these."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """It begins now."""


@dataclass(frozen=True, slots=True)
class Waits:
    """It stays pending. ``look_at``: when to ask again; whoever frees what it waits for sets that earlier."""

    code: str
    reason: str
    look_at: datetime
    replaces: tuple[uuid.UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class Attached:
    """Another run serves it."""

    run: Run
    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """It never begins. ``pages``: somebody has to hear of it."""

    code: str
    reason: str
    pages: bool = False


Verdict = Admitted | Waits | Attached | Refused


def decide(run: Run, definition: Definition, now: datetime, *, switches: bool = True) -> Verdict:
    """What becomes of a run that is not begun yet, saved or not. Inside a transaction.

    ``switches``: whether any kill switch is on.

    A run that a step waits for is never attached to another one: it waits for its turn instead.
    """
    if run.start_at is not None and run.start_at > now:
        words = f"Starts at {run.start_at:%Y-%m-%d %H:%M:%S} UTC."
        return Waits(START_AT, words, run.start_at)
    policy = definition.concurrency
    if policy is not None:
        lock_places(run)
        served = _served(run, policy)
        if served is not None:
            return served
    return (
        _looping(run, now)
        or _beyond_rate(run, definition.rate_limit, now)
        or (_switched_off(run, now) if switches else None)
        or _behind_pool(run, definition, now)
        or _in_queue(run, policy, now)
        or Admitted()
    )


def _served(run: Run, policy: Concurrency) -> Verdict | None:
    """Whether the runs that are there already are enough (``attach``, ``skip``)."""
    attaches = policy.on_conflict == "attach" and run.parent_step_id is None
    if not attaches and policy.on_conflict != "skip":
        return None
    # Whoever comes now has all who wait before it; among those who wait, the first is served.
    first = Q() if run.revision == 0 else ~Q(state=Run.State.PENDING) | _ranked_before(run)
    before = _same_key(run).filter(first).exclude(held=START_AT)
    found = list(before.order_by("created_at")[: policy.limit])
    if len(found) < policy.limit:
        return None
    goes_on = f"{_count(found)} with the key {run.concurrency_key!r}"
    if attaches:
        words = f"Run {short(found[0].pk)} goes on already with the key {run.concurrency_key!r} (on_conflict: attach)."
        return Attached(found[0], words)
    return Refused("concurrency", f"{goes_on} {_go(found)} on already (on_conflict: skip).")


def _in_queue(run: Run, policy: Concurrency | None, now: datetime) -> Verdict | None:
    """Whether as many runs as may be are live, or wait for a place before this one (``queue``, ``replace``)."""
    if policy is None or policy.on_conflict == "skip":
        return None
    same = _same_key(run)
    live = list(same.exclude(state=Run.State.PENDING).order_by("created_at", "pk"))
    if policy.on_conflict == "replace":
        return _replacing(run, policy, live, now)
    waiting = same.filter(_ranked_before(run), state=Run.State.PENDING, held=SLOT).count()
    if len(live) + waiting < policy.limit:
        return None
    ahead = f", {waiting} {'waits' if waiting == 1 else 'wait'} before it" if waiting else ""
    words = (
        f"Waits for its turn: {_count(live)} with the key {run.concurrency_key!r} {_go(live)} on{ahead} "
        f"(concurrency limit {policy.limit})."
    )
    return Waits(SLOT, words, now + LOOK_AGAIN)


def _replacing(run: Run, policy: Concurrency, live: Sequence[Run], now: datetime) -> Verdict | None:
    """The newest runs stay: those before them are stopped, and this one begins when they have ended."""
    mine = _wanted_at(run)
    others = _same_key(run).filter(created_at__lte=mine).exclude(held=START_AT)
    older = sorted((_wanted_at(other), other.pk, other) for other in others if _wanted_at(other) <= mine)
    victims = [other for *_, other in reversed(older) if not other.cancel_requested][policy.limit - 1 :]
    if len(live) < policy.limit and not victims:
        return None
    words = (
        f"Replaces {_count(live)} with the key {run.concurrency_key!r}: begins when "
        f"{'it has' if len(live) == 1 else 'they have'} ended (on_conflict: replace)."
    )
    # While somebody is still to be told to stop, whoever should do it may die.
    again = SOONEST_LOOK if victims else LOOK_AGAIN
    return Waits(SLOT, words, now + again, tuple(other.pk for other in victims))


def _wanted_at(run: Run) -> datetime:
    """From when on a run is wanted: one that was put off is as new as its time, and replaces nobody before."""
    return max(run.created_at, run.start_at or run.created_at)


def _looping(run: Run, now: datetime) -> Refused | None:
    """The guard against loops: what nobody but Handrail itself starts again and again does not help."""
    allowed = settings.LOOP_GUARD_RUNS
    if not run.loop_key or not allowed:
        return None
    _lock_key(run, "loop", run.loop_key)
    since = now - LOOP_WINDOW
    text = ["SELECT count(*) FROM", table(Run), "WHERE runbook_id = %s AND loop_key = %s AND created_at > %s"]
    # As the condition of its index says it.
    text += ["AND id <> %s AND NOT (loop_key = '')"]
    [(started,)] = fetch(" ".join(text), [run.runbook_id, run.loop_key, since, run.pk])
    if started < allowed:
        return None
    return Refused(
        "loop_guard",
        f"It was started {started} times within an hour with the same key and still is called for: that looks like "
        f"a loop, so a person has to look (at most {allowed} an hour; a person can start it).",
        pages=True,
    )


def _beyond_rate(run: Run, limit: RateLimit | None, now: datetime) -> Verdict | None:
    if limit is None:
        return None
    _lock_key(run, "rate", run.rate_key)
    per = timedelta(seconds=limit.per)
    counted = Run.objects.filter(runbook_id=run.runbook_id, rate_key=run.rate_key).exclude(pk=run.pk)
    recent = counted.filter(started_at__gt=now - per).order_by("started_at")
    started = list(recent.values_list("started_at", flat=True)[: limit.max_runs + LONGEST_RATE_QUEUE])
    waiting = 0
    if limit.on_exceed == "queue":
        waiting = counted.filter(_ranked_before(run), state=Run.State.PENDING, held=RATE).count()
    if len(started) + waiting < limit.max_runs:
        return None
    said = f"{len(started)} of at most {limit.max_runs} runs with the key {run.rate_key!r} began within {limit.per:g} s"
    if limit.on_exceed == "queue":
        place = waiting - (limit.max_runs - len(started))
        oldest = started[place] if place < len(started) else None
        return Waits(RATE, f"Waits for its turn: {said} (rate_limit).", (oldest or now) + per)
    return Refused("rate_limited", f"{said} (rate_limit).", pages=limit.on_exceed == "page")


LONGEST_RATE_QUEUE = 1_000
"""So many starts beyond the limit are looked at, to say when a waiting run's turn comes."""


def _switched_off(run: Run, now: datetime) -> Waits | None:
    switch = switch_for(Reach.of_run(run))
    return None if switch is None else Waits(code_of(switch.pk), words_of(switch), now + LOOK_AGAIN)


def _behind_pool(run: Run, definition: Definition, now: datetime) -> Waits | None:
    """Back-pressure: while a pool has more to do than it may, what the clock starts waits; nothing else does."""
    limit = settings.POOL_QUEUE_LIMIT
    if not limit or run.priority < SCHEDULED:
        return None
    ready = StepRun.objects.filter(state=StepRun.State.READY, pool=definition.pool, ready_at__lte=now)
    if ready.values("pk")[: limit + 1].count() <= limit:
        return None
    waited = (now - run.created_at) / 4
    look_at = now + min(max(waited, SOONEST_LOOK), LATEST_LOOK)
    words = (
        f"Waits: more than {limit} steps are ready in the pool {definition.pool}, and a schedule can wait."
    )
    return Waits(f"{POOL}{definition.pool}", words, look_at)


def first_waiting(run: Run) -> QuerySet[Run]:
    """The runs that wait for the place of this one, in their order."""
    waiting = _same_key(run).filter(state=Run.State.PENDING, held=SLOT)
    return waiting.order_by("priority", "created_at", "pk")


def no_place(run: Run, definition: Definition) -> str:
    """Why a run that is over cannot go on beside others with its key, in words; empty if it can.

    To be asked under :func:`lock_places` by who acts on it.
    """
    policy = definition.concurrency
    if policy is None or not run.concurrency_key:
        return ""
    live = list(_same_key(run).exclude(state=Run.State.PENDING).order_by("created_at", "pk")[: policy.limit])
    if len(live) < policy.limit:
        return ""
    return (
        f"{_count(live).capitalize()} with the key {run.concurrency_key!r} {_go(live)} on, and that is as many as may "
        f"(concurrency limit {policy.limit}): wait until {'it has' if len(live) == 1 else 'one has'} ended, or stop it."
    )


def lock_places(run: Run) -> None:
    """Let nobody decide about the run's concurrency key until the transaction ends."""
    if run.concurrency_key:
        _lock_key(run, "concurrency", run.concurrency_key)


def _same_key(run: Run) -> QuerySet[Run]:
    """The other open runs that count together with this one."""
    same = Run.objects.filter(runbook_id=run.runbook_id, concurrency_key=run.concurrency_key, is_open=True)
    return same.exclude(pk=run.pk).exclude(concurrency_key="")


def _ranked_before(run: Run) -> Q:
    """Who has the better place in a queue: priority, then age."""
    older = Q(created_at__lt=run.created_at) | Q(created_at=run.created_at, pk__lt=run.pk)
    return Q(priority__lt=run.priority) | (Q(priority=run.priority) & older)


def _lock_key(run: Run, what: str, key: str) -> None:
    """One decision at a time about one of the run's keys.

    The incident comes before: an alert starts runs while it holds its incident, and every run tells its own.
    """
    if run.incident_id is not None and connection.vendor == "postgresql":
        timeline.lock(run.incident_id)
    lock_key(run.runbook_id, what, key)


def lock_key(runbook_id: uuid.UUID, what: str, key: str) -> None:
    """One decision at a time about one key. SQLite has one writer anyway; PostgreSQL's lock needs no row."""
    if connection.vendor != "postgresql":
        return
    digest = hashlib.blake2b(f"{runbook_id}:{what}:{key}".encode(), digest_size=8).digest()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [int.from_bytes(digest, "big", signed=True)])


def _count(runs: Sequence[Run]) -> str:
    return f"run {short(runs[0].pk)}" if len(runs) == 1 else f"{len(runs)} runs"


def _go(runs: Sequence[Run]) -> str:
    return "goes" if len(runs) == 1 else "go"
