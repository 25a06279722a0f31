"""Claiming: one worker, one step, one lease, a new fence; whoever comes second finds no row."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

import structlog
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Q, QuerySet

from handrail.shared.clock import database_now
from handrail.shared.errors import Invalid
from handrail.shared.failpoints import reach
from handrail.shared.statements.reading import fetch
from handrail.shared.statements.shapes import table
from handrail.shared.statements.writing import Lost, Parameter, adapted
from runbooks.engine import events as e
from runbooks.engine.commands import StartStep, start_of
from runbooks.engine.state import Key, key_of
from runbooks.engine.transitions import StepStatus
from runbooks.execution.advancing import advance
from runbooks.execution.at_once import asking_nothing, is_quiet, open_at_once
from runbooks.execution.fate import Unanswered, Written
from runbooks.execution.gate import Work, gate
from runbooks.execution.live import LiveRun, Unreadable, load, remember, remembered, see
from runbooks.execution.rows import pool_of
from runbooks.execution.transition import NeedsLock, Transition, open_transition
from runbooks.execution.worker import Me, lease
from runbooks.models import Run, StepRun
from runbooks.steps.registry import UnknownAction, is_known

log = structlog.get_logger(__name__)

HINT_IS_LATE = timedelta(seconds=1)
"""After this long without being claimed a hint is late, and pollers look for its row."""

LEFT_FOR_OTHERS = timedelta(seconds=5)
"""How long a step that this process cannot do is left alone by everybody."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A claimed row: ours as long as the fence stands."""

    step_id: uuid.UUID
    run_id: uuid.UUID
    key: str
    fence: int


def claim_steps(step_id: uuid.UUID, me: Me, *, room: int = 1) -> list[Work]:
    """Claim and gate the step that a hint names, as one commit; nothing when there is nothing to do.

    With more ``room`` also others that are ready in the same run.
    Raises :class:`~runbooks.execution.fate.Unanswered`.
    """
    seen = see(step_id)
    if seen is None or (seen.ready_at is not None and seen.ready_at > seen.now):
        return []
    known: LiveRun | None = None
    try:
        try:
            known = remembered(seen.run) or load(seen.run)
            works = _at_once(known, step_id, me)
        except NeedsLock:
            works = _under_the_lock(seen.run.pk, known, step_id, me, room)
    except (Unreadable, UnknownAction, Invalid, Lost) as refusal:
        log.info("claim_refused", step=str(step_id), reason=str(refusal))
        return []
    reach("claim.after_commit")
    return works


def _at_once(live: LiveRun, step_id: uuid.UUID, me: Me) -> list[Work]:
    """Claim and gate in a single statement, unless somebody has to hear of it, for a step that has its run to itself.

    Raises NeedsLock.
    """
    key = _key_of(live, step_id)
    if key is None or live.state.n != live.run.history_n:
        raise NeedsLock
    opened = open_at_once(live, key)
    with asking_nothing():
        claim = _claim_in(opened, step_id)
        works = [] if claim is None else _gated(opened, claim, me)
    if claim is None:
        return []
    if not is_quiet(opened):
        return _and_tell(opened, works)
    reach("claim.before_commit")
    try:
        written = opened.write_at_once()
    except (OperationalError, InterfaceError) as error:
        raise Unanswered(Written.of(opened, works), error) from error
    if not written:
        raise NeedsLock
    remember(live)
    return works


def _and_tell(opened: Transition, works: list[Work]) -> list[Work]:
    """Write what was planned without the lock, and tell of it in the same transaction. Raises NeedsLock."""
    written: Written | None = None
    try:
        with transaction.atomic():
            written = _commit(opened, works)
    except (OperationalError, InterfaceError) as error:
        raise _unanswered(written, error) from error
    remember(opened.live)
    return works


def _under_the_lock(
    run_id: uuid.UUID, known: LiveRun | None, step_id: uuid.UUID, me: Me, room: int
) -> list[Work]:
    """The run is locked before the step, as everywhere."""
    written: Written | None = None
    try:
        with transaction.atomic():
            opened = open_transition(run_id, known)
            claim = _claim_in(opened, step_id)
            if claim is None:
                return []
            works = _gated(opened, claim, me)
            works += take_siblings(opened, me, room=room - len(works))
            written = _commit(opened, works)
    except (OperationalError, InterfaceError) as error:
        raise _unanswered(written, error) from error
    return works


def _claim_in(opened: Transition, step_id: uuid.UUID) -> Claim | None:
    """A ready step of a run that is locked: what the gate decides is written only if nobody else has claimed it.

    When it is due is in its row alone: whoever wakes a step that was held changes nothing else.
    """
    live = opened.live
    key = _key_of(live, step_id)
    if key is None or opened.state.node(key).status != StepStatus.READY:
        return None
    fence = live.fences[key]
    opened.guards[key] = {"fence": fence, "state": ("ready",)}
    return Claim(step_id, live.run.pk, key, fence + 1)


def _key_of(live: LiveRun, step_id: uuid.UUID) -> str | None:
    return next((key for key, known in live.ids.items() if known == step_id), None)


@dataclass(frozen=True, slots=True)
class Overdue:
    """A ready step that no hint has brought to anybody yet.

    ``told_at``: when workers were told of it, if they were. ``waits``: for how long it has been ready.
    """

    step_id: uuid.UUID
    told_at: datetime | None
    waits: timedelta = field(compare=False)


def most_urgent(me: Me) -> Overdue | None:
    """The step that :func:`claim_overdue` would claim first.

    Without a transaction: most looks find nothing, and each would take SQLite's only lock.
    """
    now = database_now()
    query = _overdue(me, now, untold=False).order_by("priority", "ready_at")
    row = query.values_list("pk", "hinted_at", "ready_at").first()
    return None if row is None else Overdue(row[0], row[1], now - (row[2] or now))


def claim_overdue(me: Me, *, untold: bool = False) -> Work | None:
    """Claim and gate the most urgent step of my pools whose hint is late or was never sent; None if none is due.

    ``untold``: only of those of which nobody was told.
    Two transactions: the claim alone skips rows that others are claiming, so that no poller waits.
    """
    now = database_now()
    if not _overdue(me, now, untold=untold).exists():
        return None
    with transaction.atomic():
        claim = _claim_any(me, now, untold=untold) or _claim_any(me, now, untold=untold, understood=True)
    if claim is None:
        return None
    reach("poll.after_claim")
    written: Written | None = None
    try:
        with transaction.atomic():
            opened = open_transition(claim.run_id)
            _hold(opened, claim)
            works = _gated(opened, claim, me)
            written = _commit(opened, works)
    except (Unreadable, UnknownAction, Invalid) as refusal:
        log.info("claim_given_back", step=str(claim.step_id), reason=str(refusal))
        give_back(claim, after=LEFT_FOR_OTHERS)
    except Lost:
        log.info("claim_lost", step=str(claim.step_id))
    except (OperationalError, InterfaceError) as error:
        raise _unanswered(written, error) from error
    else:
        reach("claim.after_commit")
        return next(iter(works), None)
    return None


def _unanswered(written: Written | None, error: Exception) -> Exception:
    """The error itself, unless it came when everything was written and only the commit was to be answered."""
    return error if written is None else Unanswered(written, error)


def _overdue(me: Me, now: datetime, *, untold: bool) -> QuerySet[StepRun]:
    late = Q(hinted_at__isnull=True)
    if not untold:
        late |= Q(hinted_at__lte=now - HINT_IS_LATE)
    return StepRun.objects.filter(late, state=StepRun.State.READY, pool__in=me.pools, ready_at__lte=now)


def give_back(claim: Claim, *, after: timedelta) -> None:
    """Make a claimed step claimable again later: nothing of it has happened."""
    with transaction.atomic():
        StepRun.objects.filter(pk=claim.step_id, fence=claim.fence, state=StepRun.State.CLAIMED).update(
            state=StepRun.State.READY,
            owner="",
            lease_until=None,
            ready_at=database_now() + after,
            hinted_at=None,
        )


def _commit(opened: Transition, works: list[Work]) -> Written:
    """Write what became of a claim; how it can be told apart from what others wrote."""
    opened.commit()
    reach("claim.before_commit")
    return Written.by(opened.live.run, works)


def _gated(opened: Transition, claim: Claim, me: Me) -> list[Work]:
    """Gate a claimed step; when it may not go ahead, take on what the run does instead."""
    reach("claim.taken")
    command = start_of(
        claim.key,
        opened.live.steps[Key.parse(claim.key).node],
        opened.state.node(claim.key).attempt,
    )
    # A deadline may have passed since the step became ready.
    advance(opened)
    work = gate(opened, command, me, claim.fence)
    if work is not None:
        advance(opened)
        return [work]
    if not opened.events:
        raise Lost
    return advance(opened, me)


def _hold(opened: Transition, claim: Claim) -> None:
    """What the transition writes of the claimed row counts only as long as the claim stands."""
    opened.live.fences[claim.key] = claim.fence
    opened.guards[claim.key] = {"fence": claim.fence, "state": ("claimed",)}


LOOKED_AT = 4
"""For each call that a worker has room for, it looks at so many that are ready: others may be claiming some."""


def take_siblings(opened: Transition, me: Me, *, room: int) -> list[Work]:
    """Gate further calls of the same run that are ready, in the transaction of a claim or a completion.

    Their hints, when they come to somebody, find nothing to do. Under the run's lock nothing else about such a step
    can have changed, except that a poller claims it: then it is passed over.
    """
    works: list[Work] = []
    if room < 1 or not opened.locked:
        return works
    ready = list(islice(_ready_siblings(opened, me), LOOKED_AT * room))
    free = _free(opened, ready) if ready else {}
    for command in ready:
        fence = free.get(command.key)
        if fence is None:
            continue
        opened.guards[command.key] = {"fence": fence, "state": ("ready",)}
        work = gate(opened, command, me, fence + 1)
        works += [] if work is None else [work]
        if len(works) >= room:
            break
    if ready:
        advance(opened)
    return works


def _free(opened: Transition, ready: list[StartStep]) -> dict[str, int]:
    """The fences of those that nobody is claiming, by key; their rows are locked until the transaction ends."""
    keys = {opened.live.ids[command.key]: command.key for command in ready}
    lock = "FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else ""
    places = ", ".join(["%s"] * len(keys))
    text = ["SELECT id, fence FROM", table(StepRun), f"WHERE id IN ({places}) AND state = 'ready'", lock]
    return {keys[_uuid(step_id)]: fence for step_id, fence in fetch(" ".join(text), list(keys))}


def _ready_siblings(opened: Transition, me: Me) -> Iterator[StartStep]:
    """The calls of the run that were ready before this transition, in pools of mine, with actions that I know."""
    for key, node in opened.state.nodes.items():
        due = node.status == StepStatus.READY and (node.ready_at is None or node.ready_at <= opened.now)
        if not due or opened.has_touched(key) or key not in opened.live.ids:
            continue
        step = opened.live.steps[Key.parse(key).node]
        if pool_of(opened.live.definition, step) in me.pools:
            command = start_of(key, step, node.attempt)
            if is_known(command.call.uses):
                yield command


def _claim_any(me: Me, now: datetime, *, untold: bool, understood: bool = False) -> Claim | None:
    """Claim the most urgent step that nobody is claiming.

    That one may be of an engine schema that only newer workers know. Then the second question, which costs more,
    passes over all such steps: ``understood``. Else they would keep this worker from everything behind them.
    """
    pools = ", ".join(["%s"] * len(me.pools))
    skip = "FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else ""
    known = ["AND run_id IN (SELECT id FROM", table(Run), f"WHERE engine_schema IN ({_schemas()}))"]
    inner = [
        "SELECT id FROM",
        table(StepRun),
        "WHERE state = 'ready' AND pool IN (",
        pools,
        ") AND ready_at <= %s AND (hinted_at IS NULL",
        ")" if untold else "OR hinted_at <= %s)",
        *(known if understood else ()),
        "ORDER BY priority, ready_at LIMIT 1",
        skip,
    ]
    values: list[Parameter] = [*me.pools, adapted(now)]
    if not untold:
        values.append(adapted(now - HINT_IS_LATE))
    if understood:
        values += e.SUPPORTED_SCHEMAS
    return _claim(me, now, f"id = ({' '.join(inner)})", values)


def _claim(me: Me, now: datetime, which: str, values: list[Parameter]) -> Claim | None:
    """The conditional update behind every claim: still ready, due, and of a schema that we know."""
    sql = [
        "UPDATE",
        table(StepRun),
        "SET state = 'claimed', fence = fence + 1, owner = %s, lease_until = %s WHERE",
        which,
        "AND state = 'ready' AND (ready_at IS NULL OR ready_at <= %s) AND run_id IN (SELECT id FROM",
        table(Run),
        f"WHERE engine_schema IN ({_schemas()})) RETURNING id, run_id, node, iteration, role, fence",
    ]
    given = [
        me.id,
        adapted(now + lease()),
        *values,
        adapted(now),
        *e.SUPPORTED_SCHEMAS,
    ]
    with connection.cursor() as cursor:
        cursor.execute(" ".join(sql), given)
        row = cursor.fetchone()
    if row is None:
        return None
    step_id, run_id, node, iteration, role, fence = row
    return Claim(_uuid(step_id), _uuid(run_id), key_of(node, iteration, role), int(fence))


def _schemas() -> str:
    """The places of the engine schemas that this process knows."""
    return ", ".join(["%s"] * len(e.SUPPORTED_SCHEMAS))


def _uuid(value: object) -> uuid.UUID:
    return value if isinstance(value, uuid.UUID) else uuid.UUID(str(value))
