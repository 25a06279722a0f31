"""What remote commands print: columns for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import click

from handrail.cli.remote.client import Object
from handrail.shared.ids import short

Command = TypeVar("Command", bound=Callable[..., Any])

GOOD = frozenset({"succeeded", "approved", "resolved", "closed", "compensated"})
BAD = frozenset({"failed", "timed_out", "rejected", "expired", "uncertain", "compensation_failed"})

as_json = click.option("--json", "as_json", is_flag=True, help="JSON, as the API has it.")
"""Every remote command has it."""


def print_json(found: object) -> None:
    """One JSON document."""
    click.echo(json.dumps(found, indent=1))


def print_table(heads: Sequence[str], rows: Iterable[Sequence[str]], nothing: str) -> None:
    """Columns, as wide as their widest; ``nothing`` when there are no rows."""
    found = [[_one_line(cell) for cell in row] for row in rows]
    if not found:
        click.echo(nothing)
        return
    widths = [max(len(row[n]) for row in [list(heads), *found]) for n in range(len(heads))]
    for number, row in enumerate([list(heads), *found]):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        line = "  ".join(coloured(cell) if number else click.style(cell, bold=True) for cell in cells)
        click.echo(line.rstrip())


def _one_line(cell: str) -> str:
    return " ".join(safe(cell).split())


def safe(text: str) -> str:
    """Text of others, without what would steer the terminal."""
    return "".join(
        char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text
    )


def coloured(word: str) -> str:
    """A state in its colour; other words as they are."""
    state = word.strip()
    if state in GOOD:
        return click.style(word, fg="green")
    return click.style(word, fg="red") if state in BAD else word


def text(value: object) -> str:
    """A value for people."""
    return "" if value is None else str(value)


def short_id(row: Object) -> str:
    """The id of a row as pages show it."""
    return short(str(row["id"]))


def clock(moment: object) -> str:
    """A moment of the API in the local time of whoever reads it."""
    if not moment:
        return ""
    return datetime.fromisoformat(str(moment)).astimezone().strftime("%m-%d %H:%M:%S")


def sure(question: str, *, yes: bool) -> None:
    """Ask before something is done that cannot be taken back; without a terminal only ``--yes`` will do."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("Nobody can be asked here: add --yes.")
    click.confirm(question, abort=True, err=True)
