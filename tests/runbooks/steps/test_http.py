"""http.request reaches what the connection allows, says what came of it, and leaves doubt only where there is."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trustme
from pytest_django import Settings
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from handrail.accounts.models import Project
from handrail.catalog.models import Connection
from handrail.catalog.outgoing.transport import Dialer
from runbooks.language.definition import Effect
from runbooks.steps.base import ActionContext, Failure, Success
from runbooks.steps.http import HttpRequest

pytestmark = pytest.mark.django_db
LOOPBACK = ["127.0.0.0/8"]


@pytest.fixture
def traffic(project: Project, httpserver: HTTPServer) -> Connection:
    return Connection.objects.create(
        project=project,
        name="traffic",
        base_url=httpserver.url_for("/api"),
        allowed_methods=["GET", "HEAD", "PUT", "POST"],
        allowed_networks=LOOPBACK,
        timeout_seconds=5,
    )


@pytest.fixture
def context(project: Project, make_context: Callable[..., ActionContext]) -> ActionContext:
    return make_context(project)


def request(context: ActionContext, dialer: Dialer | None = None, **inputs: Any) -> Success | Failure:
    return HttpRequest(dialer).bind({"connection": "traffic", **inputs}).execute(context)


def failure(outcome: Success | Failure) -> Failure:
    assert isinstance(outcome, Failure), outcome
    return outcome


def success(outcome: Success | Failure) -> Success:
    assert isinstance(outcome, Success), outcome
    return outcome


def test_a_write_sends_json_and_the_key_that_is_the_same_in_every_attempt(
    traffic: Connection, context: ActionContext, httpserver: HTTPServer
) -> None:
    httpserver.expect_request(
        "/api/weights/checkout",
        method="PUT",
        json={"weight": 0},
        headers={"Idempotency-Key": "run-1:shift:", "Content-Type": "application/json"},
    ).respond_with_json({"previous": 100})
    outcome = request(context, method="PUT", path="/weights/checkout", json={"weight": 0})
    assert success(outcome).outputs["json"] == {"previous": 100}
    assert success(outcome).outputs["status"] == 200


def test_query_parameters_are_encoded(
    traffic: Connection, context: ActionContext, httpserver: HTTPServer
) -> None:
    seen: list[str] = []
    httpserver.expect_request("/api/deploys").respond_with_handler(
        lambda got: seen.append(got.query_string.decode()) or Response("[]")
    )
    success(
        request(context, path="/deploys?a=1", query={"service": "x&y=z #", "tag": ["p", "q"], "on": True})
    )
    assert seen == ["a=1&service=x%26y%3Dz%20%23&tag=p&tag=q&on=true"]


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (400, "invalid_input", False),
        (401, "authentication_failed", False),
        (403, "permission_denied", False),
        (404, "not_found", False),
        (409, "conflict", False),
        (422, "invalid_input", False),
        (429, "rate_limited", True),
        (418, "rejected", False),
        (500, "server_error", True),
        (503, "server_error", True),
    ],
)
def test_a_status_becomes_a_code(
    traffic: Connection,
    context: ActionContext,
    httpserver: HTTPServer,
    status: int,
    code: str,
    retryable: bool,
) -> None:
    httpserver.expect_request("/api/x").respond_with_data(
        "no such\nservice", status=status, headers={"Retry-After": "7"}
    )
    outcome = failure(request(context, path="/x"))
    assert (outcome.code, outcome.retryable, outcome.uncertain) == (code, retryable, False)
    assert outcome.retry_after == (7.0 if retryable else None)
    assert "no such service" in outcome.message


def test_a_gateway_that_got_no_answer_leaves_a_write_in_doubt(
    traffic: Connection, context: ActionContext, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/api/x").respond_with_data("", status=504)
    assert failure(request(context, path="/x", method="POST")).uncertain
    assert not failure(request(context, path="/x")).uncertain


def test_headers_that_make_no_sense_do_not_hide_the_answer(
    traffic: Connection, context: ActionContext, httpserver: HTTPServer
) -> None:
    never = {"Retry-After": "Wed, 21 Oct 99999999999999999999 07:28:00 GMT"}
    for charset in ("punycode", "undefined", "nonsense"):
        media = f"text/plain; charset={charset}"
        reply = Response(b"busy \xff", 503, never, content_type=media)
        httpserver.expect_oneshot_request("/api/x").respond_with_response(reply)
        outcome = failure(request(context, path="/x", method="POST"))
        assert (outcome.code, outcome.retry_after, outcome.uncertain) == ("server_error", None, False)
        assert "busy" in outcome.message


def test_another_status_may_be_the_expected_one(
    traffic: Connection, context: ActionContext, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/api/x").respond_with_data("", status=404)
    assert success(request(context, path="/x", expect_status=[404, 410])).outputs["status"] == 404


def test_a_connection_without_own_networks_does_not_reach_this_machine(
    traffic: Connection, context: ActionContext, httpserver: HTTPServer
) -> None:
    Connection.objects.update(allowed_networks=[])
    outcome = failure(request(context, path="/x"))
    assert outcome.code == "address_refused"
    assert "loopback" in outcome.message
    assert httpserver.log == []


def test_one_refused_address_among_several_refuses_the_name(
    traffic: Connection, context: ActionContext, httpserver: HTTPServer
) -> None:
    Connection.objects.update(base_url=f"http://traffic.example:{httpserver.port}")
    outcome = failure(
        request(context, Dialer(lambda host, port: ["127.0.0.1", "169.254.169.254"]), path="/x")
    )
    assert outcome.code == "address_refused"
    assert "metadata" in outcome.message
    assert httpserver.log == []


def test_a_name_that_changes_its_mind_is_asked_once_and_keeps_its_host(
    traffic: Connection, context: ActionContext, httpserver: HTTPServer
) -> None:
    asked: list[str] = []
    answers = iter([["127.0.0.1"], ["169.254.169.254"]])

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return next(answers)

    Connection.objects.update(base_url=f"http://traffic.example:{httpserver.port}")
    httpserver.expect_request("/x", headers={"Host": f"traffic.example:{httpserver.port}"}).respond_with_data(
        "ok"
    )
    assert success(request(context, Dialer(rebinding), path="/x")).outputs["text"] == "ok"
    assert asked == ["traffic.example"]


def test_a_name_that_does_not_resolve_is_refused_and_worth_a_retry(
    traffic: Connection, context: ActionContext
) -> None:
    def nobody(host: str, port: int) -> list[str]:
        raise socket.gaierror("no such name")

    outcome = failure(request(context, Dialer(nobody), path="/x"))
    assert (outcome.code, outcome.retryable, outcome.uncertain) == ("dns_failed", True, False)


@contextmanager
def refusing_port() -> Iterator[int]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def test_nobody_at_the_port_is_no_doubt(traffic: Connection, context: ActionContext) -> None:
    with refusing_port() as port:
        Connection.objects.update(base_url=f"http://127.0.0.1:{port}")
        outcome = failure(request(context, path="/x", method="POST"))
    assert (outcome.code, outcome.retryable, outcome.uncertain) == ("connect_failed", True, False)


@contextmanager
def speaking(speak: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that takes one request and then does what ``speak`` does."""

    def serve() -> None:
        accepted, _ = listener.accept()
        with accepted:
            accepted.recv(65536)
            speak(accepted)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


@pytest.mark.parametrize(("method", "uncertain"), [("GET", False), ("POST", True)])
def test_a_lost_answer_leaves_a_write_in_doubt_and_a_read_not(
    traffic: Connection, context: ActionContext, method: str, uncertain: bool
) -> None:
    with speaking(lambda accepted: None) as port:
        Connection.objects.update(base_url=f"http://127.0.0.1:{port}")
        outcome = failure(request(context, path="/x", method=method))
    assert (outcome.code, outcome.uncertain) == ("connection_lost", uncertain)


def test_an_answer_that_drips_does_not_outlive_the_deadline(
    traffic: Connection, context: ActionContext
) -> None:
    done = threading.Event()

    def drip(accepted: socket.socket) -> None:
        accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not done.wait(0.05):
            accepted.sendall(b"x")

    with speaking(drip) as port:
        Connection.objects.update(base_url=f"http://127.0.0.1:{port}", timeout_seconds=0.5)
        began = time.monotonic()
        outcome = failure(request(context, path="/x", method="PUT"))
        took = time.monotonic() - began
        done.set()
    assert (outcome.code, outcome.retryable, outcome.uncertain) == ("timeout", True, True)
    assert took < 3


def test_a_redirect_to_another_place_is_refused(
    traffic: Connection, context: ActionContext, httpserver: HTTPServer
) -> None:
    for location in ("http://169.254.169.254/latest/", "//elsewhere.example/x", httpserver.url_for("/admin")):
        httpserver.clear()
        httpserver.expect_request("/api/x").respond_with_data("", status=302, headers={"Location": location})
        assert failure(request(context, path="/x")).code == "redirect_refused"
        assert len(httpserver.log) == 1


def test_a_redirect_below_the_base_address_is_followed_and_checked_like_the_first(
    traffic: Connection, context: ActionContext, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/api/x").respond_with_data("", status=302, headers={"Location": "/api/y?z=1"})
    httpserver.expect_request("/api/y", query_string="z=1").respond_with_data("here")
    assert success(request(context, path="/x")).outputs["text"] == "here"
    Connection.objects.update(allowed_paths=["/x"])
    assert failure(request(context, path="/x")).code == "not_allowed"


def test_a_write_is_not_redirected(
    traffic: Connection, context: ActionContext, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/api/x").respond_with_data("", status=307, headers={"Location": "/api/y"})
    assert failure(request(context, path="/x", method="POST")).code == "redirect_refused"


def test_methods_and_paths_outside_of_the_lists_are_refused_before_anything_is_sent(
    traffic: Connection, context: ActionContext, httpserver: HTTPServer
) -> None:
    Connection.objects.update(allowed_paths=["/weights"])
    assert failure(request(context, path="/weights/x", method="DELETE")).code == "not_allowed"
    assert failure(request(context, path="/weights-of-others")).code == "not_allowed"
    assert failure(request(context, path="/")).code == "not_allowed"
    assert httpserver.log == []


def test_a_connection_that_does_not_exist_is_named(traffic: Connection, context: ActionContext) -> None:
    outcome = failure(HttpRequest().bind({"connection": "trafic"}).execute(context))
    assert outcome.code == "connection_not_found"
    assert "There are: traffic." in outcome.message


def test_another_projects_connection_does_not_exist(
    traffic: Connection, other_project: Project, make_context: Callable[..., ActionContext]
) -> None:
    assert failure(request(make_context(other_project))).code == "connection_not_found"


def test_the_secret_is_sent_and_hidden_wherever_it_comes_back(
    traffic: Connection,
    context: ActionContext,
    httpserver: HTTPServer,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.VAULT_GRANTS = [f"{context.project.slug}=env:HANDRAIL_SECRET_TRAFFIC"]
    monkeypatch.setenv("HANDRAIL_SECRET_TRAFFIC", "s3cr3t-token")
    Connection.objects.update(authentication="bearer", secret_reference="env:HANDRAIL_SECRET_TRAFFIC")
    httpserver.expect_request("/api/x").respond_with_handler(
        lambda got: Response(f"you said {got.headers['Authorization']}", status=500)
    )
    outcome = failure(request(context, path="/x"))
    assert "Bearer [redacted]" in outcome.message
    assert "s3cr3t" not in repr(outcome)


def test_a_rotated_secret_is_fetched_again_once_after_a_refusal(
    traffic: Connection,
    context: ActionContext,
    httpserver: HTTPServer,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.VAULT_GRANTS = [f"{context.project.slug}=env:HANDRAIL_SECRET_TRAFFIC"]
    monkeypatch.setenv("HANDRAIL_SECRET_TRAFFIC", "old-token")
    Connection.objects.update(authentication="bearer", secret_reference="env:HANDRAIL_SECRET_TRAFFIC")
    seen: list[str] = []

    def answer(got: Request) -> Response:
        seen.append(got.headers["Authorization"])
        monkeypatch.setenv("HANDRAIL_SECRET_TRAFFIC", "new-token")
        return Response(status=200 if seen[-1] == "Bearer new-token" else 401)

    httpserver.expect_request("/api/x").respond_with_handler(answer)
    success(request(context, path="/x"))
    assert seen == ["Bearer old-token", "Bearer new-token"]


def test_an_unchanged_secret_is_not_tried_twice(
    traffic: Connection, context: ActionContext, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/api/x").respond_with_data("", status=401)
    assert failure(request(context, path="/x")).code == "authentication_failed"
    assert len(httpserver.log) == 1


def test_a_missing_secret_has_its_own_code(traffic: Connection, context: ActionContext) -> None:
    Connection.objects.update(authentication="bearer", secret_reference="local:nothing")
    outcome = failure(request(context, path="/x"))
    assert outcome.code == "secret_not_found"


def test_an_answer_larger_than_what_is_read_is_refused_without_reading_it_all(
    traffic: Connection, context: ActionContext, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/api/x").respond_with_handler(
        lambda got: Response(b"x" * 65536 for _ in range(200))
    )
    assert failure(request(context, path="/x")).code == "response_too_large"
    outcome = success(request(context, path="/x", method="POST"))
    assert outcome.outputs["truncated"] is True


def test_proxy_variables_are_ignored(
    traffic: Connection, context: ActionContext, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    httpserver.expect_request("/api/x").respond_with_data("direct")
    assert success(request(context, path="/x")).outputs["text"] == "direct"


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "b\r\nHost: evil"},
        {"X-A\r\nHost": "evil"},
        {"Host": "evil"},
        {"content-length": "5"},
        {"Transfer-Encoding": "chunked"},
        {"X-A": "1", "x-a": "2"},
    ],
)
def test_headers_that_would_change_the_request_are_refused(
    traffic: Connection, context: ActionContext, headers: dict[str, str], httpserver: HTTPServer
) -> None:
    outcome = HttpRequest().run({"connection": "traffic", "headers": headers}, context)
    assert failure(outcome).code == "invalid_input"
    assert httpserver.log == []


def test_a_certificate_is_checked_against_the_connections_name(
    traffic: Connection, context: ActionContext, tmp_path: Any
) -> None:
    authority = trustme.CA()

    def trusted() -> ssl.SSLContext:
        made = ssl.create_default_context()
        authority.configure_trust(made)
        return made

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("traffic.example").configure_cert(tls)
    asked: list[str | None] = []
    tls.sni_callback = lambda sock, name, ctx: asked.append(name)
    dialer = Dialer(lambda host, port: ["127.0.0.1"], trusted)
    with HTTPServer(ssl_context=tls) as server:
        server.expect_request("/x").respond_with_data("ok")
        Connection.objects.update(base_url=f"https://traffic.example:{server.port}")
        assert success(request(context, dialer, path="/x")).outputs["text"] == "ok"
        Connection.objects.update(base_url=f"https://other.example:{server.port}")
        assert failure(request(context, dialer, path="/x")).code == "connect_failed"
        # The connection's own authority is believed without the machine's, for its own name only.
        own = {"certificate_authority": authority.cert_pem.bytes().decode()}
        Connection.objects.update(base_url=f"https://traffic.example:{server.port}", options=own)
        plain = Dialer(lambda host, port: ["127.0.0.1"])
        assert success(request(context, plain, path="/x")).outputs["text"] == "ok"
        Connection.objects.update(options={})
        assert failure(request(context, plain, path="/x")).code == "connect_failed"
    assert asked == ["traffic.example", "other.example", "traffic.example", "traffic.example"]


def test_reads_are_reads_and_everything_else_is_not() -> None:
    spec = HttpRequest.spec
    assert spec.effect_for({}) == (Effect.READ, True)
    assert spec.effect_for({"method": "PUT"}) == (Effect.REVERSIBLE, False)
    assert spec.effect_for({"method": "${{ inputs.method }}"}) == (Effect.REVERSIBLE, False)


def test_the_preview_says_what_would_be_sent_and_sends_nothing(
    traffic: Connection, context: ActionContext, httpserver: HTTPServer
) -> None:
    call = HttpRequest().bind(
        {"connection": "traffic", "method": "PUT", "path": "/w/a", "json": {"weight": 0}}
    )
    assert call.preview(context) == f'PUT {httpserver.url_for("/api/w/a")} {{"weight": 0}}'
    assert call.target() == "traffic"
    refused = HttpRequest().bind({"connection": "traffic", "method": "DELETE", "path": "/w/a"})
    assert "would be refused" in refused.preview(context)
    assert httpserver.log == []
