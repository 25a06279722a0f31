"""Constants in the text of a query, where a bound value would keep SQLite from an index that covers some rows only.

SQLite decides whether a partial index serves a query from the query's text, and looks at a bound value only in a
plain comparison: ``state IN (?, ?)`` never proves the condition of an index on ``state IN ('claimed', 'executing')``
(https://www.sqlite.org/partialindex.html). PostgreSQL's generic plans have the same limit.
"""

from __future__ import annotations

import re
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Expression

_PLAIN = re.compile(r"[a-z_]*")


class Literal(Expression):
    """A word of the product's own, such as a state, as the text of the query says it; never what somebody sent."""

    def __init__(self, word: str) -> None:
        """ValueError for anything but small letters and underscores; nothing at all is the empty text."""
        if not _PLAIN.fullmatch(word):
            raise ValueError(f"{word!r} may not stand in a query's text")
        super().__init__()
        self.word = str(word)

    def as_sql(self, _compiler: object, _connection: BaseDatabaseWrapper) -> tuple[str, list[Any]]:
        """The word in quotes, and no value."""
        return f"'{self.word}'", []


def literally(*words: str) -> list[Literal]:
    """For ``column__in``: the words of a partial index's condition, in its order."""
    return [Literal(word) for word in words]
