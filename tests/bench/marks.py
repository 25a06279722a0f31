"""Marks: datagrams by which a process tells the benchmark that it has come to some point; and the ear for them."""

from __future__ import annotations

import os
import socket
import time

PORT_VARIABLE = "BENCH_MARKS_PORT"


def tell(mark: str) -> None:
    """Send the mark to the benchmark: the floor's worker does the same, so that it weighs on both."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.sendto(mark.encode(), ("127.0.0.1", int(os.environ[PORT_VARIABLE])))


class Marks:
    """Hears marks."""

    def __init__(self) -> None:
        self._ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._ear.bind(("127.0.0.1", 0))

    @property
    def port(self) -> int:
        return int(self._ear.getsockname()[1])

    def wait_for(self, mark: str, *, within: float = 60.0) -> float:
        """The monotonic time at which the mark came; marks of others are passed over. TimeoutError."""
        deadline = time.perf_counter() + within
        while True:
            self._ear.settimeout(max(0.001, deadline - time.perf_counter()))
            heard = self._ear.recv(1024).decode()
            if heard == mark:
                return time.perf_counter()

    def close(self) -> None:
        self._ear.close()
