"""ORM queries that are compiled once: to build the SQL of a query costs several times what the database needs."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar, cast

from django.db import DEFAULT_DB_ALIAS, connection, connections, models
from django.db.models import QuerySet
from django.db.models.sql.compiler import SQLCompiler
from django.db.transaction import TransactionManagementError

from handrail.shared.statements.reading import Row, fetch
from handrail.shared.statements.writing import adapted

Found = TypeVar("Found")

Asked = uuid.UUID | str | datetime
"""What a compiled query can be asked about. Anything else in it is the same for ever."""


class Compiled(Generic[Found]):
    """The answers of a query about some values. ``build`` gets stand-ins for them once, and gives the query for any.

    So nothing in the query may depend on anything but these values, and each must go into the query as it is: the
    query is kept for the life of the process. Pages of related rows (``prefetch_related``) are not read.
    """

    def __init__(self, build: Callable[..., QuerySet[Any, Found]]) -> None:
        """Nothing is compiled before the first question."""
        self._build = build
        self._plan: _Plan | None = None

    def rows(self, *values: Asked) -> list[Row]:
        """What the driver gives for these values, as it gives it."""
        return self._planned(values).rows(values)

    def all(self, *values: Asked) -> list[Found]:
        """What the query gives for these values: instances with what it joins, or tuples, or plain values."""
        plan = self._planned(values)
        rows = plan.rows(values)
        return list(plan.iterable(_Answered(plan.compiler, rows))) if rows else []

    def first(self, *values: Asked) -> Found | None:
        """The first of them. A query that may find many says itself that it wants one."""
        return next(iter(self.all(*values)), None)

    def _planned(self, values: Sequence[Asked]) -> _Plan:
        if self._plan is None:
            marks = [_mark(value) for value in values]
            built = self._build(*marks)
            compiler = built.query.get_compiler(DEFAULT_DB_ALIAS)
            text, given = compiler.as_sql()
            known = {adapted(mark): n for n, mark in enumerate(marks)}
            places = tuple(known.get(value, (value,)) for value in given)
            if missing := set(range(len(marks))).difference(one for one in places if isinstance(one, int)):
                raise ValueError(f"the query does not ask about its values {sorted(missing)} as they are")
            iterable = cast("Any", built)._iterable_class  # noqa: SLF001
            self._plan = _Plan(text, places, compiler, iterable, locks=built.query.select_for_update)
        return self._plan


@dataclass(frozen=True, slots=True)
class _Plan:
    """A compiled query. ``places``: for each place of the text the number of its value, or what always stands there."""

    text: str
    places: tuple[int | tuple[object], ...]
    compiler: SQLCompiler
    iterable: Callable[[_Answered], Any]
    locks: bool

    def rows(self, values: Sequence[Asked]) -> list[Row]:
        """Ask; TransactionManagementError for a lock that would end with its own statement."""
        if self.locks and not connection.in_atomic_block:
            raise TransactionManagementError("rows are locked inside of a transaction only")
        return fetch(self.text, [values[one] if isinstance(one, int) else one[0] for one in self.places])


@dataclass(slots=True)
class _Answered:
    """A query whose rows are there already: what Django's iterables need of a query set to make of them what it gives.

    Read with Django 5.2: ``ModelIterable`` and its siblings in ``django/db/models/query.py``.
    """

    compiler: SQLCompiler
    rows: list[Row]
    db: str = DEFAULT_DB_ALIAS
    _fields: None = None
    _known_related_objects: Mapping[models.Field[Any, Any], Any] = field(default_factory=dict)

    @property
    def query(self) -> _Answered:
        return self

    def get_compiler(self, using: str) -> SQLCompiler:
        ready = copy.copy(self.compiler)
        ready.connection = connections[using]
        ready.execute_sql = lambda *_args, **_options: [self.rows]  # type: ignore[assignment,method-assign]
        return ready


def prefetched(instance: models.Model, relation: str, related: list[Any]) -> None:
    """Let ``instance.relation.all()`` give these, as ``prefetch_related`` would have it, without a question."""
    rows = getattr(instance, relation).all()
    rows._result_cache, rows._prefetch_done = related, True  # noqa: SLF001  django/db/models/query.py: prefetch_one_level
    vars(instance).setdefault("_prefetched_objects_cache", {})[relation] = rows


def _mark(value: Asked) -> Asked:
    """A stand-in that is found again among the values of the compiled query."""
    mark = uuid.uuid4()
    if isinstance(value, uuid.UUID):
        return mark
    if isinstance(value, datetime):
        return datetime(2000, 1, 1, tzinfo=UTC) + timedelta(microseconds=mark.int % 10**15)
    if isinstance(value, str):
        return mark.hex
    raise TypeError(f"a compiled query is not asked about a {type(value).__name__}")
