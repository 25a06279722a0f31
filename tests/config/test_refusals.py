"""What Django itself refuses is a problem document for programs and a page for people, and no alarm in the log."""

from __future__ import annotations

import asyncio
import io
import logging
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.test.utils import override_settings

from handrail.accounts.actions import make_sign_in_link
from handrail.accounts.actors import CONSOLE
from handrail.accounts.models import Project
from handrail.alerts import api as alerts
from handrail.config.handler import Handler
from handrail.config.telemetry import configure_logs
from tests import factories

HOOK = "/hooks/v1/alertmanager/key"
SLACK = "/integrations/slack/interactivity"
LIST = "/api/v1/incidents/"
BELOW = (LIST, HOOK, SLACK)
MULTIPART = "multipart/form-data; boundary=x"
MANY = "&".join(f"a{n}=1" for n in range(3_000))


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


@pytest.fixture
def log() -> Any:
    """What the process would write to standard error, with its own configuration."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure_logs(log_format="json", level="INFO")
    stream = io.StringIO()
    ours = root.handlers[0]
    assert isinstance(ours, logging.StreamHandler)
    ours.setStream(stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


def problem(answer: Any) -> tuple[int, str]:
    assert answer["Content-Type"] == "application/problem+json"
    assert int(answer.get("Content-Length", len(answer.content))) == len(answer.content)
    document = answer.json()
    assert document["status"] == answer.status_code
    assert document["detail"]
    return answer.status_code, document["code"]


@pytest.mark.django_db
@pytest.mark.parametrize("path", BELOW)
def test_another_host_is_refused_in_words(client: Client, log: io.StringIO, path: str) -> None:
    answer = client.post(path, headers={"host": "evil.example"})
    assert problem(answer) == (400, "unreadable")
    assert "HANDRAIL_ALLOWED_HOSTS" in answer.json()["detail"]
    assert "evil.example" in log.getvalue()
    assert "Traceback" not in log.getvalue()
    assert '"error"' not in log.getvalue()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", SLACK, 405, "method_not_allowed"),
        ("GET", HOOK, 405, "method_not_allowed"),
        ("POST", "/api/schema/runbook.json", 405, "method_not_allowed"),
        ("GET", "/integrations/nothing", 404, "not_found"),
        ("GET", "/api/nothing", 404, "not_found"),
        ("GET", "/hooks/nothing", 404, "not_found"),
        ("GET", f"{LIST}?{MANY}", 400, "unreadable"),
        ("GET", f"{LIST}%00/", 404, "not_found"),
        ("GET", f"{LIST}?project=%00", 401, "not_authenticated"),
        ("POST", SLACK, 401, "not_signed"),
    ],
)
def test_each_refusal_below_these_is_a_problem(
    client: Client, log: io.StringIO, method: str, path: str, status: int, code: str
) -> None:
    answer = Client(raise_request_exception=False, enforce_csrf_checks=True).generic(method, path)
    assert problem(answer) == (status, code)
    if status == 405:
        assert answer["Allow"]
    assert "Traceback" not in log.getvalue()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (MANY.encode(), "application/x-www-form-urlencoded"),
        (b"x" * 3_000_000, "application/x-www-form-urlencoded"),
        (b"--x\r\nContent-Disposition: form-data; name=", MULTIPART),
        (b"", "multipart/form-data"),
        (b'--x\r\nContent-Disposition: form-data; name="\0"\r\n\r\n\0\r\n--x--\r\n', MULTIPART),
        (b"username=a%00b&password=%00", "application/x-www-form-urlencoded"),
    ],
    ids=["fields", "large", "broken off", "no boundary", "NULs", "NUL in a field"],
)
@pytest.mark.parametrize("path", ["/sign-in/", *BELOW])
def test_no_body_of_a_stranger_is_a_fault(
    client: Client, log: io.StringIO, path: str, body: bytes, kind: str
) -> None:
    answer = client.post(path, body, content_type=kind)
    assert 400 <= answer.status_code < 500
    if path in BELOW:
        problem(answer)
    assert "Traceback" not in log.getvalue()
    assert '"error"' not in log.getvalue()


@pytest.mark.django_db
def test_a_fault_of_ours_is_told_with_the_request_and_without_internals(
    client: Client, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("the secret inside")

    monkeypatch.setattr(alerts.Alerts, "perform_authentication", broken)
    with override_settings(DEBUG=True):
        answer = client.get("/api/v1/alerts/", headers={"X-Request-ID": "mine-7"})
    assert problem(answer) == (500, "internal_error")
    assert answer.json()["request_id"] == answer["X-Request-ID"] == "mine-7"
    assert "secret" not in answer.content.decode()
    assert "the secret inside" in log.getvalue(), "it is in the log, for us"
    assert '"mine-7"' in log.getvalue()


@pytest.mark.django_db
def test_people_get_a_page(client: Client) -> None:
    for answer in (client.get("/nothing/"), client.get("/", headers={"host": "evil.example"})):
        assert answer["Content-Type"].startswith("text/html")
        assert "Go to Now" in answer.content.decode()


def test_a_query_that_is_not_even_text_is_refused_alike() -> None:
    async def asked() -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b""}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": LIST, "query_string": b"\xff", "headers": []}
        await Handler()(scope, receive, send)
        return sent

    start, body = asyncio.run(asked())
    assert start["status"] == 400
    assert (b"Content-Type", b"application/problem+json") in start["headers"]
    assert b"unreadable" in body["body"]


@pytest.mark.django_db
def test_an_address_that_is_a_secret_is_not_in_the_log(
    client: Client, log: io.StringIO, project: Project
) -> None:
    key = "k" * 43
    factories.source(project, key)
    link = make_sign_in_link(factories.person(), actor=CONSOLE).url.removeprefix(settings.BASE_URL)
    assert client.post(f"/hooks/v1/alertmanager/{key}", b"junk", "application/json").status_code == 400
    assert client.post(link, {"password": "short", "again": "short"}).status_code == 422
    assert "Bad Request: /hooks/v1/alertmanager/[redacted]" in log.getvalue()
    assert "Unprocessable Entity: /link/[redacted]/" in log.getvalue()
    assert key not in log.getvalue()
    assert link.split("/")[2] not in log.getvalue()
