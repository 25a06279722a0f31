"""Pages of a long list by cursor: stable while new rows arrive, and as quick on page 200 as on page 1."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import urlencode

from django.db.models import Model, QuerySet
from django.http import HttpRequest

Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True, slots=True)
class Shown(Generic[Row]):
    """One page of rows, newest first, and the addresses of its neighbours (empty at the ends)."""

    rows: Sequence[Row]
    newer_url: str = ""
    older_url: str = ""


def by_birth(request: HttpRequest, rows: QuerySet[Row], size: int = 25, *, here: str = "") -> Shown[Row]:
    """The page that the request asks for, of rows whose ids are UUIDv7: ids sort by birth.

    ``?before=ID`` is the page after that row, ``?after=ID`` the page before it; nonsense is the first page.
    ``here``: the page's own address, where it also answers forms that it refuses: theirs answer no GET.
    """
    place = here if request.method == "POST" else ""
    before, after = _id(request.GET.get("before")), _id(request.GET.get("after"))
    if after is not None:
        found = list(reversed(rows.filter(pk__gt=after).order_by("pk")[: size + 1]))
        more_newer, more_older = len(found) > size, True
        found = found[-size:]
    else:
        wanted = rows.filter(pk__lt=before) if before is not None else rows
        found = list(wanted.order_by("-pk")[: size + 1])
        more_newer, more_older = before is not None, len(found) > size
        found = found[:size]
    if not found:
        return Shown([])
    return Shown(
        found,
        place + _address(request, after=str(found[0].pk)) if more_newer else "",
        place + _address(request, before=str(found[-1].pk)) if more_older else "",
    )


def by_number(request: HttpRequest, total: int, size: int = 25) -> tuple[int, str, str]:
    """``(offset, previous address, next address)`` for a short list that is sorted by name."""
    asked = request.GET.get("page", "1")
    number = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 6 else 1
    last = max(1, -(-total // size))
    number = min(max(1, number), last)
    previous = _address(request, page=str(number - 1)) if number > 1 else ""
    following = _address(request, page=str(number + 1)) if number < last else ""
    return (number - 1) * size, previous, following


def _id(text: str | None) -> uuid.UUID | None:
    try:
        return uuid.UUID(text) if text else None
    except ValueError:
        return None


def _address(request: HttpRequest, **place: str) -> str:
    kept = [(key, value) for key, value in request.GET.items() if key not in ("before", "after", "page")]
    return f"?{urlencode([*kept, *place.items()])}"
