"""Slots: how many calls with the same key are made at once. Counted from the rows that execute, never kept."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from django.db import connection, transaction

from handrail.shared.clock import database_now
from handrail.shared.locks import lock
from handrail.shared.statements.shapes import table
from handrail.shared.statements.writing import adapted
from runbooks.execution.hints import hint
from runbooks.models import StepRun


def taken(key: str, without: Iterable[uuid.UUID] = ()) -> int:
    """How many calls with this key are made now: a step whose worker is silent counts until it is taken back.

    ``without``: rows that this very transaction is about to write as ended.
    """
    return StepRun.objects.filter(state=StepRun.State.EXECUTING, slot=key).exclude(pk__in=without).count()


def slot_freed(step_id: uuid.UUID, limit: int) -> None:
    """A step has left its slot: wake as many of those that wait as may go now. After its commit.

    Should this process die before, they come back by themselves, see ``limits.LOOK_AGAIN``.
    """
    row = StepRun.objects.filter(pk=step_id).values_list("slot", "state").first()
    if row is None or not row[0]:
        return
    with transaction.atomic():
        lock(row[0])
        free = limit - taken(row[0])
        woken = _wake(row[0], free) if free > 0 else []
    for waiting, pool in woken:
        hint(waiting, pool)


def _wake(key: str, most: int) -> list[tuple[uuid.UUID, str]]:
    """Those that have waited for longest, by priority, may be claimed now: their ids and pools."""
    skip = "FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else ""
    now = adapted(database_now())
    inner = ["SELECT id FROM", table(StepRun), "WHERE state = 'ready' AND held = %s"]
    inner += ["ORDER BY priority, started_at, id LIMIT %s", skip]
    sql = ["UPDATE", table(StepRun), "SET ready_at = %s, hinted_at = %s WHERE id IN (", *inner, ")"]
    with connection.cursor() as cursor:
        cursor.execute(" ".join([*sql, "RETURNING id, pool"]), [now, now, key, most])
        found = cursor.fetchall()
    return [(row[0] if isinstance(row[0], uuid.UUID) else uuid.UUID(str(row[0])), row[1]) for row in found]
