"""The embedded broker never shows anybody half of anything."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import Empty

import pytest
from kombu import Connection
from kombu.transport import filesystem

from handrail.config.celery import broker_settings
from handrail.config.embedded_broker import LONGEST_WAIT, Channel, Transport


@contextmanager
def channel(folder: Path) -> Iterator[Channel]:
    """A channel of a process of its own, so to speak, to the broker in this folder."""
    options = broker_settings(f"filesystem://{folder}")["broker_transport_options"]
    with Connection("filesystem://", transport=Transport, transport_options=options) as connection:
        opened = connection.channel()
        assert isinstance(opened, Channel)
        yield opened
        opened.close()


def test_many_writers_and_readers_exchange_every_message_once(tmp_path: Path) -> None:
    writers, each = 4, 150
    done = threading.Event()

    def write(writer: int) -> None:
        with channel(tmp_path) as mine:
            for n in range(each):
                mine._put("steps", {"body": f"{writer}:{n}", "padding": "x" * 20_000})

    def read() -> list[str]:
        found = []
        with channel(tmp_path) as mine:
            while True:
                over = done.is_set()
                try:
                    found.append(str(mine._get("steps")["body"]))
                except Empty:
                    if over:
                        return found

    with ThreadPoolExecutor(writers + 3) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        for writing in [pool.submit(write, writer) for writer in range(writers)]:
            writing.result()
        done.set()
        found = [body for reader in readers for body in reader.result()]
    assert sorted(found) == sorted(f"{writer}:{n}" for writer in range(writers) for n in range(each))


def test_the_oldest_message_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter(range(10**15, 10**16, 10**9))
    monkeypatch.setattr("time.monotonic_ns", lambda: next(moments))
    with channel(tmp_path) as mine:
        for n in range(5):
            mine._put("steps", {"body": n})
        assert [mine._get("steps")["body"] for _ in range(5)] == [0, 1, 2, 3, 4]


def test_a_message_that_cannot_be_read_is_passed_by(tmp_path: Path) -> None:
    with channel(tmp_path) as mine:
        (tmp_path / "queues" / "0_broken.steps.msg").write_text("")
        mine._put("steps", {"body": "whole"})
        assert mine._get("steps")["body"] == "whole"
        with pytest.raises(Empty):
            mine._get("steps")


def test_queues_that_are_bound_at_the_same_time_are_all_bound(tmp_path: Path) -> None:
    def bind(n: int) -> None:
        with channel(tmp_path) as mine:
            mine._queue_bind("all", f"key-{n}", None, f"queue-{n}")
            mine._queue_bind("all", f"key-{n}", None, f"queue-{n}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(bind, range(40)))
    table = json.loads((tmp_path / "control" / "all.exchange").read_text())
    assert sorted(queue for _, _, queue in table) == sorted(f"queue-{n}" for n in range(40))


def test_celery_uses_it() -> None:
    from handrail.config.celery import app

    with app.connection_for_write("filesystem://") as connection:
        assert isinstance(connection.transport, Transport)


@pytest.mark.parametrize(("told", "waits"), [(2.0, LONGEST_WAIT), (0.1, 0.1), (None, LONGEST_WAIT)])
def test_a_consumer_looks_up_soon_so_that_a_worker_stops_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: float | None, waits: float
) -> None:
    """Celery waits two seconds at a time, and asks only in between whether it shall stop."""
    asked: list[float | None] = []
    monkeypatch.setattr(
        filesystem.Transport, "drain_events", lambda _self, _connection, timeout=None: asked.append(timeout)
    )
    with channel(tmp_path) as mine:
        mine.connection.drain_events(mine.connection, timeout=told)
    assert asked == [waits]
