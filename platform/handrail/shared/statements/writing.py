"""The statements of one transition, written by hand: on PostgreSQL they travel, and happen, as a single one.

Their text depends on nothing but their shape (which columns of how many rows), so that it is built once, and
prepared once by the server.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from functools import cache, lru_cache
from typing import Any, cast

from django.db import DEFAULT_DB_ALIAS, DataError, connection, connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from handrail.shared.clock import steady, tell_time
from handrail.shared.statements.shapes import Shape, alone, together

Parameter = bool | int | float | str | bytes | uuid.UUID | datetime | None
"""What goes to the driver."""

Value = object
"""What a column may be given: text, numbers, times, ids, bytes, None, and JSON data for a JSON column."""


MOST_ROWS = 500
"""Rows of one INSERT: SQLite takes some 32,000 values in a statement."""

MOST_TOGETHER = 1_000
"""Values of what PostgreSQL gets as one statement: to plan a large one costs more than the round trips."""


@cache
def json_columns(model: type[models.Model]) -> frozenset[str]:
    """The columns of the model's table that hold JSON."""
    return frozenset(field.column for field in model._meta.fields if isinstance(field, models.JSONField))


class Lost(Exception):
    """A conditional update found no row: the step is no longer ours, somebody else has moved it on."""


class Batch:
    """Statements in the order in which they are to be executed.

    PostgreSQL executes them as one, which needs no transaction around it; on SQLite there must be one.
    """

    def __init__(self) -> None:
        """Nothing is sent before :meth:`execute`."""
        self._shapes: list[Shape] = []
        self._values: list[list[Parameter]] = []
        # Looked up once: the proxy of the connection is asked some thirty times a transition otherwise.
        self._vendor = connection.vendor
        self._adapted = _as_text if self._vendor == "postgresql" else _as_sqlite

    def update(
        self,
        model: type[models.Model],
        pk: uuid.UUID | str,
        changes: Mapping[str, Value],
        *,
        where: Mapping[str, Value] | None = None,
        guarded: bool = False,
        unless: str = "",
    ) -> None:
        """Update one row. ``where`` narrows it: ``{"fence": 3, "state": ("claimed", "ready")}``, and so does
        ``unless``, a condition without values.

        A ``guarded`` one must change its row, or everything is refused. The first statement of a batch, if it is an
        update, decides: when it finds no row, nothing is written.
        """
        adapted, documents = self._adapted, json_columns(model)
        values = [
            to_json(value) if column in documents else adapted(value) for column, value in changes.items()
        ]
        values.append(adapted(pk))
        conditions: list[tuple[str, int]] = []
        for column, wanted in (where or {}).items():
            options = wanted if isinstance(wanted, tuple) else (wanted,)
            conditions.append((column, len(options)))
            values.extend(map(adapted, options))
        self._shapes.append(Shape(model, tuple(changes), tuple(conditions), guarded=guarded, unless=unless))
        self._values.append(values)

    def insert(self, model: type[models.Model], rows: Sequence[Mapping[str, Value]]) -> None:
        """Insert rows that all have the same columns."""
        for first in range(0, len(rows), MOST_ROWS):
            self._insert(model, rows[first : first + MOST_ROWS])

    def insert_once(self, model: type[models.Model], row: Mapping[str, Value]) -> None:
        """Insert a row unless another one has one of its unique keys. As the first of a batch it decides about all."""
        self._insert(model, [row], once=True)

    def _insert(
        self, model: type[models.Model], rows: Sequence[Mapping[str, Value]], *, once: bool = False
    ) -> None:
        adapted, documents = self._adapted, json_columns(model)
        columns = tuple(rows[0])
        if any(row.keys() != rows[0].keys() for row in rows):
            raise ValueError(
                f"rows of {model.__name__} that are inserted together must have the same columns"
            )
        self._shapes.append(Shape(model, columns, rows=len(rows), once=once))
        self._values.append(
            [
                to_json(row[column]) if column in documents else adapted(row[column])
                for row in rows
                for column in columns
            ]
        )

    def execute(self) -> bool:
        """Send everything, inside a transaction. False, and nothing is written, when the first statement found no row,
        or no place for its own.

        Raises :class:`Lost` when a guarded statement changed nothing; then roll back.
        """
        return self._together() if self._is_one_statement() else self._one_by_one()

    def execute_at_once(self) -> bool:
        """Send everything as a transaction of its own; otherwise like :meth:`execute`."""
        if self._is_one_statement():
            return self._together()
        with transaction.atomic():
            return self._one_by_one()

    def _is_one_statement(self) -> bool:
        return self._vendor == "postgresql" and sum(map(len, self._values)) <= MOST_TOGETHER

    def _together(self) -> bool:
        """All or nothing, even outside of a transaction."""
        values = [value for values in self._values for value in values]
        text = together(tuple(self._shapes))
        began = steady()
        try:
            rows = prepared(text, values)
        except DataError as error:
            if _divided_by_zero(error):
                raise Lost from error
            raise
        if not rows:
            return False
        tell_time(rows[0][0], began)
        return True

    def _one_by_one(self) -> bool:
        with connection.cursor() as cursor:
            for n, (shape, values) in enumerate(zip(self._shapes, self._values, strict=True)):
                cursor.execute(alone(shape), values)
                if shape.guarded and cursor.rowcount != 1:
                    raise Lost
                if n == 0 and shape.decides and cursor.rowcount != 1:
                    return False
        return True


def new_row(instance: models.Model) -> dict[str, Value]:
    """The columns of a row that is not there yet, with what saving the instance would fill in."""
    return {field.column: field.pre_save(instance, add=True) for field in instance._meta.concrete_fields}


def parameters(model: type[models.Model], row: Mapping[str, Value]) -> list[Parameter]:
    """The values of a row's columns as the driver takes them, in their order."""
    documents = json_columns(model)
    adapt = _as_text if connection.vendor == "postgresql" else _as_sqlite
    return [to_json(value) if name in documents else adapt(value) for name, value in row.items()]


def insert(instance: models.Model) -> None:
    """Insert the row of a new instance, inside a transaction."""
    batch = Batch()
    batch.insert(type(instance), [new_row(instance)])
    batch.execute()
    written(instance)


def insert_once(instance: models.Model) -> bool:
    """Insert a new row; False where one with one of its unique keys is there, or is being committed, already.

    That is no error that a savepoint would have to undo.
    """
    batch = Batch()
    batch.insert_once(type(instance), new_row(instance))
    is_new = batch.execute()
    if is_new:
        written(instance)
    return is_new


def written(instance: models.Model) -> None:
    """Say of an instance that its row is there now: saving it updates the row from now on."""
    instance._state.adding = False  # noqa: SLF001  how Django itself says so, and documents it
    instance._state.db = DEFAULT_DB_ALIAS  # noqa: SLF001


def returned(text: str, values: Sequence[Parameter]) -> list[tuple[Any, ...]]:
    """The rows that a statement returns whose places are those of this database, see ``shapes.row_places``."""
    if connection.vendor == "postgresql":
        return prepared(text, values)
    with connection.cursor() as cursor:
        cursor.execute(text, values)
        return cast("list[tuple[Any, ...]]", cursor.fetchall())


def prepared(text: str, values: Sequence[Parameter]) -> list[tuple[Any, ...]]:
    """The rows of a statement of PostgreSQL with ``$1``, ``$2`` ..., which its server prepares for the next time."""
    here = connections[DEFAULT_DB_ALIAS]  # the proxy of the connection looks this up for each attribute
    logged = here.queries_logged
    with _server_side_cursor(here, logged=logged) as cursor:
        try:
            cursor.execute(text, values)
        finally:
            if logged:
                # Of a prepared statement the driver does not tell the text any more.
                here.queries_log[-1]["sql"] = text
        return cast("list[tuple[Any, ...]]", cursor.fetchall())


def _server_side_cursor(here: BaseDatabaseWrapper, *, logged: bool) -> CursorWrapper:
    """A cursor that sends texts and values apart, as prepared statements need it; Django's own merges them."""
    from psycopg import RawCursor

    here.ensure_connection()
    raw = cast("CursorWrapper", RawCursor(here.connection))
    return here.make_debug_cursor(raw) if logged else here.make_cursor(raw)


def _divided_by_zero(error: DataError) -> bool:
    return getattr(error.__cause__, "sqlstate", "") == "22012"


def _as_text(value: Value) -> Parameter:
    """The value as text, unless it is bytes: so every value of a column has one type, and a prepared statement serves
    them all.
    """
    if value is None or type(value) is str or type(value) is bytes:
        return value
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, datetime):
        return _iso(value)
    if isinstance(value, (bool, int, float, str, uuid.UUID)):
        return str(value)
    raise TypeError(f"{type(value).__name__} is nothing that a column holds")


def _as_sqlite(value: Value) -> Parameter:
    kind = type(value)
    if value is None or kind is str or kind is int or kind is bool:
        return cast("Parameter", value)
    return adapted(value, "sqlite")


@lru_cache(maxsize=256)
def _iso(moment: datetime) -> str:
    """Its text; the same few moments stand in many columns."""
    return moment.isoformat()


@lru_cache(maxsize=256)
def _utc(moment: datetime) -> str:
    """SQLite keeps UTC without saying so, as Django writes it."""
    return str(moment.astimezone(UTC).replace(tzinfo=None))


def adapted(value: Value, vendor: str | None = None) -> Parameter:
    """The value as this database's driver takes it. TypeError for what no column holds."""
    if isinstance(value, Enum):
        return str(value.value)
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return value
    vendor = vendor or connection.vendor
    if isinstance(value, uuid.UUID):
        return value.hex if vendor == "sqlite" else value
    if isinstance(value, datetime):
        return _utc(value) if vendor == "sqlite" else value
    raise TypeError(f"{type(value).__name__} is nothing that a column holds")


def to_json(value: object) -> str | None:
    """JSON text as the columns hold it; None stays NULL."""
    return None if value is None else _ENCODER.encode(value)


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
"""Made once: ``json.dumps`` with other than its usual settings makes one each time."""
