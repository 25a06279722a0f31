"""What the sweeper does for runs: expired leases, due timers, deadlines, lost hints. Any number may sweep."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta

import structlog
from django.db import Error, connection, transaction
from django.db.models import DateTimeField, F, Q, Value
from django.db.models.lookups import LessThan

from handrail.shared.clock import database_now
from handrail.shared.errors import Invalid
from handrail.shared.failpoints import reach
from handrail.shared.statements.literal import literally
from handrail.shared.statements.shapes import table
from handrail.shared.statements.writing import Lost, adapted
from runbooks.engine import events as e
from runbooks.engine.commands import start_of
from runbooks.engine.outcomes import Attempted, loss, lost
from runbooks.engine.state import key_of
from runbooks.engine.transitions import StepStatus
from runbooks.execution.advancing import advance
from runbooks.execution.hints import hint
from runbooks.execution.live import Unreadable
from runbooks.execution.subruns import collect
from runbooks.execution.transition import Attempt, Transition, open_transition
from runbooks.models import Run, StepRun

log = structlog.get_logger(__name__)

BATCH = 100
"""How many rows one round of a duty takes; the next round takes the next."""

HINT_AGAIN = timedelta(seconds=5)
"""After this long a ready step that nobody has claimed is announced again: then after twice that, and so on."""

HINT_AGAIN_AT_LAST = timedelta(minutes=5)
"""The longest time between two announcements of a step. Where no worker is, each stays in the queue."""

State = StepRun.State


def _understood() -> dict[str, tuple[int, ...]]:
    """Only steps of runs that this process can read: a batch full of others would keep it from its own."""
    return {"run__engine_schema__in": e.SUPPORTED_SCHEMAS}


def recover_expired() -> int:
    """Take the steps back whose workers have been silent for a lease; how many."""
    expired = StepRun.objects.filter(
        state__in=literally(State.CLAIMED, State.EXECUTING),
        lease_until__lt=database_now(),
        **_understood(),
    ).order_by("lease_until")
    return sum(each(recover, step_id) for step_id in list(expired.values_list("pk", flat=True)[:BATCH]))


def each(act: Callable[[uuid.UUID], bool], row_id: uuid.UUID) -> bool:
    """Act for one row of many: what the database refuses for one is no reason to leave the others alone."""
    try:
        return act(row_id)
    except Error as error:
        log.warning("row_left_for_later", row=str(row_id), error=str(error))
        connection.close_if_unusable_or_obsolete()
        return False


def recover(step_id: uuid.UUID) -> bool:
    """Take one step back if its lease has run out; False if somebody was faster, or it is alive after all."""
    run_id = StepRun.objects.filter(pk=step_id).values_list("run_id", flat=True).first()
    if run_id is None:
        return False
    try:
        with transaction.atomic():
            opened = open_transition(run_id)
            step = StepRun.objects.select_for_update().get(pk=step_id)
            silent = step.lease_until is not None and step.lease_until < opened.now
            if not silent or step.state not in (State.CLAIMED, State.EXECUTING):
                return False
            if step.state == State.CLAIMED:
                _release(step, opened)
            else:
                _take_back(step, opened)
            reach("recover.before_commit")
    except (Unreadable, Invalid, Lost) as refusal:
        log.info("recovery_refused", step=str(step_id), reason=str(refusal))
        return False
    reach("recover.after_commit")
    log.warning("lease_expired", step=str(step_id), run=str(run_id), owner=step.owner, state=step.state)
    return True


def _release(step: StepRun, opened: Transition) -> None:
    """Nothing of a step that is only claimed has happened: it is simply ready again."""
    StepRun.objects.filter(pk=step.pk).update(
        state=State.READY, owner="", lease_until=None, fence=step.fence + 1, hinted_at=opened.now
    )
    transaction.on_commit(lambda: hint(step.pk, step.pool))


def _take_back(step: StepRun, opened: Transition) -> None:
    """The worker died, or cannot be heard, somewhere between the intent and the result."""
    key = key_of(step.node, step.iteration, step.role)
    node = opened.state.node(key)
    if node.status != StepStatus.EXECUTING:
        raise Lost
    opened.guards[key] = {"fence": step.fence, "state": ("executing",)}
    # A new fence: the old worker's heartbeat and completion are refused from here on.
    opened.columns[key] = {"fence": step.fence + 1}
    started_at = step.started_at or opened.now
    opened.note_attempt(
        key, Attempt(step.fence, step.attempt, step.owner, started_at, "lost", loss(step.owner))
    )
    command = start_of(key, opened.live.steps[step.node])
    opened.record(lost(Attempted(command, node, step.fence, step.owner, opened.now)))
    advance(opened)
    opened.commit()


def fire_due() -> int:
    """Go on with the runs whose timers are due, or whose blocks or whole time are over; how many."""
    now = database_now()
    due_steps = StepRun.objects.filter(
        state__in=literally(State.WAITING, State.EXECUTING),
        due_at__isnull=False,
        due_at__lte=now,
        **_understood(),
    ).order_by("due_at")
    due_people = StepRun.objects.filter(
        state=State.AWAITING_HUMAN, due_at__isnull=False, due_at__lte=now, **_understood()
    ).order_by("due_at")
    due_ready = StepRun.objects.filter(
        state=State.READY, due_at__isnull=False, due_at__lte=now, **_understood()
    ).order_by("due_at")
    due_runs = Run.objects.filter(
        is_open=True, deadline__isnull=False, deadline__lte=now, engine_schema__in=e.SUPPORTED_SCHEMAS
    ).order_by("deadline")
    found = [
        *due_steps.values_list("run_id", flat=True)[:BATCH],
        *due_people.values_list("run_id", flat=True)[:BATCH],
        *due_ready.values_list("run_id", flat=True)[:BATCH],
        *due_runs.values_list("pk", flat=True)[:BATCH],
    ]
    return sum(each(go_on, run_id) for run_id in dict.fromkeys(found))


def go_on(run_id: uuid.UUID) -> bool:
    """Take a run as far as it goes now; False when nothing is to be done, or not by this process."""
    try:
        with transaction.atomic():
            opened = open_transition(run_id)
            collect(opened)
            advance(opened)
            changed = bool(opened.events)
            opened.commit()
            reach("timer.before_commit")
    except (Unreadable, Invalid, Lost) as refusal:
        log.info("run_left_alone", run=str(run_id), reason=str(refusal))
        return False
    reach("timer.after_commit")
    return changed


def hint_ready() -> int:
    """Announce the ready steps whose announcement was lost, or whose time has come; how many."""
    now = database_now()
    # As long after the last announcement as that was after the step had become ready.
    since_then = Value(now, output_field=DateTimeField()) - F("hinted_at")
    often_enough = Q(LessThan(since_then, F("hinted_at") - F("ready_at")))
    late = Q(hinted_at__lt=now - HINT_AGAIN) & ~often_enough
    overdue = Q(hinted_at__isnull=True) | late | Q(hinted_at__lt=now - HINT_AGAIN_AT_LAST)
    found = list(
        StepRun.objects.filter(overdue, state=State.READY, ready_at__lte=now)
        .order_by("priority", "ready_at")
        .values_list("pk", "pool")[:BATCH]
    )
    if not found:
        return 0
    _mark_hinted([step_id for step_id, _ in found])
    reach("hint.after_mark")
    return sum(hint(step_id, pool) for step_id, pool in found)


def _mark_hinted(step_ids: list[uuid.UUID]) -> None:
    places = ", ".join(["%s"] * len(step_ids))
    sql = ["UPDATE", table(StepRun), f"SET hinted_at = %s WHERE state = 'ready' AND id IN ({places})"]
    values = [adapted(database_now()), *(adapted(step_id) for step_id in step_ids)]
    with connection.cursor() as cursor:
        cursor.execute(" ".join(sql), values)
