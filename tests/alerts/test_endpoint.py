"""The hook's address under friendly and hostile fire: never a 5xx, never a change by who is not believed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django import Settings

from handrail.accounts.models import Project
from handrail.alerts.bodies import MAX_BODY_BYTES
from handrail.alerts.models import Alert, Delivery, Source
from handrail.audit.models import AuditEntry
from handrail.config.body_limits import LimitBodies
from handrail.incidents.models import Incident
from tests import factories
from tests.alerts.bodies import group

KEY = "a-key-that-nobody-guesses-0123456789"
URL = f"/hooks/v1/alertmanager/{KEY}"


@pytest.fixture
def source(project: Project) -> Source:
    return factories.source(project, KEY)


def post(
    client: Client, body: bytes, url: str = URL, content_type: str = "application/json", **headers: str
) -> Any:
    return client.post(url, body, content_type=content_type, headers=headers)


def nothing_changed() -> bool:
    return not any(model.objects.exists() for model in (Delivery, Alert, Incident, AuditEntry))


HOSTILE = {
    "empty": b"",
    "blank": b"   \n",
    "not json": b"<xml/>",
    "cut off": group()[:-20],
    "a number": b"7",
    "null": b"null",
    "an array": b"[]",
    "no alerts": b'{"version": "4", "status": "firing"}',
    "empty alerts": b'{"version": "4", "status": "firing", "alerts": []}',
    "alerts of another kind": b'{"status": "firing", "alerts": [1, "two", null]}',
    "deep": b"[" * 100_000,
    "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "huge number": b'{"alerts": ' + b"9" * 5_000 + b"}",
    "nan": b'{"alerts": NaN}',
    "the same key twice": b'{"alerts": [], "alerts": []}',
    "latin-1": '{"alerts": "é"}'.encode("latin-1"),
    "utf-16 with half a pair": b"\xff\xfe\x00\xd8{\x00}\x00",
    "nul bytes": b"\x00" * 100,
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_body_that_is_not_the_sources_is_refused_in_words(
    client: Client, source: Source, name: str
) -> None:
    response = post(client, HOSTILE[name])
    assert 400 <= response.status_code < 500
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["detail"]
    assert nothing_changed()


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json; charset=utf-7",
        "application/json; charset=\x01",
        "text/plain",
        "a" * 3_000,
        "multipart/form-data",
    ],
)
def test_no_content_type_upsets_it(client: Client, source: Source, content_type: str) -> None:
    assert post(client, b"{", content_type=content_type).status_code < 500
    assert nothing_changed()


WORDS = st.sampled_from(["alerts", "status", "labels", "startsAt", "fingerprint", "annotations", "x"])
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=300) | DOCUMENTS.map(lambda document: json.dumps(document).encode()))
def test_no_bytes_make_it_fail(client: Client, source: Source, body: bytes) -> None:
    assert post(client, body).status_code in (202, 400, 422)


@pytest.mark.parametrize("kind", ["alertmanager", "generic"])
@pytest.mark.parametrize(
    "value", ["\x00", "\ud800", "x" * 15_000, "'; drop table alerts_alert; --", "{{ 7*7 }}", "<script>"]
)
def test_hostile_text_in_every_field_is_kept_as_text(
    client: Client, project: Project, kind: str, value: str
) -> None:
    factories.source(project, "hostile", kind=kind)
    one = {
        "status": "firing",
        "labels": {"alertname": value, value[:100]: value, "service": value, "region": value},
        "annotations": {"summary": value},
        "startsAt": value,
        "endsAt": value,
        "generatorURL": f"javascript:{value}",
        "fingerprint": value,
        "title": value,
    }
    body = json.dumps(
        {"status": "firing", "receiver": value, "alerts": [one]} if kind == "alertmanager" else one
    )
    response = post(client, body.encode(), url=f"/hooks/v1/{kind}/hostile")
    assert response.status_code in (202, 400, 422)
    if response.status_code == 202:
        assert response.json()["verdict"] == "processed"


def test_a_body_over_the_limit_is_refused_by_its_length_and_by_its_bytes(
    client: Client, source: Source
) -> None:
    response = post(client, b"[" + b" " * MAX_BODY_BYTES + b"]")
    assert response.status_code == 413
    assert "1,048,576" in response.json()["detail"]
    assert nothing_changed()


def test_a_compressed_body_is_refused(client: Client, source: Source) -> None:
    response = post(client, group(), **{"Content-Encoding": "gzip"})
    assert response.status_code == 400
    assert "Content-Encoding" in response.json()["detail"]


@pytest.mark.parametrize("method", ["get", "put", "delete", "patch", "head", "options"])
def test_only_post_is_taken(client: Client, source: Source, method: str) -> None:
    response = getattr(client, method)(URL)
    assert response.status_code == 405
    assert response["Allow"] == "POST"


@pytest.mark.parametrize(
    "url",
    [
        "/hooks/v1/alertmanager/some-other-key",
        f"/hooks/v1/generic/{KEY}",
        f"/hooks/v1/nagios/{KEY}",
        "/hooks/v1/alertmanager/%00",
        "/hooks/v1/%00/x",
        "/hooks/v1/alertmanager/" + "k" * 5_000,
        "/hooks/v1/alertmanager/../../etc/passwd",
        "/hooks/v2/alertmanager/x",
        "/hooks/",
    ],
)
def test_an_unknown_address_is_a_clear_404(client: Client, source: Source, url: str) -> None:
    response = post(client, group(), url=url)
    assert response.status_code == 404
    assert response["Content-Type"] == "application/problem+json"
    assert nothing_changed()


def test_a_disabled_source_is_gone(client: Client, source: Source) -> None:
    Source.objects.update(enabled=False)
    assert post(client, group()).status_code == 410
    assert nothing_changed()


def test_a_source_with_a_secret_believes_nobody_else(
    client: Client, source: Source, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.VAULT_GRANTS = ["shop=env:HANDRAIL_SECRET_HOOK"]
    monkeypatch.setenv("HANDRAIL_SECRET_HOOK", "the-bearer-token")
    Source.objects.update(secret_reference="env:HANDRAIL_SECRET_HOOK")
    for authorization in (
        "",
        "Bearer wrong",
        "Bearer the-bearer-tokenX",
        "Basic dGhlLWJlYXJlci10b2tlbg==",
        "Bearer \udcff",
    ):
        headers = {"Authorization": authorization} if authorization else {}
        response = post(client, group(), **headers)
        assert response.status_code == 401
        assert response["WWW-Authenticate"] == "Bearer"
    assert nothing_changed()
    assert post(client, group(), Authorization="Bearer the-bearer-token").status_code == 202
    assert Delivery.objects.get().trust == "token"


def test_a_secret_that_cannot_be_read_asks_the_sender_to_come_again(client: Client, source: Source) -> None:
    Source.objects.update(secret_reference="env:HANDRAIL_SECRET_NOT_SET_ANYWHERE")
    response = post(client, group())
    assert response.status_code == 503
    assert response["Retry-After"]
    assert "HANDRAIL_SECRET" not in response.content.decode()
    assert nothing_changed()


def test_what_a_proven_sender_says_is_a_dead_letter_when_it_is_not_understood(
    client: Client, source: Source, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.VAULT_GRANTS = ["shop=env:HANDRAIL_SECRET_HOOK"]
    monkeypatch.setenv("HANDRAIL_SECRET_HOOK", "the-bearer-token")
    Source.objects.update(secret_reference="env:HANDRAIL_SECRET_HOOK")
    for _ in range(3):
        response = post(client, b'{"hello": 1}', Authorization="Bearer the-bearer-token")
        assert response.status_code == 202
        assert response.json()["verdict"] == "dead"
    dead = Delivery.objects.get()
    assert (dead.verdict, dead.seen_count) == ("dead", 3)
    assert "not a body of" in dead.error
    assert bytes(dead.body) == b'{"hello": 1}'


@pytest.mark.parametrize("name", ["\\u0000", "\\ud800"])
def test_a_dead_letter_may_name_what_no_database_keeps(
    client: Client, source: Source, settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    settings.VAULT_GRANTS = ["shop=env:HANDRAIL_SECRET_HOOK"]
    Source.objects.update(secret_reference="env:HANDRAIL_SECRET_HOOK")
    monkeypatch.setenv("HANDRAIL_SECRET_HOOK", "s3cret")
    body = f'{{"status": "firing", "alerts": [{{"labels": {{"{name}": {{}}}}}}]}}'.encode()
    response = post(client, body, Authorization="Bearer s3cret")
    assert response.status_code == 202
    dead = Delivery.objects.get()
    assert (dead.verdict, dead.error[:45]) == ("dead", "not a body of alertmanager: $.alerts[0].label")
    assert "\N{REPLACEMENT CHARACTER}" in dead.error


def test_it_reads_no_session_and_no_user(
    client: Client, source: Source, django_assert_max_num_queries: Any
) -> None:
    post(client, group())
    client.cookies["sessionid"] = "0123456789abcdefghijklmnopqrstuv"
    client.cookies["csrftoken"] = "x" * 32
    with django_assert_max_num_queries(8):
        response = post(client, group())
    assert response.status_code == 202
    assert not response.cookies


def asgi(body_parts: list[bytes], headers: list[tuple[bytes, bytes]], path: str = URL) -> dict[str, Any]:
    """What the ASGI limit answers; the application behind it reads everything that it is given."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            more = (await receive()).get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"read"})

    async def talk() -> dict[str, Any]:
        scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
        talker = ApplicationCommunicator(LimitBodies(application), scope)
        for part in body_parts:
            await talker.send_input({"type": "http.request", "body": part, "more_body": True})
        await talker.send_input({"type": "http.request", "body": b"", "more_body": False})
        answer: dict[str, Any] = await talker.receive_output(timeout=5)
        await talker.receive_output(timeout=5)
        await talker.wait(timeout=5)
        return answer

    return asyncio.run(talk())


def test_a_stream_is_cut_as_soon_as_it_is_too_long() -> None:
    part = b"x" * 600_000
    assert asgi([part], [])["status"] == 200
    assert asgi([part, part, part], [])["status"] == 413
    assert asgi([], [(b"content-length", b"99999999")])["status"] == 413
    assert asgi([part, part, part], [], path="/api/v1/runbooks")["status"] == 200
