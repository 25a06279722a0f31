"""The embedded broker: a folder of messages. kombu's own, but nobody ever sees half a file.

kombu's writes a message where its consumers look, and reads a table of bindings that another process may just be
writing: a consumer that meets half a file raises, and Celery's main process ends together with its children and
the steps in their hands. Here whatever appears under its name is whole, and a message belongs to whoever renames it.
"""

from __future__ import annotations

import fcntl
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty
from typing import Any

import structlog
from kombu.exceptions import ChannelError
from kombu.transport import filesystem
from kombu.utils.encoding import bytes_to_str, str_to_bytes
from kombu.utils.json import dumps, loads

FOLDERS = ("data_folder_in", "data_folder_out", "processed_folder", "control_folder")

LONGEST_WAIT = 0.25
"""Seconds after which a consumer looks up from the folder; Celery's own two would be those of every stop."""

log = structlog.get_logger(__name__)


class Channel(filesystem.Channel):
    """Reads and writes messages and bindings, each as a whole."""

    def _put(self, *args: Any, **kwargs: Any) -> None:
        """Put a message onto a queue; kombu's classes name the second argument differently, and pass it by place."""
        queue, message = args
        name = f"{time.monotonic_ns() // 1_000_000}_{uuid.uuid4()}.{queue}.msg"
        _write_whole(Path(self.data_folder_out) / name, dumps(message))

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        """Take the oldest message of a queue; raises ``queue.Empty``."""
        folder, mine = Path(self.data_folder_in), Path(self.processed_folder)
        for name in sorted(path.name for path in folder.iterdir()):
            if name.partition(".")[2] != f"{queue}.msg":
                continue
            try:
                (folder / name).rename(mine / name)
            except FileNotFoundError:
                continue  # another consumer was faster
            text = (mine / name).read_bytes()
            (mine / name).unlink()
            try:
                message: dict[str, Any] = loads(bytes_to_str(text))
            except ValueError:
                # Not written by us. The row that it announced, if any, is found without it.
                log.warning("message_unreadable", queue=queue, file=name)
                continue
            return message
        raise Empty

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str | None, queue: str) -> None:
        """Add a binding to the exchange's table, if it is not there yet."""
        binding = filesystem.exchange_queue_t(routing_key or "", pattern or "", queue or "")
        self.control_folder.mkdir(exist_ok=True)
        with _alone(self.control_folder / "bindings.lock"):
            table = self.get_table(exchange)
            if binding not in table:
                _write_whole(self.control_folder / f"{exchange}.exchange", dumps([binding, *table]))


class Transport(filesystem.Transport):
    """What Celery knows as ``filesystem://``."""

    Channel = Channel

    def establish_connection(self) -> Any:
        """Make the folders, which may be the first things in HANDRAIL_HOME; whoever only looks makes none."""
        options = (self.client.transport_options if self.client else None) or {}
        for folder in (Path(options[name]) for name in FOLDERS):
            # One by one: whatever is made on the way to the folder is its owner's alone, too.
            for each in (folder.parent.parent, folder.parent, folder):
                each.mkdir(parents=True, exist_ok=True, mode=0o700)
        return super().establish_connection()

    def drain_events(self, connection: Any, timeout: float | None = None) -> None:  # type: ignore[override]
        """Wait for a message as long as told, a quarter of a second at most: whoever waits is also told to stop."""
        super().drain_events(connection, LONGEST_WAIT if timeout is None else min(timeout, LONGEST_WAIT))

    @property
    def default_connection_params(self) -> dict[str, Any]:
        """No host: kombu would warn of its absence."""
        return {"port": self.default_port}


def _write_whole(path: Path, text: str) -> None:
    """Let a file appear with all that is in it, or raise ChannelError."""
    part = path.with_name(f".{uuid.uuid4().hex}")
    try:
        part.write_bytes(str_to_bytes(text))
        part.replace(path)
    except OSError as error:
        raise ChannelError(f"The embedded broker cannot write {path}: {error.strerror}") from error


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock that no other process has."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
