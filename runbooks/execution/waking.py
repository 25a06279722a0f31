"""Lets go of what is held: steps at the gate may be claimed now, pending runs are looked at now."""

from __future__ import annotations

from django.db import connection

from handrail.shared.clock import database_now
from handrail.shared.statements.shapes import table
from handrail.shared.statements.writing import adapted
from runbooks.models import Run, StepRun


def wake_steps(code: str) -> int:
    """Let the steps that ``code`` holds come to the gate again; the sweeper announces them. How many.

    Call it in the transaction that ends the hold, under a lock on whatever the check reads, which the check takes
    for reading (FOR SHARE): a step that is being held at this moment is then either seen here, or sees the end. A
    row that somebody has locked is at the gate right now: it is passed over, because whoever has it is waiting
    for this transaction and will see its end.
    """
    skip = "FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else ""
    held = ["SELECT id FROM", table(StepRun), "WHERE state = 'ready' AND held = %s AND held <> ''", skip]
    sql = ["UPDATE", table(StepRun), "SET ready_at = %s, hinted_at = NULL WHERE id IN (", *held, ")"]
    with connection.cursor() as cursor:
        cursor.execute(" ".join(sql), [adapted(database_now()), code])
        return int(cursor.rowcount)


def wake_runs(code: str) -> int:
    """Let the pending runs that ``code`` holds be looked at now; the sweeper does it. How many. As above."""
    skip = "FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else ""
    held = ["SELECT id FROM", table(Run), "WHERE state = 'pending' AND held = %s AND held <> ''", skip]
    sql = ["UPDATE", table(Run), "SET look_at = %s WHERE id IN (", *held, ")"]
    with connection.cursor() as cursor:
        cursor.execute(" ".join(sql), [adapted(database_now()), code])
        return int(cursor.rowcount)
