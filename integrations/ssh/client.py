"""One program on an SSH host: connected to the checked address, heard while it runs, ended with its step.

asyncssh needs an event loop. It is turned here in short slices, so that what is heard is handed to the
step's log outside of the loop, and the step's deadline and its run's stop are looked at between two slices.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from handrail.catalog.outgoing.errors import ConnectFailed, OutgoingError, TimedOut
from runbooks.steps.base import ActionContext
from runbooks.steps.processes import Ending, Listener

if TYPE_CHECKING:
    import socket

    import asyncssh

TICK = 0.1
GRACE = 2.0
"""Seconds that a program may take to end after SIGTERM, before the connection is cut."""


class AuthenticationFailed(OutgoingError):
    """The host does not let this key in."""

    code = "authentication_failed"


class HostKeyRefused(OutgoingError):
    """The host's key is none of the connection's."""

    code = "host_key_refused"


class Rejected(OutgoingError):
    """The host let us in and then refused to start the program."""

    code = "rejected"


class BadKey(OutgoingError):
    """The secret is no private key."""

    code = "secret_not_found"


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Who logs in where, and how both sides prove themselves."""

    host: str
    user: str
    private_key: str
    host_keys: tuple[str, ...]
    seconds: float


@dataclass(slots=True)
class Told:
    """What the other side has said of the program so far."""

    chunks: list[tuple[str, bytes]] = field(default_factory=list)
    opened: bool = False
    exit_code: int | None = None
    signal: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """A program that has ended, or of which nothing more will be heard (``exit_code`` None and no ``signal``)."""

    ending: Ending
    exit_code: int | None
    signal: str
    stdout: str
    stderr: str
    truncated: bool


def run(sock: socket.socket, login: Login, command: str, stdin: str, context: ActionContext) -> Ended:
    """Log in through the open socket and run the command line to its end.

    Raises an OutgoingError while it is certain that nothing has been started.
    """
    with _own_loop() as loop:
        connection = loop.run_until_complete(_login(sock, login))
        try:
            return _accompany(loop, connection, command, stdin, context)
        finally:
            connection.abort()
            loop.run_until_complete(connection.wait_closed())


@contextmanager
def _own_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop of this call's own, left without tasks."""
    loop = asyncio.new_event_loop()
    try:
        yield loop
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def _login(sock: socket.socket, login: Login) -> asyncssh.SSHClientConnection:
    """Nothing of this machine's own SSH: no agent, no configuration, no known hosts, no keys of its user."""
    import asyncssh

    # It would log command lines, past the redactor.
    asyncssh.set_log_level(logging.WARNING)
    try:
        key = asyncssh.import_private_key(login.private_key + "\n")
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        raise BadKey(f"The connection's secret is no private key without a passphrase: {error}.") from None
    try:
        trusted = [asyncssh.import_public_key(line) for line in login.host_keys]
    except asyncssh.KeyImportError as error:
        raise HostKeyRefused(
            f"One of the connection's host_keys is no public key ({error}): an operator writes it anew."
        ) from None
    try:
        return await asyncssh.connect(
            login.host,
            sock=sock,
            username=login.user,
            client_keys=[key],
            known_hosts=(trusted, [], []),
            preferred_auth="publickey",
            config=None,
            agent_path=None,
            connect_timeout=login.seconds,
            login_timeout=login.seconds,
            keepalive_interval=15,
        )
    except asyncssh.HostKeyNotVerifiable as error:
        raise HostKeyRefused(
            f"{login.host} showed a key that is none of the connection's host_keys: {error}. "
            "Find out why before an operator adds it."
        ) from error
    except asyncssh.PermissionDenied as error:
        raise AuthenticationFailed(f"{login.host} does not let {login.user} in with this key.") from error
    except (TimeoutError, asyncssh.ConnectionLost) as error:
        raise TimedOut(f"{login.host} did not let us in within the time: {error}.") from error
    except (OSError, asyncssh.Error) as error:
        raise ConnectFailed(f"{login.host} cannot be logged in to: {error}.") from error


def _accompany(
    loop: asyncio.AbstractEventLoop,
    connection: asyncssh.SSHClientConnection,
    command: str,
    stdin: str,
    context: ActionContext,
) -> Ended:
    """Start it, listen until the end, and end it when its time is over."""
    told = Told()
    closed = loop.create_future()
    starting = loop.create_task(_start(connection, command, told, closed))
    while not starting.done():
        loop.run_until_complete(asyncio.wait({starting}, timeout=TICK))
        if starting.done():
            break
        if time.monotonic() >= context.deadline_monotonic:
            return Ended(Ending.TIMED_OUT, None, "", "", "", truncated=False)
        if context.cancelled():
            return Ended(Ending.CANCELLED, None, "", "", "", truncated=False)
    channel = starting.result()
    if channel is None:
        return Ended(Ending.EXITED, None, "", "", "", truncated=False)
    out, err = Listener("stdout", context), Listener("stderr", context)
    listeners = {"stdout": out, "stderr": err}
    ending, until = Ending.EXITED, context.deadline_monotonic
    with suppress(OSError):  # it may have ended without reading
        channel.write(stdin.encode("utf-8", "surrogateescape"))
        channel.write_eof()
    while not closed.done():
        loop.run_until_complete(asyncio.wait({closed}, timeout=TICK))
        _hand_over(told, listeners)
        if ending is not Ending.EXITED:
            if time.monotonic() >= until:
                break
        elif time.monotonic() >= until or context.cancelled():
            ending = Ending.TIMED_OUT if time.monotonic() >= until else Ending.CANCELLED
            until = time.monotonic() + GRACE
            with suppress(OSError):
                channel.send_signal("TERM")
    # A quick program has said everything, and is gone, before the first look.
    _hand_over(told, listeners)
    out.end()
    err.end()
    truncated = out.truncated or err.truncated
    return Ended(ending, told.exit_code, told.signal, out.kept, err.kept, truncated)


def _hand_over(told: Told, listeners: dict[str, Listener]) -> None:
    chunks, told.chunks = told.chunks, []
    for stream, data in chunks:
        listeners[stream].hear(data)


async def _start(
    connection: asyncssh.SSHClientConnection, command: str, told: Told, closed: asyncio.Future[None]
) -> asyncssh.SSHClientChannel[bytes] | None:
    """The program's channel; None when the connection broke while it was being started."""
    import asyncssh

    class Session(asyncssh.SSHClientSession[bytes]):
        """Writes down what the channel says."""

        def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
            told.opened = True

        def data_received(self, data: bytes, datatype: int | None) -> None:
            stream = "stderr" if datatype == asyncssh.EXTENDED_DATA_STDERR else "stdout"
            told.chunks.append((stream, data))

        def exit_status_received(self, status: int) -> None:
            told.exit_code = status

        def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:
            told.signal = signal

        def connection_lost(self, exc: Exception | None) -> None:
            if not closed.done():
                closed.set_result(None)

    try:
        channel, _ = await connection.create_session(Session, command, encoding=None)
    except asyncssh.ChannelOpenError as error:
        if told.opened and connection.is_closed():
            return None
        raise Rejected(f"The host does not start the program: {error}.") from error
    return channel
