"""webhook.send: what arrives can be proven to be ours, fresh and not seen before."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from handrail.accounts.models import Project
from handrail.catalog.models import Connection
from handrail.catalog.outgoing.transport import Dialer
from integrations.webhook.signature import BadKey, headers_of, key_of
from integrations.webhook.steps import WebhookSend
from runbooks.steps.base import ActionContext, InvalidInputs, Outcome
from tests.integrations.conftest import SECRET, GiveSecret
from tests.integrations.faults import cut_off, silent
from tests.integrations.outcomes import failure, success

pytestmark = pytest.mark.django_db
KEY = b"a key of twenty-four byt"
WRITTEN = "whsec_" + base64.b64encode(KEY).decode()


@pytest.fixture
def receiver(project: Project, httpserver: HTTPServer, give_secret: GiveSecret) -> HTTPServer:
    give_secret(WRITTEN)
    Connection.objects.create(
        project=project,
        name="ledger",
        kind="webhook",
        base_url=httpserver.url_for("/hooks/handrail"),
        authentication="signature",
        secret_reference=SECRET,
        allowed_networks=["127.0.0.0/8"],
        timeout_seconds=5,
    )
    return httpserver


def send(context: ActionContext, body: Any, dialer: Dialer | None = None) -> Outcome:
    return WebhookSend(dialer).run({"connection": "ledger", "json": body}, context)


def proven(request: Request, key: bytes = KEY) -> bool:
    """What a receiver does, written out once more."""
    signed = (
        f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.data
    )
    digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    fresh = abs(time.time() - int(request.headers["webhook-timestamp"])) < 300
    return fresh and request.headers["webhook-signature"] == f"v1,{digest}"


def test_the_receiver_can_prove_whose_it_is_and_recognise_a_repetition(
    receiver: HTTPServer, context: ActionContext
) -> None:
    receiver.expect_request("/hooks/handrail", method="POST").respond_with_json({"ok": True}, status=202)
    body = {"event": "contained", "grüße": [1, None, "a\nb"]}
    first = success(send(context, body)).outputs
    assert (first["status"], first["json"]) == (202, {"ok": True})
    assert success(send(context, body)).outputs["id"] == first["id"]
    requests = [request for request, _ in receiver.log]
    assert [proven(request) for request in requests] == [True, True]
    assert [json.loads(request.data) for request in requests] == [body, body]
    assert {request.headers["Idempotency-Key"] for request in requests} == {context.idempotency_key}
    assert not proven(requests[0], b"another key, also long")


def test_the_signature_is_the_one_of_the_standards_example() -> None:
    key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = headers_of(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", ["whsec_not base64!", "whsec_c2hvcnQ=", "short"])
def test_a_key_that_is_too_weak_or_unreadable_is_refused(
    receiver: HTTPServer, context: ActionContext, give_secret: GiveSecret, secret: str
) -> None:
    with pytest.raises(BadKey):
        key_of(secret)
    give_secret(secret)
    assert failure(send(context, {})).code == "secret_not_found"
    assert receiver.log == []


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (301, ("redirect_refused", False, True)),
        (401, ("authentication_failed", False, False)),
        (403, ("permission_denied", False, False)),
        (404, ("not_found", False, False)),
        (409, ("conflict", False, False)),
        (410, ("not_found", False, False)),
        (429, ("rate_limited", True, False)),
        (500, ("server_error", True, False)),
        (504, ("server_error", True, True)),
    ],
)
def test_only_2xx_is_success(
    receiver: HTTPServer, context: ActionContext, code: int, expected: tuple[str, bool, bool]
) -> None:
    receiver.expect_request("/hooks/handrail").respond_with_data(
        "no", status=code, headers={"Location": "https://elsewhere.example"}
    )
    outcome = failure(send(context, {"a": 1}))
    assert (outcome.code, outcome.retryable, outcome.uncertain) == expected
    assert len(receiver.log) == 1


def _nowhere(host: str, port: int) -> list[str]:
    raise OSError("no such name")


def test_faults_on_the_way_leave_doubt_only_after_sending(
    receiver: HTTPServer, context: ActionContext
) -> None:
    lost = failure(send(context, {}, Dialer(resolve=_nowhere)))
    assert (lost.code, lost.retryable, lost.uncertain) == ("dns_failed", True, False)
    for fault, code in ((cut_off, "connection_lost"), (silent, "timeout")):
        with fault() as address:
            Connection.objects.update(base_url=address, timeout_seconds=0.3)
            outcome = failure(send(context, {}))
        assert (outcome.code, outcome.retryable, outcome.uncertain) == (code, True, True)
    Connection.objects.update(base_url="http://127.0.0.1:1")
    assert failure(send(context, {})).code == "connect_failed"
    Connection.objects.update(allowed_networks=[])
    assert failure(send(context, {})).code == "address_refused"
    Connection.objects.update(kind="http")
    assert failure(send(context, {})).code == "not_allowed"


def test_a_rotated_key_is_picked_up(
    receiver: HTTPServer, context: ActionContext, give_secret: GiveSecret
) -> None:
    fresh = b"the next key of the receiver"

    def answer(request: Request) -> Response:
        give_secret(fresh.decode())
        return Response("", 200 if proven(request, fresh) else 401)

    receiver.expect_request("/hooks/handrail").respond_with_handler(answer)
    assert success(send(context, {})).outputs["status"] == 200


@pytest.mark.parametrize(
    "inputs", [{}, {"json": "x" * 300_000}, {"json": float("nan")}, {"json": 1, "url": "x"}]
)
def test_inputs_that_do_not_fit_are_refused(inputs: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputs):
        WebhookSend().bind({"connection": "ledger", **inputs})


def test_the_preview_shows_the_address_and_the_body(receiver: HTTPServer, context: ActionContext) -> None:
    call = WebhookSend().bind({"connection": "ledger", "json": {"a": 1}})
    assert call.preview(context) == f'POST {receiver.url_for("/hooks/handrail")} {{"a": 1}}'
    Connection.objects.all().delete()
    assert "would be refused" in call.preview(context)
