"""A real SSH server in a thread of its own, and a connection to it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import asyncssh
import pytest

from handrail.accounts.models import Project
from handrail.catalog.models import Connection
from tests.integrations.conftest import SECRET, GiveSecret

Process = asyncssh.SSHServerProcess[bytes]


@dataclass
class Host:
    """The host: what was run on it, and what it does when something is run."""

    port: int = 0
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    host_key: asyncssh.SSHKey = field(default_factory=lambda: asyncssh.generate_private_key("ssh-ed25519"))
    user_key: asyncssh.SSHKey = field(default_factory=lambda: asyncssh.generate_private_key("ssh-ed25519"))
    commands: list[str] = field(default_factory=list)
    behave: Callable[[Process], Awaitable[None]] | None = None
    started: threading.Event = field(default_factory=threading.Event)

    async def handle(self, process: Process) -> None:
        self.commands.append(process.command or "")
        self.started.set()
        if self.behave is not None:
            await self.behave(process)
            return
        program = await asyncio.create_subprocess_shell(
            process.command or "true",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await program.communicate(await process.stdin.read())
        process.stdout.write(out)
        process.stderr.write(err)
        process.exit(program.returncode or 0)

    def authorized(self) -> asyncssh.SSHAuthorizedKeys:
        return asyncssh.import_authorized_keys(self.user_key.export_public_key().decode())

    def private(self) -> str:
        return self.user_key.export_private_key().decode()

    def public(self) -> str:
        return self.host_key.export_public_key().decode().strip()


@pytest.fixture(scope="module")
def _server() -> Iterator[Host]:
    host = Host()
    up = threading.Event()
    stopping = asyncio.Event()

    async def serve() -> None:
        acceptor = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[host.host_key],
            authorized_client_keys=host.authorized(),
            process_factory=host.handle,
            encoding=None,
        )
        host.port = acceptor.get_port()
        up.set()
        await stopping.wait()
        acceptor.close()
        await acceptor.wait_closed()

    thread = threading.Thread(target=lambda: host.loop.run_until_complete(serve()), daemon=True)
    thread.start()
    assert up.wait(20)
    yield host
    host.loop.call_soon_threadsafe(stopping.set)
    thread.join(20)
    host.loop.close()


@pytest.fixture
def host(_server: Host) -> Host:
    _server.commands.clear()
    _server.behave = None
    _server.started.clear()
    return _server


@pytest.fixture
def connection(project: Project, host: Host, give_secret: GiveSecret) -> Connection:
    give_secret(host.private())
    fields: dict[str, Any] = {
        "kind": "ssh",
        "base_url": f"ssh://127.0.0.1:{host.port}",
        "authentication": "key",
        "secret_reference": SECRET,
        "allowed_networks": ["127.0.0.0/8"],
        "options": {"user": "handrail", "host_keys": [host.public()], "programs": ["*"]},
        "timeout_seconds": 10,
    }
    return Connection.objects.create(project=project, name="web-1", **fields)
