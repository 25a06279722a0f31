"""A plain socket for protocols other than HTTP, under the same guard: one lookup, that very address."""

from __future__ import annotations

import socket

from handrail.catalog.outgoing.errors import ConnectFailed, TimedOut
from handrail.catalog.outgoing.transport import Guard


def open_socket(host: str, port: int, guard: Guard) -> socket.socket:
    """Connect to the first checked address that answers, within the guard's deadline. Raises OutgoingError."""
    failure: OSError | None = None
    for address in guard.addresses(host, port):
        try:
            opened = socket.create_connection((address, port), guard.remaining())
        except OSError as error:
            failure = error
            continue
        guard.progress.address = address
        return opened
    if isinstance(failure, TimeoutError):
        raise TimedOut(f"Nobody answered at {host}:{port} within the time.")
    raise ConnectFailed(f"Cannot connect to {host}:{port}: {failure}.")
