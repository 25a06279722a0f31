"""What the hot path reads, by hand: each text is built once, and prepared once by PostgreSQL's server.

To compile one of these queries anew costs the ORM several times what the database needs to answer it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Generic, TypeVar, cast

from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import Model

from handrail.shared.statements.writing import Value, adapted, prepared

M = TypeVar("M", bound=Model)

Row = tuple[Any, ...]
"""What the driver gives."""


def fetch(text: str, values: Sequence[Value]) -> list[Row]:
    """The rows of a query that has a ``%s`` for each value."""
    given = [adapted(value) for value in values]
    if connection.vendor == "postgresql":
        return prepared(_numbered(text), given)
    with connection.cursor() as cursor:
        cursor.execute(text, given)
        return cast("list[Row]", cursor.fetchall())


@lru_cache(maxsize=512)
def _numbered(text: str) -> str:
    """The text for a cursor that binds on the server's side: its places have numbers."""
    first, *others = text.split("%s")
    return first + "".join(f"${n}{part}" for n, part in enumerate(others, start=1))


@dataclass(frozen=True, slots=True)
class Columns(Generic[M]):
    """All columns of a model's table, and how a row of them becomes an instance."""

    model: type[M]
    names: tuple[str, ...]
    attributes: tuple[str, ...]
    converters: tuple[tuple[int, Any, tuple[Callable[..., Any], ...]], ...]

    def of(self, alias: str) -> str:
        """The columns for a SELECT from the table as ``alias``."""
        return ", ".join(f"{alias}.{name}" for name in self.names)

    def instance(self, row: Row) -> M:
        """The instance; ``row`` has exactly these columns."""
        values = list(row)
        for n, expression, convert in self.converters:
            for one in convert:
                values[n] = one(values[n], expression, connection)
        return self.model.from_db(DEFAULT_DB_ALIAS, self.attributes, values)


@cache
def columns(model: type[M]) -> Columns[M]:
    """The columns of a model. A process has one kind of database."""
    fields = model._meta.concrete_fields
    converters = []
    for n, field in enumerate(fields):
        expression = field.get_col(model._meta.db_table)
        found = (*connection.ops.get_db_converters(expression), *expression.get_db_converters(connection))
        if found:
            converters.append((n, expression, found))
    return Columns(
        model,
        tuple(connection.ops.quote_name(field.column) for field in fields),
        tuple(field.attname for field in fields),
        tuple(converters),
    )
