"""Pages of a list by cursor: stable while rows come and go, and as quick on the last page as on the first."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from rest_framework import pagination
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.views import APIView

from handrail.shared.errors import Invalid

Row = TypeVar("Row")
PAGE = 50
LONGEST_PAGE = 200


class Pages(pagination.CursorPagination):
    """``?limit=`` (1 to 200, default 50) and ``?cursor=``, which is taken from ``next`` and ``previous``.

    ``ordering`` is a unique column, given by the view: then a cursor is the last row's value of it.
    """

    page_size = PAGE
    max_page_size = LONGEST_PAGE
    page_size_query_param = "limit"

    def get_page_size(self, request: Request) -> int:
        """Refuse a limit that is not between 1 and 200 instead of quietly taking another."""
        given = request.query_params.get("limit")
        if given is None:
            return PAGE
        if (
            not given.isascii()
            or not given.isdigit()
            or len(given) > 4
            or not 1 <= int(given) <= LONGEST_PAGE
        ):
            raise Invalid(f"limit is a number between 1 and {LONGEST_PAGE}.")
        return int(given)

    def paginate_queryset(
        self, queryset: QuerySet[Any], request: Request, view: APIView | None = None
    ) -> list[Any] | None:
        """One page. Raises Invalid for a cursor that was not taken from an answer."""
        try:
            return super().paginate_queryset(queryset, request, view)
        except (ValueError, ValidationError, OverflowError) as error:
            raise _unreadable() from error

    def decode_cursor(self, request: Request) -> pagination.Cursor | None:
        """The cursor, refused when its position cannot be one."""
        given = request.query_params.get("cursor", "")
        if len(given) > 500:
            raise _unreadable()
        try:
            cursor = super().decode_cursor(request)
        except NotFound as error:
            raise _unreadable() from error
        if cursor is not None and cursor.position is not None:
            _check_position(str(cursor.position))
        return cursor


class PagesInOrder(Pages):
    """The same of rows that are no query, in an order that stays: a cursor is a place in it, from 0."""

    def paginate_rows(self, rows: Sequence[Row], request: Request) -> list[Row]:
        """One page. Raises Invalid for a cursor that was not taken from an answer."""
        self.size, self.total = self.get_page_size(request), len(rows)
        self.base_url = request.build_absolute_uri()
        try:
            cursor = self.decode_cursor(request)
            self.first = int(cursor.position or 0) if cursor is not None else 0
        except (ValueError, NotFound) as error:
            raise _unreadable() from error
        return list(rows[self.first : self.first + self.size])

    def get_next_link(self) -> str | None:
        """The address of the next page; None on the last."""
        return self._at(self.first + self.size) if self.first + self.size < self.total else None

    def get_previous_link(self) -> str | None:
        """The address of the page before; None on the first."""
        return self._at(max(0, self.first - self.size)) if self.first else None

    def _at(self, place: int) -> str:
        return str(self.encode_cursor(pagination.Cursor(offset=0, reverse=False, position=place)))


_NAME = re.compile(r"[A-Za-z0-9._-]{1,80}:[0-9]{1,10}:[0-9a-f]{1,20}")
"""The id of a worker process."""


def _check_position(position: str) -> None:
    """Positions are UUIDs, integers of 63 bits or the ids of processes."""
    if _NAME.fullmatch(position):
        return
    if position.isascii() and position.isdigit() and len(position) < 19:
        return
    try:
        uuid.UUID(position)
    except ValueError:
        raise _unreadable() from None


def _unreadable() -> Invalid:
    return Invalid("This cursor is not one of ours: follow next or previous of an answer, unchanged.")


def pages(ordering: str) -> Pages:
    """A paginator along a unique column, such as ``-id``."""
    made = Pages()
    made.ordering = ordering
    return made
