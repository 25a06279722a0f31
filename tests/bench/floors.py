"""The floors: one small durable row, by the driver that Handrail uses, and nothing around it."""

from __future__ import annotations

from django.db import OperationalError, connection

_TABLE = {
    "sqlite": "CREATE TABLE IF NOT EXISTS bench_floor (id integer PRIMARY KEY, note text NOT NULL)",
    "postgresql": "CREATE TABLE IF NOT EXISTS bench_floor (id bigserial PRIMARY KEY, note text NOT NULL)",
}


def create_table() -> None:
    with connection.cursor() as cursor:
        cursor.execute(_TABLE[connection.vendor])


def commit_row(note: str) -> None:
    """One durable commit: outside of a transaction the insert is its own, a single round trip."""
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO bench_floor (note) VALUES (%s)", [note])


def count_rows(note: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM bench_floor WHERE note = %s", [note])
        return int(cursor.fetchone()[0])


def may_write() -> bool:
    """Whether nobody holds SQLite's one lock for writers; PostgreSQL has none."""
    if connection.vendor != "sqlite":
        return True
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout = 50")
        try:
            cursor.execute("BEGIN IMMEDIATE")
            cursor.execute("ROLLBACK")
        except OperationalError:
            return False
        finally:
            cursor.execute("PRAGMA busy_timeout = 20000")
    return True


def durability() -> str:
    """What the database promises of a commit, in its own words; the figures mean nothing without it."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SHOW synchronous_commit")
            commit = cursor.fetchone()[0]
            cursor.execute("SHOW fsync")
            fsync = cursor.fetchone()[0]
            cursor.execute("SHOW commit_delay")
            delay = int(cursor.fetchone()[0])
            return f"synchronous_commit={commit} fsync={fsync}" + (f" commit_delay={delay}" if delay else "")
        cursor.execute("PRAGMA journal_mode")
        journal = cursor.fetchone()[0]
        cursor.execute("PRAGMA synchronous")
        level = {0: "OFF", 1: "NORMAL", 2: "FULL", 3: "EXTRA"}[cursor.fetchone()[0]]
        return f"journal_mode={journal} synchronous={level}"
