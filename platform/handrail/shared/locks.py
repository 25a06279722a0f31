"""Locks by name, for what has no row to lock. PostgreSQL has them; SQLite has one writer at a time anyway."""

from __future__ import annotations

from django.db import connection


def lock(key: str) -> None:
    """Let only one transaction at a time go on with ``key``, until it ends."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"handrail:{key}"])


def lock_if_free(key: str) -> bool:
    """The same without waiting; False when another transaction has it."""
    if connection.vendor != "postgresql":
        return True
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [f"handrail:{key}"])
        return bool(cursor.fetchone()[0])
