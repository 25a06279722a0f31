"""Who gets which answer from every address: asked, and compared with the reviewed table."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.signals import request_finished
from django.db import close_old_connections, transaction
from django.http import HttpResponseBase
from django.test import Client
from django.urls import reverse
from pytest_django.plugin import DjangoDbBlocker

from handrail.accounts.models import User
from tests.authz import api, incident_builders, runbook_builders
from tests.authz.builders import BODIES, BUILDERS
from tests.authz.routes import Route, routes
from tests.authz.world import COLUMNS, World

TABLE = Path(__file__).with_name("expectations.tsv")
pytestmark = pytest.mark.django_db
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
WRITE = os.environ.get("HANDRAIL_TEST_WRITE_EXPECTATIONS") == "1"
Row = dict[str, str]
FOR_ANYBODY = {*incident_builders.BUILDERS.values(), *runbook_builders.BUILDERS.values()}
"""Builders whose object depends neither on who asks, nor on whose project it is."""


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[World]:
    """One world for the whole table, gone afterwards; each question is undone by itself."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield World()
        transaction.set_rollback(True)


@pytest.fixture(autouse=True)
def _nothing_is_built_yet(world: World, db: None) -> None:
    """What a test builds is undone with it."""
    world.built.clear()


@pytest.fixture(scope="module")
def client() -> Client:
    return Client(raise_request_exception=False)


def expectations() -> dict[tuple[str, str], Row]:
    """The table: (route name, method) -> column -> answer."""
    if not TABLE.exists():
        return {}
    head, *lines = TABLE.read_text().splitlines()
    names = head.split("\t")
    rows = [dict(zip(names, line.split("\t"), strict=True)) for line in lines]
    return {(row["route"], row["method"]): row for row in rows}


def send(
    client: Client, route: Route, method: str, address: str, headers: dict[str, str]
) -> HttpResponseBase:
    """The question itself, with the body that the route would accept."""
    body = BODIES.get((route.name, method), {})
    headers = {**headers, **api.HEADERS.get((route.name, method), {})}
    ask = getattr(client, method.lower())
    if method == "GET":
        answer = ask(address, headers=headers)
    elif method == "POST" and not route.path.startswith(("/api/", "/hooks/")):
        answer = ask(address, body, headers=headers)
    else:
        answer = ask(address, body, content_type="application/json", headers=headers)
    assert isinstance(answer, HttpResponseBase)
    return answer


def built(world: World, route: Route, asker: User | None, *, own: bool) -> dict[str, object]:
    """What is asked about. The same for everybody where it can be: whatever is done to it is undone."""
    build = BUILDERS.get(route.name)
    if build is None:
        return {}
    if build not in FOR_ANYBODY:
        return build(world, asker, own)
    if build not in world.built:
        world.built[build] = build(world, asker, own)
    return world.built[build]


def ask(client: Client, world: World, route: Route, method: str, column: str, *, own: bool) -> str:
    """The status of the answer; ``sign-in`` where it sends one to the sign-in page. Undone afterwards."""
    asker = world.asker(column, own=own)
    parameters = built(world, route, asker.user, own=own)
    with transaction.atomic():
        client.cookies.clear()
        client.cookies.load(asker.cookies)
        answer = send(client, route, method, reverse(route.name, kwargs=parameters), asker.headers)
        if answer.streaming:
            # Nobody reads a live page here; its end must not close the connection of the transaction.
            request_finished.disconnect(close_old_connections)
            answer.close()
            request_finished.connect(close_old_connections)
        transaction.set_rollback(True)
    if answer.status_code == 302 and answer["Location"].startswith("/sign-in/?"):
        return "sign-in"
    return str(answer.status_code)


def cell(client: Client, world: World, route: Route, method: str, column: str) -> str:
    """What the column gets in its own project / in another; once, if that is the same."""
    own, other = (ask(client, world, route, method, column, own=flag) for flag in (True, False))
    return own if own == other else f"{own}/{other}"


def test_every_route_is_in_the_table() -> None:
    listed = {name for name, _ in expectations()}
    assert WRITE or {route.name for route in routes()} == listed


def test_no_answer_in_the_table_is_a_server_error() -> None:
    cells = [
        (key, column)
        for key, row in expectations().items()
        for column in COLUMNS
        if row[column].startswith("5")
    ]
    assert cells == []


if WRITE:

    def test_write_the_table_anew(client: Client, world: World) -> None:
        lines = ["\t".join(("route", "method", *COLUMNS))]
        for route in routes():
            for method in METHODS:
                if ask(client, world, route, method, "owner", own=True) != "405":
                    answers = [cell(client, world, route, method, column) for column in COLUMNS]
                    lines.append("\t".join((route.name, method, *answers)))
        TABLE.write_text("\n".join(lines) + "\n")

else:

    @pytest.mark.parametrize("route", routes(), ids=lambda route: route.name)
    def test_everybody_gets_the_answer_of_the_table(client: Client, world: World, route: Route) -> None:
        table = expectations()
        for method in METHODS:
            expected = table.get((route.name, method))
            if expected is None:
                assert ask(client, world, route, method, "owner", own=True) == "405", (
                    f"{method} is not in the table"
                )
                continue
            answers = {column: cell(client, world, route, method, column) for column in COLUMNS}
            assert answers == {column: expected[column] for column in COLUMNS}, f"{method} {route.path}"
