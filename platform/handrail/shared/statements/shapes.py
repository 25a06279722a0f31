"""The text of hand-written statements. It follows from their shape alone, so that each is built only once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import count
from typing import NamedTuple

from django.db import connection, models

REMEMBERED = 512
"""Texts that a process keeps: runs with steps of the same kinds share them."""


class Shape(NamedTuple):
    """What of a statement is text. ``rows``: it inserts so many, or, with 0, updates one. ``once``: it inserts its row
    unless another one has one of its unique keys.

    ``where``: further conditions of an update, each a column and how many values it may have. ``guarded``: an update
    that must find its row. ``unless``: a condition without values under which an update finds none.
    """

    model: type[models.Model]
    columns: tuple[str, ...]
    where: tuple[tuple[str, int], ...] = ()
    rows: int = 0
    guarded: bool = False
    unless: str = ""
    once: bool = False

    @property
    def decides(self) -> bool:
        """Whether it may find no row without harm: as the first of several it decides whether they happen."""
        return self.once or (not self.rows and not self.guarded)


@lru_cache(maxsize=REMEMBERED)
def alone(shape: Shape) -> str:
    """The statement for Django's cursor."""
    places = iter(lambda: "%s", "")
    if shape.rows:
        row = f"({', '.join(next(places) for _ in shape.columns)})"
        return " ".join([_insert(shape), "VALUES", ", ".join([row] * shape.rows), *_unless_taken(shape)])
    return _update(shape, places)


@lru_cache(maxsize=REMEMBERED)
def together(shapes: tuple[Shape, ...]) -> str:
    """All of them as one statement of PostgreSQL, for a cursor that binds on the server's side.

    It gives one row with the server's time; none, with nothing written, when the first one decides and found no row, or
    no place for its own.
    Where a guarded one found none it divides by zero: that undoes everything without a transaction around it.
    """
    places = (f"${n}" for n in count(1))
    head = shapes[0].decides
    parts = [_part(shape, places, depends=head and n > 0) for n, shape in enumerate(shapes)]
    text = ["WITH", ", ".join(f"part{n} AS ({part} RETURNING 1)" for n, part in enumerate(parts))]
    text += ["SELECT clock_timestamp()"]
    guarded = [
        " ".join(["(SELECT count(*) FROM", f"part{n})"]) for n, one in enumerate(shapes) if one.guarded
    ]
    if guarded:
        text += [", 1 / (", " * ".join(guarded), ")"]
    if head:
        text += ["FROM part0"]
    return " ".join(text)


def _part(shape: Shape, places: Iterator[str], *, depends: bool) -> str:
    """One statement of many; if it ``depends`` on the first, it happens only when that found its row."""
    if not shape.rows:
        return _update(shape, _typed_for(shape, places)) + (
            " AND EXISTS (SELECT FROM part0)" if depends else ""
        )
    types = [_type(shape.model, column) for column in shape.columns]
    rows = [f"({', '.join(f'{next(places)}::{type_}' for type_ in types)})" for _ in range(shape.rows)]
    text = [_insert(shape), "SELECT given.* FROM (VALUES", ", ".join(rows), ") AS given"]
    return " ".join([*text, *([", part0"] if depends else []), *_unless_taken(shape)])


def _typed_for(shape: Shape, places: Iterator[str]) -> Iterator[str]:
    """The places of an update, each with the type of its column."""
    columns = [*shape.columns, _key(shape)]
    columns += [column for column, options in shape.where for _ in range(options)]
    return (f"{next(places)}::{_type(shape.model, column)}" for column in columns)


def row_places(model: type[models.Model], names: Sequence[str], *, first: int = 1) -> list[str]:
    """The places of a row's values: on PostgreSQL ``$1::uuid`` and so on, numbered from ``first``."""
    if connection.vendor != "postgresql":
        return ["%s"] * len(names)
    return [f"${n}::{_type(model, name)}" for n, name in enumerate(names, first)]


def _unless_taken(shape: Shape) -> list[str]:
    return ["ON CONFLICT DO NOTHING"] if shape.once else []


def _key(shape: Shape) -> str:
    return shape.model._meta.pk.column


def _insert(shape: Shape) -> str:
    return " ".join(["INSERT INTO", table(shape.model), f"({', '.join(shape.columns)})"])


def _update(shape: Shape, places: Iterator[str]) -> str:
    assignments = ", ".join(f"{column} = {next(places)}" for column in shape.columns)
    conditions = [f"{_key(shape)} = {next(places)}"]
    for column, options in shape.where:
        given = [next(places) for _ in range(options)]
        conditions.append(f"{column} IN ({', '.join(given)})" if options > 1 else f"{column} = {given[0]}")
    if shape.unless:
        conditions.append(f"NOT {shape.unless}")
    return " ".join(["UPDATE", table(shape.model), "SET", assignments, "WHERE", " AND ".join(conditions)])


def _type(model: type[models.Model], column: str) -> str:
    """The type of a column; without a length, because a cast to that would cut what is too long."""
    field = next(field for field in model._meta.fields if field.column == column)
    return str(field.db_type(connection)).partition("(")[0]


def table(model: type[models.Model]) -> str:
    """The quoted name of a model's table."""
    return connection.ops.quote_name(model._meta.db_table)
