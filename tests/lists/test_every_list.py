"""Every list has pages, shows nobody else's rows, and costs the same for few and for many: complete by construction."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from drf_spectacular.generators import SchemaGenerator
from pytest_django.plugin import DjangoDbBlocker

from tests import factories
from tests.authz.test_table import expectations
from tests.lists.plenty import MORE, Plenty
from tests.lists.table import LISTS, NO_LISTS, Listing, cases

pytestmark = pytest.mark.django_db
FEW, MANY = 3, 30
OURS, THEIRS = "ours", "alien"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, and what it cost."""

    text: str
    queries: int
    statements: str


@dataclass(slots=True)
class Library:
    """The answers, few rows and many, and somebody to ask further questions."""

    ours: Plenty
    client: Client
    few: list[Answer] = field(default_factory=list)
    many: list[Answer] = field(default_factory=list)

    def ask(self, listing: Listing, more: str = "") -> Answer:
        with CaptureQueriesContext(connection) as captured:
            got = self.client.get(f"{listing.where(self.ours)}{more}", headers=dict(listing.headers))
        assert got.status_code == 200, (listing.where(self.ours), got.content[:300])
        statements = "\n".join(query["sql"][:300] for query in captured.captured_queries)
        return Answer(got.content.decode().lower(), len(captured), statements)


@pytest.fixture(scope="module")
def library(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Library]:
    """Two projects with three and then thirty rows of everything, of which the reader sees one; asked all at once."""
    with django_db_blocker.unblock(), transaction.atomic():
        reader, stranger = factories.person("reader"), factories.person("stranger")
        ours, theirs = Plenty(OURS, reader), Plenty(THEIRS, stranger)
        made = Library(ours, Client())
        made.client.force_login(reader)
        for answers, count in ((made.few, FEW), (made.many, MANY)):
            ours.grow(count)
            theirs.grow(count)
            made.ask(LISTS["api_services"])  # what a process reads once
            answers += [made.ask(listing) for _, listing in cases()]
        yield made
        transaction.set_rollback(True)


def routes_that_answer() -> set[str]:
    """The routes where somebody's GET has an answer."""
    return {
        name for (name, method), row in expectations().items()
        if method == "GET" and any("200" in row[column] for column in ("anonymous", "admin"))
    }  # fmt: skip


def test_no_list_is_forgotten() -> None:
    assert LISTS.keys() | NO_LISTS == routes_that_answer()
    assert not LISTS.keys() & NO_LISTS


def test_what_the_api_calls_a_list_is_asked_like_one(library: Library) -> None:
    paths = SchemaGenerator().get_schema(public=True)["paths"]
    with_pages = {
        path for path, operations in paths.items()
        if any(each["name"] == "cursor" for each in operations.get("get", {}).get("parameters", []))
    }  # fmt: skip
    asked = {name: listing for name, listing in cases() if name.startswith("api_") and listing.most}
    patterns = {path: re.compile(re.sub(r"\{\w+\}", "[^/]+", path)) for path in with_pages}
    found = {
        path: [name for name, listing in asked.items() if pattern.fullmatch(listing.where(library.ours))]
        for path, pattern in patterns.items()
    }
    assert [path for path, names in found.items() if len(names) != 1] == []
    assert len(found) == len(asked)


@pytest.mark.parametrize("place", range(len(cases())), ids=[name for name, _ in cases()])
def test_a_list_has_pages_is_scoped_and_costs_the_same_for_many(library: Library, place: int) -> None:
    _, listing = cases()[place]
    few, many = library.few[place], library.many[place]
    for kind, most in listing.most.items():
        there = MORE.get(kind, MANY)
        shown = len(set(re.findall(rf"{OURS}-{kind}-\d+", many.text)))
        assert min(there, most) * 0.6 <= shown <= most, (
            f"{shown} of {there} {kind}s are shown, at most {most} may be"
        )
    assert THEIRS not in few.text
    assert THEIRS not in many.text
    assert many.queries <= few.queries, f"{few.queries} became {many.queries}:\n{many.statements}"
    assert many.queries <= listing.queries, many.statements


@pytest.mark.parametrize(
    "name", [name for name, listing in cases() if name.startswith("api_") and listing.most]
)
def test_a_page_of_the_api_is_as_long_as_asked_for(library: Library, name: str) -> None:
    listing = LISTS[name]
    assert isinstance(listing, Listing)
    kind = next(iter(listing.most))
    seen: list[dict[str, Any]] = []
    got = library.client.get(f"{listing.where(library.ours)}?limit=7").json()
    assert len(got["results"]) == 7
    seen += got["results"]
    while got["next"]:
        got = library.client.get(got["next"]).json()
        seen += got["results"]
    assert len(set(re.findall(rf"{OURS}-{kind}-\d+", str(seen)))) == MORE.get(kind, MANY)
    assert THEIRS not in str(seen)
    assert library.client.get(f"{listing.where(library.ours)}?limit=201").status_code == 422
