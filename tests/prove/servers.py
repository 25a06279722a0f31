"""Servers of the proof's own, in temporary folders and at ports of their own: to be stopped, killed and emptied."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import psycopg
from redis import Redis
from redis.exceptions import RedisError

from tests.ports import free_ports


class Missing(Exception):
    """A server is not installed on this machine."""


def until(look: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Look again and again; TimeoutError in words."""
    deadline = time.monotonic() + seconds
    while not look():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(0.05)


def answers(port: int) -> bool:
    """Whether somebody listens."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


# PostgreSQL ---------------------------------------------------------------------------------------


def postgres_binaries() -> Path:
    """The folder with ``initdb``. Raises :class:`Missing`."""
    config = shutil.which("pg_config")
    found = [Path(subprocess.check_output([config, "--bindir"], text=True).strip())] if config else []
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in found:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise Missing("no PostgreSQL server is installed here: `apt-get install postgresql`")


def _plain_user() -> str | None:
    """Who runs PostgreSQL, which refuses to be root; None when we are not root ourselves."""
    if os.geteuid():
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


@dataclass(frozen=True, slots=True)
class Postgres:
    """A server of our own. Durable: what it has answered survives its being killed."""

    binaries: Path
    data: Path
    port: int

    @classmethod
    def made(cls, folder: Path, port: int) -> Postgres:
        """Make its folder and start it."""
        server = cls(postgres_binaries(), folder / "data", port)
        if (user := _plain_user()) is not None:
            shutil.chown(folder, user)
        server._run(
            "initdb",
            "-D",
            str(server.data),
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-locale",
            "-N",
        )
        settings = {
            "port": str(port),
            "listen_addresses": "'127.0.0.1'",
            "unix_socket_directories": "''",
            "fsync": "on",
            "synchronous_commit": "on",
            "full_page_writes": "on",
            "shared_buffers": "'64MB'",
            "max_connections": "200",
        }
        with (server.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = {value}\n" for name, value in settings.items())
        server.start()
        return server

    @classmethod
    def described(cls, words: dict[str, str]) -> Postgres:
        """The inverse of :meth:`description`: the same server, in another process."""
        return cls(Path(words["binaries"]), Path(words["data"]), int(words["port"]))

    def description(self) -> dict[str, str]:
        """What another process needs to stop and start it."""
        return {"binaries": str(self.binaries), "data": str(self.data), "port": str(self.port)}

    def url(self, database: str, port: int | None = None) -> str:
        """``port``: of a proxy in front of it."""
        return f"postgres://postgres@127.0.0.1:{port or self.port}/{database}"

    def start(self) -> None:
        """Start it and wait until it has recovered."""
        log = str(self.data.parent / "log")
        self._run("pg_ctl", "-D", str(self.data), "-w", "-t", "60", "-l", log, "start")

    def crash(self) -> None:
        """Stop it as a power cut does: nothing is written that was not written before."""
        self._run("pg_ctl", "-D", str(self.data), "-m", "immediate", "-w", "stop")

    def execute(self, sql: str, *values: object, database: str = "postgres") -> int:
        """Execute as its owner; how many rows came of it."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            return connection.execute(sql.encode(), values or None).rowcount

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self.binaries / program), *arguments],
            user=_plain_user(),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr.strip()}")


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server for the time of a proof."""
    folder = Path(mkdtemp(prefix="prove-postgres-"))
    server: Postgres | None = None
    try:
        server = Postgres.made(folder, free_ports(1)[0])
        yield server
    finally:
        if server is not None and answers(server.port):
            server.crash()
        shutil.rmtree(folder, ignore_errors=True)


# Brokers ------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Broker:
    """A broker as a process: started, stopped by SIGKILL. ``url`` as HANDRAIL_BROKER_URL has it."""

    url: str
    port: int
    argv: list[str]
    environment: dict[str, str]
    patience: float
    user: str | None = None
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.process = subprocess.Popen(
            self.argv,
            env={**os.environ, **self.environment},
            user=self.user,
            group=self.user,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        until(lambda: answers(self.port), seconds=self.patience, what=f"the start of {self.argv[0]}")

    def send(self, number: signal.Signals) -> None:
        """For it and what it has started."""
        if self.process is not None:
            os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            self.send(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def flush(self) -> None:
        """Forget every message (Redis)."""
        try:
            Redis(port=self.port).flushall()
        except RedisError as error:
            raise RuntimeError(f"the private Redis does not answer: {error}") from error


def _program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/lib/rabbitmq/bin")
    if found is None:
        raise Missing(f"{name} is not installed here: `apt-get install {name}`")
    return found


@contextmanager
def redis() -> Iterator[Broker]:
    """A Redis that keeps nothing on the disk."""
    folder, port = Path(mkdtemp(prefix="prove-redis-")), free_ports(1)[0]
    argv = [
        _program("redis-server"),
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--dir",
        str(folder),
    ]
    yield from _running(Broker(f"redis://127.0.0.1:{port}/0", port, argv, {}, 20.0), folder)


@contextmanager
def rabbitmq() -> Iterator[Broker]:
    """A RabbitMQ node with its own name, folder and distribution port."""
    folder = Path(mkdtemp(prefix="prove-rabbitmq-"))
    port, distribution = free_ports(2)
    environment = {
        "RABBITMQ_NODENAME": f"prove{port}@localhost",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_CONFIG_FILE": str(folder / "none"),
        "HOME": str(folder),
    }
    (folder / "plugins").write_text("[].\n")
    # Debian's script in /usr/sbin changes to its own user, and forgets the environment.
    inner = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    program = str(inner) if inner.exists() else _program("rabbitmq-server")
    user = (
        "rabbitmq" if not os.geteuid() and "rabbitmq" in {entry.pw_name for entry in pwd.getpwall()} else None
    )
    if user is not None:
        for path in (folder, folder / "plugins"):
            shutil.chown(path, user, user)
    url = f"amqp://guest:guest@127.0.0.1:{port}//"
    yield from _running(Broker(url, port, [program], environment, 300.0, user), folder)


def _running(broker: Broker, folder: Path) -> Iterator[Broker]:
    try:
        broker.start()
        yield broker
    finally:
        broker.kill()
        shutil.rmtree(folder, ignore_errors=True)
