"""ORM queries that are compiled once: to build the SQL of a query costs several times what the database needs."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.db.models import QuerySet

from handrail.shared.statements.reading import Row, fetch
from handrail.shared.statements.writing import adapted


class Compiled:
    """The rows of a query about some ids. ``build`` gets these ids once, and gives the query for any.

    So nothing in the query may depend on anything but the ids: it is kept for the life of the process.
    """

    def __init__(self, build: Callable[..., QuerySet[Any, Any]]) -> None:
        """Nothing is compiled before the first question."""
        self._build = build
        self._text = ""
        self._places: Sequence[int | tuple[object]] = ()

    def rows(self, *ids: uuid.UUID) -> list[Row]:
        """What the database says of these ids."""
        if not self._text:
            self._compile(len(ids))
        return fetch(self._text, [ids[one] if isinstance(one, int) else one[0] for one in self._places])

    def _compile(self, count: int) -> None:
        marks = [uuid.uuid4() for _ in range(count)]
        text, values = self._build(*marks).query.get_compiler(DEFAULT_DB_ALIAS).as_sql()
        known = {adapted(mark): n for n, mark in enumerate(marks)}
        self._places = [known.get(value, (value,)) for value in values]
        self._text = text
