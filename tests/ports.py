"""Ports for servers that a test, the proof or a benchmark starts."""

from __future__ import annotations

import socket
from random import SystemRandom


def free_ports(count: int) -> list[int]:
    """Consecutive free ports of 127.0.0.1, below the range from which systems take those of outgoing connections.

    A port of that range may be free now and be somebody's connection a moment later.
    """
    random = SystemRandom()
    while True:
        first = random.randrange(20_000, 30_000)
        ports = list(range(first, first + count))
        if all(_is_free(port) for port in ports):
            return ports


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
