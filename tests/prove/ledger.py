"""What really happened, kept outside of the database: files to which every process only appends."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BEGIN, DID, END, SENT = "begin", "did", "end", "sent"

PAGES = 1024
"""Over so many files the keys are spread: who asks about one reads a page, however long the proof goes on."""


@dataclass(frozen=True, slots=True)
class Line:
    """``key`` is the idempotency key of a call; ``at`` is the machine's monotonic clock, in seconds."""

    word: str
    key: str
    pid: int
    at: float


@dataclass(frozen=True, slots=True)
class Ledger:
    """One write a line, so that lines of several processes never mix, and a killed one leaves whole lines.

    ``folder`` holds the pages. The lines of one key are in the order in which they were written.
    """

    folder: Path

    def write(self, word: str, key: str) -> None:
        line = f"{word}\t{key}\t{os.getpid()}\t{time.monotonic():.6f}\n"
        self.folder.mkdir(exist_ok=True)
        handle = os.open(self._page(key), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(handle, line.encode())
        finally:
            os.close(handle)

    def lines(self) -> Iterator[Line]:
        if self.folder.exists():
            for page in sorted(self.folder.iterdir()):
                yield from _read(page)

    def times(self, word: str, key: str) -> int:
        """How often this happened to a key."""
        page = self._page(key)
        return sum(line.word == word and line.key == key for line in _read(page)) if page.exists() else 0

    def _page(self, key: str) -> Path:
        return self.folder / f"{zlib.crc32(key.encode()) % PAGES:04}"


def _read(page: Path) -> Iterator[Line]:
    for line in page.read_text().splitlines():
        word, key, pid, at = line.split("\t")
        yield Line(word, key, int(pid), float(at))
