"""What really happened, kept outside of the database: a file to which every process only appends."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BEGIN, DID, END, SENT = "begin", "did", "end", "sent"


@dataclass(frozen=True, slots=True)
class Line:
    """``key`` is the idempotency key of a call; ``at`` is the machine's monotonic clock, in seconds."""

    word: str
    key: str
    pid: int
    at: float


@dataclass(frozen=True, slots=True)
class Ledger:
    """One write a line, so that lines of several processes never mix, and a killed one leaves whole lines."""

    path: Path

    def write(self, word: str, key: str) -> None:
        line = f"{word}\t{key}\t{os.getpid()}\t{time.monotonic():.6f}\n"
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(handle, line.encode())
        finally:
            os.close(handle)

    def lines(self) -> Iterator[Line]:
        if not self.path.exists():
            return
        for line in self.path.read_text().splitlines():
            word, key, pid, at = line.split("\t")
            yield Line(word, key, int(pid), float(at))

    def times(self, word: str, key: str) -> int:
        """How often this happened to a key."""
        return sum(line.word == word and line.key == key for line in self.lines())
