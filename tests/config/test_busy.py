"""A database that does not answer is told as such, to people and to programs."""

from __future__ import annotations

import pytest
from django.db import OperationalError
from django.test import Client

from handrail.accounts.models import Project
from tests import factories

pytestmark = pytest.mark.django_db


def no_connection(*args: object, **kwargs: object) -> None:
    raise OperationalError("couldn't get a connection after 10.00 sec")


def test_a_program_is_asked_to_come_back(
    client: Client, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = factories.token(factories.person(roles={project: "viewer"}))
    monkeypatch.setattr("handrail.incidents.api.reads.incidents_visible_to", no_connection)
    answer = client.get("/api/v1/incidents/", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer["Retry-After"]) == (503, "10")
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "try_again"
    assert "connection" not in answer.json()["detail"]


def test_a_person_reads_what_to_do(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handrail.accounts.links.find", no_connection)
    answer = client.get("/link/anything/")
    assert (answer.status_code, answer["Retry-After"]) == (503, "10")
    assert "did not answer in time" in answer.content.decode()
    assert "couldn't get a connection" not in answer.content.decode()


def test_another_fault_is_still_a_fault(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("handrail.accounts.links.find", broken)
    client.raise_request_exception = False
    assert client.get("/link/anything/").status_code == 500
