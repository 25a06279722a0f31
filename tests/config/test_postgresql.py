"""After PostgreSQL was restarted, no request pays for a connection that lay in the pool."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no connections to lose"),
]
FILLED = 3


def backend(wait: threading.Barrier | None = None) -> int:
    """The server's process behind a connection of the pool, which goes back there."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            found: int = cursor.fetchone()[0]
        if wait:
            wait.wait(timeout=30)
        return found
    finally:
        connection.close()


def test_connections_that_the_server_has_ended_are_not_handed_out() -> None:
    together = threading.Barrier(FILLED)
    with ThreadPoolExecutor(FILLED) as people:
        before = set(people.map(backend, [together] * FILLED))
        assert len(before) == FILLED
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            mine = cursor.fetchone()[0]
            for pid in before - {mine}:
                # Waits until the backend has gone.
                cursor.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
                assert cursor.fetchone()[0]
        after = set(people.map(backend, [together] * FILLED))
    assert len(after) == FILLED
    assert not after & (before - {mine})
