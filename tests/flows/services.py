"""The servers that some flows need: PostgreSQL, Redis, RabbitMQ; each skipped without one, required in CI."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import psycopg
import pytest
from kombu import Connection
from kombu.exceptions import OperationalError
from redis import Redis

POSTGRES = os.environ.get("HANDRAIL_TEST_POSTGRES_URL", "postgres://postgres@127.0.0.1:5432/postgres")
REDIS = os.environ.get("HANDRAIL_TEST_REDIS_URL", "redis://127.0.0.1:6379/11")
RABBITMQ = os.environ.get("HANDRAIL_TEST_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672//")
REQUIRED = os.environ.get("HANDRAIL_TEST_REQUIRE_SERVICES") == "1"


@dataclass(frozen=True, slots=True)
class Backend:
    """What an installation stands on. ``database`` is ``sqlite`` or ``postgres``; ``broker_url`` as the setting."""

    name: str
    database: str = "sqlite"
    broker_url: str = ""


EMBEDDED = Backend("embedded")
POSTGRES_REDIS = Backend("postgres-redis", "postgres", REDIS)
POSTGRES_RABBITMQ = Backend("postgres-rabbitmq", "postgres", RABBITMQ)
NO_BROKER = Backend("no-broker", "sqlite", "amqp://guest:guest@127.0.0.1:1//")
"""Nobody listens at port 1: every message is lost."""

embedded = pytest.param(EMBEDDED, id=EMBEDDED.name)
postgres_redis = pytest.param(
    POSTGRES_REDIS, id=POSTGRES_REDIS.name, marks=[pytest.mark.postgres, pytest.mark.redis]
)
postgres_rabbitmq = pytest.param(
    POSTGRES_RABBITMQ, id=POSTGRES_RABBITMQ.name, marks=[pytest.mark.postgres, pytest.mark.rabbitmq]
)
no_broker = pytest.param(NO_BROKER, id=NO_BROKER.name)


def require(backend: Backend) -> None:
    """Skip where a server of ``backend`` is missing; fail where servers are required."""
    wanted = [POSTGRES] if backend.database == "postgres" else []
    if backend.broker_url and backend is not NO_BROKER:
        wanted.append(backend.broker_url)
    for url in wanted:
        parts = urlsplit(url)
        try:
            socket.create_connection((parts.hostname or "", parts.port or 0), timeout=3).close()
        except OSError as error:
            message = f"no {parts.scheme} server answers at {parts.hostname}:{parts.port}: {error}"
            if REQUIRED:
                pytest.fail(message)
            pytest.skip(message)


@contextmanager
def postgres_database(template: str = "template1") -> Iterator[str]:
    """A database of its own, a copy of ``template``; yields its URL and drops it, whoever is still connected."""
    name = f"flows_{secrets.token_hex(6)}"
    with psycopg.connect(POSTGRES, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    try:
        yield urlsplit(POSTGRES)._replace(path=f"/{name}").geturl()
    finally:
        with psycopg.connect(POSTGRES, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@contextmanager
def queue_prefix(backend: Backend) -> Iterator[str]:
    """A prefix of queues that nobody else uses; the queues are gone afterwards."""
    prefix = f"flows-{secrets.token_hex(6)}"
    yield prefix
    if not backend.broker_url or backend is NO_BROKER:
        return
    if backend.broker_url.startswith("redis"):
        with Redis.from_url(backend.broker_url) as redis:
            for key in list(redis.scan_iter(f"*{prefix}*")):
                redis.delete(key)
        return
    with Connection(backend.broker_url) as connection:
        for queue in (f"{prefix}.hints", f"{prefix}.pool.default"):
            with connection.channel() as channel:
                try:
                    channel.queue_delete(queue)
                    channel.exchange_delete(queue)
                except (OperationalError, *connection.channel_errors):
                    continue
