"""Where to measure: a database of its own and a broker that answers; both are gone afterwards."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

TOP = Path(__file__).parents[2]
POSTGRES = os.environ.get("HANDRAIL_TEST_POSTGRES_URL", "postgres://postgres@127.0.0.1:5432/postgres")
REDIS = os.environ.get("HANDRAIL_BENCH_REDIS_URL", "redis://127.0.0.1:6379/9")
SQLITE, EMBEDDED = "sqlite", "embedded"


@dataclass(frozen=True, slots=True)
class Place:
    """``database`` and ``broker`` are URLs, or ``sqlite`` and ``embedded``.

    ``flush``: milliseconds that PostgreSQL waits before each flush of its log, as a slower disk would let it wait.
    """

    database: str
    broker: str
    flush: float = 0.0

    @property
    def name(self) -> str:
        """Such as ``postgresql+redis``, or ``postgresql+redis+1ms``; figures end in it."""
        database = SQLITE if self.database == SQLITE else "postgresql"
        broker = EMBEDDED if self.broker == EMBEDDED else urlsplit(self.broker).scheme
        slower = f"+{self.flush:g}ms" if self.flush else ""
        return f"{database}+{ {'amqp': 'rabbitmq'}.get(broker, broker) }{slower}"


def answers(url: str) -> bool:
    """Whether somebody listens at the URL's host and port."""
    parts = urlsplit(url)
    port = parts.port or {"postgres": 5432, "postgresql": 5432, "redis": 6379, "amqp": 5672}.get(
        parts.scheme, 0
    )
    try:
        socket.create_connection((parts.hostname or "127.0.0.1", port), timeout=2).close()
    except OSError:
        return False
    return True


def default_places() -> list[Place]:
    """SQLite with the embedded broker, and PostgreSQL with Redis if both answer on this machine."""
    found = [Place(SQLITE, EMBEDDED)]
    if answers(POSTGRES) and answers(REDIS):
        found.append(Place(POSTGRES, REDIS))
    return found


@contextmanager
def environment(place: Place, home: Path) -> Iterator[dict[str, str]]:
    """The environment of an installation at the place; its database is made, and dropped at the end."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("HANDRAIL_")}
    ours |= {
        "DJANGO_SETTINGS_MODULE": "tests.bench.settings",
        "PYTHONPATH": f"{TOP}{os.pathsep}{TOP / 'platform'}",
        "HANDRAIL_HOME": str(home),
        "HANDRAIL_SESSION_KEY": secrets.token_hex(32),
        "HANDRAIL_LOG_LEVEL": "warning",
        "HANDRAIL_QUEUE_PREFIX": f"bench-{secrets.token_hex(4)}",
        "HANDRAIL_SLACK_BOT_TOKEN": "xoxb-bench",
        "HANDRAIL_SLACK_SIGNING_SECRET": secrets.token_hex(16),
        # Every sample is an incident of its own, and more of them come than an ordinary day has.
        "HANDRAIL_INCIDENT_BUDGET": "99999",
    }
    if place.broker != EMBEDDED:
        ours["HANDRAIL_BROKER_URL"] = place.broker
    if place.database == SQLITE:
        yield ours
        return
    name = f"bench_{secrets.token_hex(6)}"
    _ask(place.database, f'CREATE DATABASE "{name}"')
    try:
        if place.flush:
            # In microseconds. Whoever flushes the log sleeps before, however few commit at once.
            _ask(place.database, f'ALTER DATABASE "{name}" SET commit_delay = {round(place.flush * 1000)}')
            _ask(place.database, f'ALTER DATABASE "{name}" SET commit_siblings = 0')
        yield ours | {"HANDRAIL_DATABASE_URL": urlsplit(place.database)._replace(path=f"/{name}").geturl()}
    finally:
        _ask(place.database, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _ask(server: str, statement: str) -> None:
    """SystemExit with the server's words when it refuses."""
    try:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(statement)
    except psycopg.Error as error:
        raise SystemExit(f"handrail bench: {statement} failed: {error}") from error
