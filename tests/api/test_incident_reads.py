"""Reading incidents, runs and approvals, as a script with a token does."""

from __future__ import annotations

import uuid

import pytest
from django.test import Client

from handrail.accounts.models import Project
from handrail.incidents.models import Postmortem, PostmortemSection
from handrail.shared.clock import now
from tests import factories

pytestmark = pytest.mark.django_db


def test_the_open_incidents_are_listed_with_their_pages(client: Client, project: Project) -> None:
    shown = factories.incident(project)
    factories.incident(project, is_open=False, status="resolved")
    answer = client.get("/api/v1/incidents/?open=true")
    assert answer.status_code == 200, answer.content
    data = answer.json()
    assert data["next"] is None
    assert [row["id"] for row in data["results"]] == [str(shown.pk)]
    row = data["results"][0]
    assert row["number"] == shown.number
    assert row["status"] == "triage"
    assert row["url"].endswith(f"/incidents/{shown.pk}/")
    assert client.get(f"/api/v1/incidents/{shown.pk}/").json() == row


def test_an_incident_of_another_project_is_not_found(client: Client, other_project: Project) -> None:
    hidden = factories.incident(other_project)
    assert client.get("/api/v1/incidents/").json()["results"] == []
    answer = client.get(f"/api/v1/incidents/{hidden.pk}/")
    assert answer.status_code == 404
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "not_found"


def test_the_timeline_goes_on_after_a_place(client: Client, project: Project) -> None:
    incident = factories.incident(project)
    for text in ("one", "two", "three"):
        factories.timeline_event(incident, text)
    results = client.get(f"/api/v1/incidents/{incident.pk}/timeline/?after=1").json()["results"]
    assert [(row["n"], row["text"]) for row in results] == [(2, "two"), (3, "three")]
    assert results[0]["at"].endswith("Z")


def test_pages_follow_one_another_without_a_gap(client: Client, project: Project) -> None:
    made = [str(factories.incident(project).pk) for _ in range(5)]
    seen: list[str] = []
    address = "/api/v1/incidents/?limit=2"
    while address:
        data = client.get(address).json()
        seen += [row["id"] for row in data["results"]]
        address = data["next"]
    assert seen == made[::-1]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=x",
        "cursor=%00",
        "cursor=cD1hYmM=",
        "cursor=cD0xJTAw",
        "severity=HUGE",
        "opne=true",
        "service=%00",
    ],
)
def test_a_wrong_parameter_is_refused_in_words(client: Client, query: str) -> None:
    answer = client.get(f"/api/v1/incidents/?{query}")
    assert answer.status_code in {400, 404, 422}, answer.content
    assert answer.json()["detail"]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("runs/?state=open", "state: This is not one of: pending, running, waiting, paused,"),
        ("incidents/?severity=HUGE", "severity: This is not one of: SEV1, SEV2, SEV3, SEV4."),
        ("runs/?cursor=zzz", "This cursor is not one of ours: follow next or previous"),
    ],
)
def test_what_would_be_right_is_said(client: Client, query: str, words: str) -> None:
    answer = client.get(f"/api/v1/{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert answer.json()["detail"].startswith(words)


def test_runs_and_approvals_of_an_incident(client: Client, project: Project) -> None:
    incident = factories.incident(project)
    run = factories.run(factories.runbook(project), incident=incident, outcome={"recovered": True})
    approval = factories.approval(run)
    runs = client.get(f"/api/v1/runs/?incident={incident.pk}").json()["results"]
    assert [(row["id"], row["state"], row["outcome"]) for row in runs] == [
        (str(run.pk), "running", {"recovered": True})
    ]
    pending = client.get(f"/api/v1/approvals/?state=pending&incident={incident.pk}").json()["results"]
    assert [(row["id"], row["prompt"]) for row in pending] == [(str(approval.pk), approval.prompt)]
    assert pending[0]["url"].endswith(f"/approvals/{approval.pk}/")


def test_a_filter_names_only_what_one_may_see(client: Client, other_project: Project) -> None:
    hidden = factories.incident(other_project)
    for identifier in (hidden.pk, uuid.uuid4()):
        for kind in ("runs", "approvals"):
            answer = client.get(f"/api/v1/{kind}/?incident={identifier}")
            assert answer.status_code == 422
            assert "no such incident" in answer.json()["detail"]


def test_a_postmortem_has_sections_and_a_page(client: Client, project: Project) -> None:
    incident = factories.incident(project)
    address = f"/api/v1/incidents/{incident.pk}/postmortem/"
    assert client.get(address).status_code == 404
    row = Postmortem.objects.create(incident=incident, generated_at=now())
    PostmortemSection.objects.create(
        postmortem=row,
        key="summary",
        position=1,
        title="Summary",
        generator_version="1",
        lines=[{"text": "a", "events": []}],
    )
    data = client.get(address).json()
    assert [section["key"] for section in data["sections"]] == ["summary"]
    assert data["url"].endswith(f"/incidents/{incident.pk}/postmortem/")


def test_without_a_token_one_is_told_how_to_get_one() -> None:
    answer = Client().get("/api/v1/incidents/")
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith("Bearer")
    assert "Authorization" in answer.json()["detail"]
