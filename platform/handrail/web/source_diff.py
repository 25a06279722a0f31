"""Two texts of a runbook line by line: what an author, a publisher and a reader of history want to see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import unified_diff

MOST_LINES = 4000
"""Lines of a difference on a page."""


@dataclass(frozen=True, slots=True)
class DiffLine:
    """One line; ``css`` is diff-add, diff-del, diff-at or empty."""

    text: str
    css: str = ""


def source_diff(before: str, after: str) -> Sequence[DiffLine]:
    """The lines that differ, each with three lines around it; empty when the texts are the same."""
    lines = list(unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=3))[2:]
    shown = [DiffLine(line, _css(line)) for line in lines[:MOST_LINES]]
    if len(lines) > MOST_LINES:
        shown.append(DiffLine(f"{len(lines) - MOST_LINES} more lines differ.", "diff-at"))
    return shown


def _css(line: str) -> str:
    return {"+": "diff-add", "-": "diff-del", "@": "diff-at"}.get(line[:1], "")
