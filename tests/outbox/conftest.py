"""An outbox whose vendor is a list."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from handrail.outbox.sending import register_sender, unregister_sender
from handrail.shared import wakeups
from tests.outbox.vendor import Vendor


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    vendor = Vendor()
    register_sender("test", vendor)
    yield vendor
    unregister_sender("test")


@pytest.fixture
def paced_vendor() -> Iterator[Vendor]:
    """One message a second to each destination."""
    vendor = Vendor()
    register_sender("test", vendor, interval=1.0)
    yield vendor
    unregister_sender("test")


@pytest.fixture(autouse=True)
def hints(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hints that were sent, instead of a broker."""
    sent: list[str] = []

    def send(task: str, *args: str, queue: str = "") -> bool:
        sent.append(task)
        return True

    monkeypatch.setattr(wakeups, "send", send)
    monkeypatch.setattr("handrail.outbox.tasks.send", send)
    return sent
