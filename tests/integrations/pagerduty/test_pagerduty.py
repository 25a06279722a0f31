"""pagerduty.*: the bodies that PagerDuty documents, one alert an incident, and no note twice."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
import trustme
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from handrail.accounts.models import Project
from handrail.catalog.models import Connection
from handrail.catalog.outgoing.transport import Dialer
from handrail.outbox.errors import Retry, Undeliverable
from handrail.outbox.models import OutboxMessage
from integrations.pagerduty import notices
from integrations.pagerduty.steps import Trigger
from runbooks.language.definition import Effect
from runbooks.steps import registry
from runbooks.steps.base import ActionContext, InvalidInputs, Outcome
from tests.integrations.conftest import SECRET, GiveSecret
from tests.integrations.faults import cut_off, silent
from tests.integrations.outcomes import failure, success
from tests.runbooks.steps.conftest import MakeContext

pytestmark = pytest.mark.django_db
KEY = "integration-key-of-32-characters"
INCIDENT = "Q1AB2C3D4E5F6G"
EVENT = {"connection": "oncall", "summary": "checkout is down"}


@pytest.fixture(scope="module")
def _tls() -> Iterator[tuple[HTTPServer, trustme.CA]]:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("events.pagerduty.com", "api.pagerduty.com").configure_cert(context)
    with HTTPServer(host="127.0.0.1", ssl_context=context) as server:
        yield server, authority


@pytest.fixture
def server(_tls: tuple[HTTPServer, trustme.CA], project: Project, give_secret: GiveSecret) -> HTTPServer:
    """Both of PagerDuty's hosts: their names lead here, and their certificate is theirs."""
    server, _ = _tls
    server.clear()
    give_secret(KEY)
    common: dict[str, Any] = {
        "project": project,
        "authentication": "key",
        "secret_reference": SECRET,
        "allowed_networks": ["127.0.0.0/8"],
        "timeout_seconds": 5,
    }
    Connection.objects.create(
        name="oncall",
        kind="pagerduty_events",
        base_url=f"https://events.pagerduty.com:{server.port}",
        **common,
    )
    Connection.objects.create(
        name="pagerduty",
        kind="pagerduty",
        base_url=f"https://api.pagerduty.com:{server.port}",
        options={"from": "ada@example.com"},
        **common,
    )
    return server


@pytest.fixture
def dialer(_tls: tuple[HTTPServer, trustme.CA]) -> Dialer:
    context = ssl.create_default_context()
    _tls[1].configure_trust(context)
    return Dialer(resolve=lambda host, port: ["127.0.0.1"], tls=lambda: context)


def run(context: ActionContext, dialer: Dialer | None, action: str, **inputs: Any) -> Outcome:
    return type(registry.get(f"pagerduty.{action}"))(dialer).run(inputs, context)


def accepted(request: Request) -> Response:
    body = json.loads(request.data)
    answer = {"status": "success", "message": "Event processed", "dedup_key": body["dedup_key"]}
    return Response(json.dumps(answer), 202, content_type="application/json")


def bodies(server: HTTPServer) -> list[dict[str, Any]]:
    return [json.loads(request.data) for request, _ in server.log if request.data]


def test_a_trigger_says_what_the_events_api_wants_and_hides_secrets(
    server: HTTPServer, dialer: Dialer, project: Project, make_context: MakeContext
) -> None:
    server.expect_request("/v2/enqueue", method="POST").respond_with_handler(accepted)
    context = make_context(project, secrets=("hunter2",))
    outcome = run(
        context,
        dialer,
        "trigger",
        connection="oncall",
        summary="down: hunter2 " + "x" * 2000,
        severity="error",
        component="db",
        details={"token": "hunter2", "count": 3},
    )
    [body] = bodies(server)
    assert (body["routing_key"], body["event_action"], body["client"]) == (KEY, "trigger", "Handrail")
    assert body["payload"]["summary"].startswith("down: [redacted] x")
    assert len(body["payload"]["summary"]) <= 1024 + len("[redacted]")
    assert body["payload"]["custom_details"] == {"token": "[redacted]", "count": 3}
    assert (body["payload"]["severity"], body["payload"]["source"]) == ("error", "handrail")
    assert success(outcome).outputs == {"dedup_key": body["dedup_key"]}


def test_all_steps_of_an_incident_mean_the_same_alert(
    server: HTTPServer, dialer: Dialer, project: Project, make_context: MakeContext
) -> None:
    server.expect_request("/v2/enqueue").respond_with_handler(accepted)
    of_incident, of_run = make_context(project, incident_id="i-1"), make_context(project)
    run(of_incident, dialer, "trigger", **EVENT)
    run(of_incident, dialer, "acknowledge", connection="oncall")
    run(of_run, dialer, "resolve", connection="oncall")
    run(of_run, dialer, "resolve", connection="oncall", dedup_key="mine")
    said = [(body["event_action"], body["dedup_key"]) for body in bodies(server)]
    assert said == [
        ("trigger", "handrail:incident:i-1"),
        ("acknowledge", "handrail:incident:i-1"),
        ("resolve", "handrail:run:run-1"),
        ("resolve", "mine"),
    ]
    assert "payload" not in bodies(server)[1]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (400, ("invalid_input", False, False)),
        (401, ("authentication_failed", False, False)),
        (403, ("permission_denied", False, False)),
        (404, ("not_found", False, False)),
        (409, ("conflict", False, False)),
        (429, ("rate_limited", True, False)),
        (500, ("server_error", True, False)),
        (502, ("server_error", True, True)),
    ],
)
def test_a_refusal_becomes_a_code_with_pagerdutys_words(
    server: HTTPServer,
    dialer: Dialer,
    context: ActionContext,
    code: int,
    expected: tuple[str, bool, bool],
) -> None:
    said = {"status": "invalid event", "message": "Event object is invalid", "errors": ["summary is blank"]}
    server.expect_request("/v2/enqueue").respond_with_json(said, status=code, headers={"Retry-After": "30"})
    outcome = failure(run(context, dialer, "trigger", **EVENT))
    assert (outcome.code, outcome.retryable, outcome.uncertain) == expected
    assert outcome.message == "PagerDuty says: Event object is invalid summary is blank"
    assert outcome.retry_after == (30.0 if outcome.retryable else None)
    server.expect_request(f"/incidents/{INCIDENT}/notes").respond_with_json(
        {"error": {"message": "No", "code": 1, "errors": ["x"]}}, status=code
    )
    noted = failure(run(context, dialer, "note", connection="pagerduty", incident=INCIDENT, note="x"))
    assert (noted.code, noted.message, noted.uncertain) == (expected[0], "PagerDuty says: No x", False)


def _nowhere(host: str, port: int) -> list[str]:
    raise OSError("no such name")


def test_faults_on_the_way_leave_doubt_only_after_sending(
    server: HTTPServer, dialer: Dialer, context: ActionContext
) -> None:
    lost = failure(run(context, Dialer(resolve=_nowhere), "trigger", **EVENT))
    assert (lost.code, lost.uncertain) == ("dns_failed", False)
    untrusted = Dialer(resolve=lambda host, port: ["127.0.0.1"])
    assert failure(run(context, untrusted, "trigger", **EVENT)).code == "connect_failed"
    for fault, code in ((cut_off, "connection_lost"), (silent, "timeout")):
        with fault() as address:
            Connection.objects.update(base_url=address, timeout_seconds=0.3)
            outcome = failure(run(context, dialer, "trigger", **EVENT))
        assert (outcome.code, outcome.retryable, outcome.uncertain) == (code, True, True)
    Connection.objects.update(kind="http")
    assert failure(run(context, dialer, "trigger", **EVENT)).code == "not_allowed"
    assert (
        failure(run(context, dialer, "note", connection="pagerduty", incident="Q1", note="x")).code
        == "not_allowed"
    )
    Connection.objects.all().delete()
    assert failure(run(context, dialer, "trigger", **EVENT)).code == "connection_not_found"


def test_a_note_is_left_once(server: HTTPServer, dialer: Dialer, context: ActionContext) -> None:
    notes: list[dict[str, str]] = []

    def answer(request: Request) -> Response:
        assert request.headers["Authorization"] == f"Token token={KEY}"
        assert request.headers["From"] == "ada@example.com"
        assert request.headers["Accept"] == "application/vnd.pagerduty+json;version=2"
        if request.method == "GET":
            return Response(json.dumps({"notes": notes}), content_type="application/json")
        notes.append({"id": f"N{len(notes)}", **json.loads(request.data)["note"]})
        return Response(json.dumps({"note": notes[-1]}), 201, content_type="application/json")

    server.expect_request(f"/incidents/{INCIDENT}/notes").respond_with_handler(answer)
    said = {"connection": "pagerduty", "incident": INCIDENT, "note": "Traffic is shifted."}
    assert success(run(context, dialer, "note", **said)).outputs == {"id": "N0", "added": True}
    assert success(run(context, dialer, "note", **said)).outputs == {"id": "N0", "added": False}
    assert [note["content"] for note in notes] == ["Traffic is shifted."]


def test_a_status_is_set_and_a_rotated_key_is_picked_up(
    server: HTTPServer, dialer: Dialer, context: ActionContext, give_secret: GiveSecret
) -> None:
    def answer(request: Request) -> Response:
        if request.headers["Authorization"] == f"Token token={KEY}":
            give_secret("another-key-of-pagerduty")
            return Response('{"error": {"message": "Unauthorized"}}', 401)
        status = json.loads(request.data)["incident"]["status"]
        return Response(json.dumps({"incident": {"status": status}}), content_type="application/json")

    server.expect_request(f"/incidents/{INCIDENT}", method="PUT").respond_with_handler(answer)
    inputs = {"connection": "pagerduty", "incident": INCIDENT, "status": "resolved"}
    assert success(run(context, dialer, "status", **inputs)).outputs == {"status": "resolved"}


def test_an_answer_that_is_not_pagerdutys_leaves_a_doubt(
    server: HTTPServer, dialer: Dialer, context: ActionContext
) -> None:
    server.expect_request("/v2/enqueue").respond_with_data("<html>")
    outcome = failure(run(context, dialer, "trigger", **EVENT))
    assert (outcome.code, outcome.uncertain) == ("bad_response", True)


@pytest.mark.parametrize(
    ("action", "inputs"),
    [
        ("trigger", {"summary": " "}),
        ("trigger", {"summary": "x", "severity": "bad"}),
        ("trigger", {"summary": "x", "dedup_key": "x" * 256}),
        ("trigger", {"summary": "x", "routing_key": "mine"}),
        ("note", {"incident": "../users", "note": "x"}),
        ("note", {"incident": "Q1", "note": ""}),
        ("status", {"incident": "Q1", "status": "triggered"}),
    ],
)
def test_inputs_that_do_not_fit_are_refused(action: str, inputs: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputs):
        registry.get(f"pagerduty.{action}").bind({"connection": "c", **inputs})


def test_previews_say_who_would_be_paged(context: ActionContext) -> None:
    assert Trigger().bind(EVENT).preview(context) == "Page through oncall (critical): checkout is down"
    resolve = registry.get("pagerduty.resolve").bind({"connection": "oncall"})
    assert resolve.preview(context) == "Resolve the alert handrail:run:run-1 through oncall"
    assert resolve.action.spec.effect is Effect.REVERSIBLE


class TestNotices:
    """Pages by Handrail itself, from the outbox."""

    def message(self, project: Project, summary: str, connection: str = "oncall") -> OutboxMessage:
        payload = {
            "connection": connection,
            "key": "handrail:step:7",
            "url": "https://x.example/7",
            "summary": summary,
        }
        return OutboxMessage(
            channel="pagerduty", kind="event", dedupe_key="k", payload=payload, project=project
        )

    def test_an_alert_is_triggered_and_resolved_under_one_key(
        self, server: HTTPServer, dialer: Dialer, project: Project
    ) -> None:
        seen: list[Any] = []

        def answer(request: Request) -> Response:
            seen.append(request.get_json())
            return Response(
                json.dumps({"status": "success", "dedup_key": "k"}), 202, mimetype="application/json"
            )

        server.expect_request("/v2/enqueue", method="POST").respond_with_handler(answer)
        notices.send(self.message(project, "It could not be undone."), dialer)
        notices.send(self.message(project, ""), dialer)
        assert seen == [
            {
                "routing_key": KEY, "event_action": "trigger", "dedup_key": "handrail:step:7", "client": "Handrail",
                "client_url": "https://x.example/7",
                "payload": {"summary": "It could not be undone.", "source": "handrail", "severity": "critical"},
            },
            {"routing_key": KEY, "event_action": "resolve", "dedup_key": "handrail:step:7"},
        ]  # fmt: skip

    def test_what_may_pass_is_tried_again_and_the_rest_is_given_up(
        self, server: HTTPServer, dialer: Dialer, project: Project
    ) -> None:
        server.expect_ordered_request("/v2/enqueue").respond_with_data("", status=503)
        server.expect_ordered_request("/v2/enqueue").respond_with_json({"message": "Invalid key"}, status=400)
        with pytest.raises(Retry):
            notices.send(self.message(project, "Look."), dialer)
        with pytest.raises(Undeliverable, match="Invalid key"):
            notices.send(self.message(project, "Look."), dialer)
        with pytest.raises(Undeliverable, match="no connection called"):
            notices.send(self.message(project, "Look.", "nowhere"), dialer)

    @pytest.mark.parametrize(("headers", "wait"), [({"Retry-After": "40"}, 40.0), ({}, 30.0)])
    def test_its_rate_limit_is_waited_for_and_never_makes_a_dead_letter(
        self, server: HTTPServer, dialer: Dialer, project: Project, headers: dict[str, str], wait: float
    ) -> None:
        server.expect_request("/v2/enqueue").respond_with_data("", status=429, headers=headers)
        with pytest.raises(Retry) as limited:
            notices.send(self.message(project, "Look."), dialer)
        assert (limited.value.after_seconds, limited.value.counts) == (wait, False)

    def test_what_pagerduty_asks_to_wait_in_an_outage_is_waited(
        self, server: HTTPServer, dialer: Dialer, project: Project
    ) -> None:
        server.expect_request("/v2/enqueue").respond_with_data("", status=503, headers={"Retry-After": "7"})
        with pytest.raises(Retry) as refused:
            notices.send(self.message(project, "Look."), dialer)
        assert (refused.value.after_seconds, refused.value.counts) == (7.0, True)

    def test_a_key_that_pagerduty_repeats_is_kept_nowhere(
        self, server: HTTPServer, dialer: Dialer, project: Project
    ) -> None:
        said = {"message": f"There is no integration {KEY}"}
        server.expect_request("/v2/enqueue").respond_with_json(said, status=400)
        with pytest.raises(Undeliverable) as refused:
            notices.send(self.message(project, "Look."), dialer)
        assert "There is no integration" in refused.value.reason
        assert KEY not in refused.value.reason
