"""Which errors belong to what is done to the database, and where the others are written down for the judge."""

from __future__ import annotations

import os
import traceback
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from django.db import InterfaceError, OperationalError

AWAY: tuple[type[Exception], ...] = (OperationalError, InterfaceError, OSError)
"""The database was away, the disk full, or too many wanted it: the product's loops try again, too."""

OURS = ("/runbooks/", "/handrail/", "/tests/prove/")


def belongs(error: Exception, words: Iterable[str]) -> bool:
    """Whether the error is no news: the database is away, or it says what the trouble says (``words``)."""
    return isinstance(error, AWAY) or any(word in str(error) for word in words)


def say(path: Path, line: str) -> None:
    """Append a whole line."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, f"{line}\n".encode())
    os.close(handle)


def note(path: Path, who: str, error: Exception) -> None:
    """Write an error down that nobody expected; the whole of it goes to where the process writes its log."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_ours(frame.filename)]
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    words = (str(error).splitlines() or [""])[0][:300]
    say(path, f"the {who} met {type(error).__name__}: {words}{where}")
    traceback.print_exception(error)


def _is_ours(filename: str) -> bool:
    return any(part in filename for part in OURS) and "/site-packages/" not in filename


def unexpected(path: Path) -> list[str]:
    """What was written down, as sentences; how often, if more than once."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [f"{line} ({n} times)" if n > 1 else line for line, n in Counter(lines).items()]
