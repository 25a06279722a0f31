"""What holds for every endpoint: strict JSON, problems in words, limits, constant queries, a complete description."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client, override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handrail.accounts.models import Project
from tests.api.sending import send
from tests.authz import api

pytestmark = pytest.mark.django_db

POSTS = {
    "projects/": "api_projects",
    "teams/": "api_teams",
    "roles/": "api_roles",
    "service-accounts/": "api_service_accounts",
    "tokens/": "api_tokens",
    "services/": "api_services",
    "environments/": "api_environments",
    "connections/": "api_connections",
    "sources/": "api_sources",
    "incidents/": "api_incidents",
    "runbooks/": "api_runbooks",
    "runbooks/validate/": "api_runbook_validate",
}
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_body_is_a_server_error(admin: Client, project: Project, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(POSTS)))
    good = {**api.BODIES[(POSTS[path], "POST")]}
    if "project" in good:
        good["project"] = project.slug
    body: Any = good
    for name in data.draw(st.lists(st.sampled_from(sorted(good)), max_size=2)):
        body[name] = data.draw(ANY)
    if data.draw(st.booleans()):
        body = data.draw(ANY)
    answer = send(admin, "POST", path, body)
    assert answer.status_code < 500, (path, body)
    if answer.status_code >= 400:
        assert answer["Content-Type"] == "application/problem+json"
        assert answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("{", 400),
        ('{"title": NaN}', 400),
        ('{"title": 1e999}', 400),
        ('{"title": "a", "title": "b"}', 400),
        ("[" * 100_000, 400),
        ('{"title": "\\u0000"}', 400),
        ('{"title": "\\ud800"}', 400),
        ('"text"', 422),
        ("[]", 422),
        ('{"titel": "x"}', 422),
        (json.dumps({"title": "x" * (1024 * 1024)}), 413),
    ],
)
def test_a_wrong_body_is_refused_in_words(admin: Client, body: str, status: int) -> None:
    answer = send(admin, "POST", "incidents/", body)
    assert answer.status_code == status, answer.content
    assert answer.json()["status"] == status
    assert len(answer.json()["detail"]) > 10


@pytest.mark.parametrize("title", [1, True, None, ["x"], {"x": 1}])
def test_a_text_is_a_text(admin: Client, project: Project, title: object) -> None:
    answer = send(admin, "POST", "incidents/", {"project": project.slug, "title": title})
    assert answer.status_code == 422
    assert answer.json()["problems"][0]["name"] == "title"


def test_other_types_and_methods_are_refused(admin: Client) -> None:
    form = admin.post("/api/v1/incidents/", {"title": "x"})
    assert (form.status_code, form.json()["code"]) == (415, "unsupported_media_type")
    put = send(admin, "PUT", "incidents/")
    assert (put.status_code, put.json()["code"]) == (405, "method_not_allowed")
    html = admin.get("/api/v1/incidents/", headers={"Accept": "text/html"})
    assert (html.status_code, html.json()["code"]) == (406, "not_acceptable")


def test_an_unknown_address_is_a_problem_too(admin: Client) -> None:
    answer = admin.get("/api/v1/incidents")
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")
    assert "slash" in answer.json()["detail"]


@override_settings(API_RATE="2/min")
def test_the_limit_is_told_and_kept(admin: Client) -> None:
    first = admin.get("/api/v1/projects/")
    assert first["RateLimit-Policy"] == '"default";q=2;w=60'
    assert first["RateLimit"].startswith('"default";r=1;')
    assert admin.get("/api/v1/projects/").status_code == 200
    refused = admin.get("/api/v1/projects/")
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many")
    assert int(refused["Retry-After"]) > 0


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    """The OpenAPI description; a warning or a flaw in it fails."""
    out = io.StringIO()
    call_command("spectacular", "--fail-on-warn", "--validate", "--format", "openapi-json", stdout=out)
    found: dict[str, Any] = json.loads(out.getvalue())
    return found


def test_every_list_is_described_as_the_page_that_it_answers(
    description: dict[str, Any], admin: Client
) -> None:
    answer = admin.get("/api/v1/projects/").json()
    lists = [
        operations["get"]
        for operations in description["paths"].values()
        if any(one["name"] == "cursor" for one in operations.get("get", {}).get("parameters", []))
    ]
    assert len(lists) > 20
    for operation in lists:
        told = operation["responses"]["200"]["content"]["application/json"]["schema"]
        assert set(told["properties"]) == set(answer), operation["operationId"]
        assert told["properties"]["results"]["type"] == "array"


def test_the_description_is_complete(description: dict[str, Any]) -> None:
    assert description["openapi"].startswith("3.1")
    names = []
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            names.append(operation["operationId"])
            assert operation["description"], (path, method)
            answers = set(operation["responses"])
            assert {"401", "403", "422", "429"} <= answers
            assert ("404" in answers) == ("{" in path)
            if method != "get":
                assert {"400", "409", "413", "415"} <= answers
    assert len(names) == len(set(names))
    assert len(names) > 70


def test_the_description_and_the_language_are_open_to_editors(client: Client) -> None:
    assert Client().get("/api/schema/").status_code == 200
    schema = Client().get("/api/schema/runbook.json").json()
    assert schema["$schema"]
    assert Client().get("/api/docs/").status_code == 200
    assert Client().get("/api/docs/?script=").status_code == 200
