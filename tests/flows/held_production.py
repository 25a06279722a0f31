"""The sample production, with a hand on each effect: it can be held in the middle, and its answer lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from typing import Any

from handrail.demo.production import Production, ProductionHandler

LONGEST_HOLD = 120.0


@dataclass(slots=True)
class Hold:
    """One effect in the hand of the test. ``applied``: whether it has happened when it is held."""

    service: str
    applied: bool
    arrived: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def stay(self) -> None:
        """Called by the production: tell the test, and wait for it."""
        self.arrived.set()
        self.released.wait(LONGEST_HOLD)


class HeldProduction(Production):
    """A production whose next effect on a service can be held once."""

    def __init__(self) -> None:
        super().__init__()
        self.holds: dict[str, Hold] = {}

    def effect(self, name: str, key: str, change: dict[str, object]) -> dict[str, object]:
        hold = self.holds.pop(str(change["service"]), None)
        if hold is not None and not hold.applied:
            hold.stay()
            raise ConnectionAbortedError("the sender was gone before anything happened")
        answer = super().effect(name, key, change)
        if hold is not None:
            hold.stay()
        return answer

    def hold(self, service: str, *, applied: bool) -> Hold:
        """Hold the next effect on ``service``: after it was applied, or before (then it never is)."""
        self.holds[service] = Hold(service, applied)
        return self.holds[service]

    def effects_on(self, service: str) -> list[dict[str, object]]:
        """What really happened to a service, in order."""
        with self.lock:
            return [entry for entry in self.ledger if entry["service"] == service]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A worker that was killed leaves a broken connection: that is what the test is about."""


@contextmanager
def serving(port: int, production: HeldProduction) -> Iterator[str]:
    """Serve a production at a port of this machine; yields its address."""
    handler = type("Handler", (ProductionHandler,), {"production": production})
    with _Server(("127.0.0.1", port), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            for hold in list(production.holds.values()):
                hold.released.set()
            server.shutdown()
            thread.join(timeout=10)
