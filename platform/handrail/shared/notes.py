"""What a transaction notes for itself, so that it need not ask the database for what it has just done.

Notes stand among what is done on commit. So a rollback, also to a savepoint, forgets those that it undoes, and nothing
of them is left when the transaction ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.db import connection, transaction


class Note:
    """Something that the current transaction has done; it counts until the transaction ends."""

    __slots__ = ()

    def __call__(self) -> None:
        """Committed: others see it, and may change it, from now on."""


N = TypeVar("N", bound=Note)


def note(what: Note) -> None:
    """Keep it until the current transaction ends; outside of one it is forgotten at once."""
    transaction.on_commit(what)


def last_note(kind: type[N], fits: Callable[[N], bool]) -> N | None:
    """The newest note of a kind that fits."""
    notes = (hook for _, hook, *_ in reversed(connection.run_on_commit) if isinstance(hook, kind))
    return next((one for one in notes if fits(one)), None)


def notes(kind: type[N]) -> list[N]:
    """All of a kind, the oldest first."""
    return [hook for _, hook, *_ in connection.run_on_commit if isinstance(hook, kind)]
