"""aws.*: Lambda's REST protocol and a JSON service, with signatures that a server can check."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from botocore.awsrequest import AWSRequest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from handrail.accounts.models import Project
from handrail.catalog import actions
from handrail.catalog.models import Connection
from handrail.catalog.outgoing.errors import NotAllowed
from handrail.catalog.outgoing.transport import Dialer
from handrail.shared.actors import Actor
from handrail.shared.errors import Invalid
from integrations.aws.client import _Sending, plain
from integrations.aws.errors import failure_of_answer
from runbooks.language.definition import Effect
from runbooks.steps import registry
from runbooks.steps.base import ActionContext, InvalidInputs, Outcome
from tests.integrations.conftest import SECRET, GiveSecret
from tests.integrations.faults import cut_off, silent
from tests.integrations.outcomes import failure, success

pytestmark = pytest.mark.django_db
KEY_ID, KEY, TOKEN = "AKIAEXAMPLEEXAMPLE00", "secret/key+of/forty/characters/in/length", "a-session-token"
INVOCATIONS = "/2015-03-31/functions/failover/invocations"


@pytest.fixture
def aws(
    project: Project, httpserver: HTTPServer, give_secret: GiveSecret, monkeypatch: pytest.MonkeyPatch
) -> HTTPServer:
    # What stands in a worker's environment must not matter.
    for name, value in {
        "AWS_PROFILE": "other",
        "AWS_ACCESS_KEY_ID": "other",
        "AWS_CA_BUNDLE": "/none",
    }.items():
        monkeypatch.setenv(name, value)
    give_secret(f"{KEY_ID}:{KEY}:{TOKEN}")
    for service in ("lambda", "ecs"):
        Connection.objects.create(
            project=project,
            name=service,
            kind="aws",
            base_url=httpserver.url_for("").rstrip("/"),
            authentication="signature",
            secret_reference=SECRET,
            allowed_networks=["127.0.0.0/8"],
            options={"service": service, "region": "eu-central-1", "operations": ["*"]},
            timeout_seconds=5,
        )
    return httpserver


def signed(request: Request, service: str, key: str = KEY) -> bool:
    """AWS's own check of a signature, version 4, written out once more."""
    fields = dict(
        part.strip().split("=", 1) for part in request.headers["Authorization"].partition(" ")[2].split(",")
    )
    names = fields["SignedHeaders"].split(";")
    headers = "".join(f"{name}:{' '.join(request.headers[name].split())}\n" for name in names)
    path, _, query = request.environ["REQUEST_URI"].partition("?")
    canonical = "\n".join(
        [request.method, quote(path, safe="/-_.~"), query, headers, ";".join(names), _sha(request.data)]
    )
    date = request.headers["X-Amz-Date"]
    scope = f"{date[:8]}/eu-central-1/{service}/aws4_request"
    signing = f"AWS4{key}".encode()
    for part in (*scope.split("/")[:3], "aws4_request"):
        signing = hmac.new(signing, part.encode(), hashlib.sha256).digest()
    to_sign = "\n".join(["AWS4-HMAC-SHA256", date, scope, _sha(canonical.encode())])
    expected = hmac.new(signing, to_sign.encode(), hashlib.sha256).hexdigest()
    return fields["Credential"] == f"{KEY_ID}/{scope}" and fields["Signature"] == expected


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def invoke(context: ActionContext, **inputs: Any) -> Outcome:
    return registry.get("aws.lambda.invoke").run(
        {"connection": "lambda", "function": "failover", **inputs}, context
    )


def call(context: ActionContext, operation: str, dialer: Dialer | None = None, **parameters: Any) -> Outcome:
    action = type(registry.get("aws.call"))(dialer)
    return action.run({"connection": "ecs", "operation": operation, "parameters": parameters}, context)


def answering(answer: Any, status: int = 200, **headers: str) -> Callable[[Request], Response]:
    body = answer if isinstance(answer, str) else json.dumps(answer)
    headers["X-Amzn-RequestId"] = "b2a4c6d8-0000-0000-0000-000000000000"
    return lambda request: Response(body, status, headers, content_type="application/x-amz-json-1.1")


def test_a_function_is_invoked_with_a_signature_that_holds(aws: HTTPServer, context: ActionContext) -> None:
    aws.expect_request(INVOCATIONS, method="POST", query_string={"Qualifier": "live"}).respond_with_handler(
        answering({"moved": 3}, **{"X-Amz-Executed-Version": "7"})
    )
    outputs = success(invoke(context, payload={"region": "eu-1"}, qualifier="live")).outputs
    assert outputs == {"status": 200, "payload": {"moved": 3}, "version": "7"}
    [(request, _)] = aws.log
    assert signed(request, "lambda")
    assert not signed(request, "lambda", "another key")
    assert json.loads(request.data) == {"region": "eu-1"}
    assert request.headers["X-Amz-Security-Token"] == TOKEN
    assert request.headers["X-Amz-Invocation-Type"] == "RequestResponse"
    told = json.loads(base64.b64decode(request.headers["X-Amz-Client-Context"]))
    assert told == {"custom": {"idempotency_key": context.idempotency_key}}


def test_an_arn_reaches_the_server_as_it_was_signed(aws: HTTPServer, context: ActionContext) -> None:
    arn = "arn:aws:lambda:eu-central-1:123456789012:function:failover"
    aws.expect_request(INVOCATIONS.replace("failover", arn)).respond_with_handler(answering("", 202))
    assert success(invoke(context, function=arn, invocation="Event")).outputs["status"] == 202
    assert signed(aws.log[0][0], "lambda")


def test_a_dry_run_is_a_read(aws: HTTPServer, context: ActionContext) -> None:
    aws.expect_request(INVOCATIONS).respond_with_handler(answering("", 204))
    assert success(invoke(context, invocation="DryRun")).outputs["status"] == 204
    spec = registry.get("aws.lambda.invoke").spec
    assert spec.effect_for({"invocation": "DryRun"}) == (Effect.READ, True)
    assert spec.effect_for({}) == (Effect.IRREVERSIBLE, False)


def test_a_function_that_fails_is_a_failure_and_tells_nothing_secret(
    aws: HTTPServer, context: ActionContext
) -> None:
    said = {"errorMessage": f"cannot use {KEY}", "errorType": "ValueError"}
    aws.expect_request(INVOCATIONS).respond_with_handler(
        answering(said, **{"X-Amz-Function-Error": "Unhandled"})
    )
    outcome = failure(invoke(context))
    assert (outcome.code, outcome.retryable, outcome.uncertain) == ("function_error", False, False)
    assert outcome.message == "The function failed: cannot use [redacted]"
    assert KEY not in str(outcome.outputs)


def test_an_answer_that_is_too_large_is_cut_after_a_write_and_refused_for_a_read(
    aws: HTTPServer, context: ActionContext
) -> None:
    aws.expect_request(INVOCATIONS).respond_with_handler(answering("x" * 400_000))
    assert len(str(success(invoke(context)).outputs["payload"])) == 16 * 1024
    aws.expect_request("/", method="POST").respond_with_handler(answering({"clusterArns": ["x" * 400_000]}))
    assert failure(call(context, "ListClusters")).code == "response_too_large"


def test_any_operation_of_a_json_service_is_called(aws: HTTPServer, context: ActionContext) -> None:
    deployment = {"id": "d", "createdAt": 1700000000.5, "desiredCount": 3}
    aws.expect_request(
        "/",
        method="POST",
        json={"cluster": "prod", "services": ["checkout"]},
        headers={"X-Amz-Target": "AmazonEC2ContainerServiceV20141113.DescribeServices"},
    ).respond_with_handler(answering({"services": [{"deployments": [deployment]}]}))
    answer = success(call(context, "DescribeServices", cluster="prod", services=["checkout"])).outputs[
        "answer"
    ]
    assert answer == {
        "services": [
            {"deployments": [{"id": "d", "createdAt": "2023-11-14T22:13:20.500000+00:00", "desiredCount": 3}]}
        ]
    }
    assert signed(aws.log[0][0], "ecs")


def test_reading_operations_are_known_by_their_names() -> None:
    effect = registry.get("aws.call").spec.effect_for
    for reads in ("DescribeServices", "ListTasks", "GetFunction", "BatchGetItem", "Query"):
        assert effect({"operation": reads}) == (Effect.READ, True)
    for writes in ("UpdateService", "Getaway", "Listen", "RunTask", "${{ inputs.operation }}"):
        assert effect({"operation": writes}) == (Effect.IRREVERSIBLE, False)


@pytest.mark.parametrize(
    ("status", "name", "expected"),
    [
        (400, "ExpiredTokenException", ("authentication_failed", False, False)),
        (403, "UnrecognizedClientException", ("authentication_failed", False, False)),
        (400, "AccessDeniedException", ("permission_denied", False, False)),
        (400, "ServiceNotFoundException", ("not_found", False, False)),
        (404, "Odd", ("not_found", False, False)),
        (400, "ConflictException", ("conflict", False, False)),
        (400, "ThrottlingException", ("rate_limited", True, False)),
        (400, "ProvisionedThroughputExceededException", ("rate_limited", True, False)),
        (400, "PriorRequestNotComplete", ("rate_limited", True, False)),
        (429, "Odd", ("rate_limited", True, False)),
        (400, "InvalidParameterException", ("invalid_input", False, False)),
        (500, "ServerException", ("server_error", True, False)),
        (503, "Odd", ("server_error", True, False)),
        (504, "Odd", ("server_error", True, True)),
    ],
)
def test_an_error_of_aws_becomes_a_code(
    aws: HTTPServer, context: ActionContext, status: int, name: str, expected: tuple[str, bool, bool]
) -> None:
    aws.expect_request("/").respond_with_handler(
        answering({"__type": f"x#{name}", "message": "because"}, status, **{"Retry-After": "7"})
    )
    outcome = failure(call(context, "UpdateService", service="checkout", desiredCount=0))
    assert (outcome.code, outcome.retryable, outcome.uncertain) == expected
    assert outcome.retry_after == (7.0 if outcome.retryable else None)
    assert outcome.message == f"AWS says {name}: because"
    assert len(aws.log) == 1
    answer = {"Error": {"Code": name}, "ResponseMetadata": {"HTTPStatusCode": status}}
    assert not failure_of_answer(answer, "DescribeServices").uncertain


def _nowhere(host: str, port: int) -> list[str]:
    raise OSError("no such name")


def test_faults_on_the_way_leave_doubt_only_after_a_write_was_sent(
    aws: HTTPServer, context: ActionContext
) -> None:
    lost = failure(call(context, "ListClusters", Dialer(resolve=_nowhere)))
    assert (lost.code, lost.retryable, lost.uncertain) == ("dns_failed", True, False)
    for fault, code in ((cut_off, "connection_lost"), (silent, "timeout")):
        for operation, doubt in (("RunTask", True), ("ListClusters", False)):
            with fault() as address:
                Connection.objects.update(base_url=address, timeout_seconds=0.3)
                outcome = failure(call(context, operation, **({"taskDefinition": "x"} if doubt else {})))
            assert (outcome.code, outcome.retryable, outcome.uncertain) == (code, True, doubt)
    Connection.objects.update(base_url="http://127.0.0.1:1")
    assert failure(call(context, "ListClusters")).code == "connect_failed"
    Connection.objects.update(allowed_networks=[])
    assert failure(call(context, "ListClusters")).code == "address_refused"


def test_an_answer_that_is_not_aws_s_leaves_a_write_in_doubt(aws: HTTPServer, context: ActionContext) -> None:
    aws.expect_request("/").respond_with_data("{ not json")
    outcome = failure(call(context, "UpdateService", service="x"))
    assert (outcome.code, outcome.uncertain) == ("bad_response", True)
    assert not failure(call(context, "ListClusters")).uncertain


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"options": {"service": "ecs", "region": "x", "operations": ["DescribeServices"]}}, "not_allowed"),
        ({"options": {"service": "nonsense", "region": "x", "operations": ["*"]}}, "invalid_input"),
        ({"options": {"service": "lambda", "region": "x", "operations": ["*"]}}, "invalid_input"),
        ({"kind": "http"}, "not_allowed"),
    ],
)
def test_what_the_connection_does_not_allow_is_not_sent(
    aws: HTTPServer, context: ActionContext, changes: dict[str, Any], code: str
) -> None:
    Connection.objects.filter(name="ecs").update(**changes)
    outcome = failure(call(context, "ListClusters"))
    assert (outcome.code, outcome.uncertain, aws.log) == (code, False, [])
    bound = registry.get("aws.call").bind({"connection": "ecs", "operation": "ListClusters"})
    assert ("would be refused" in bound.preview(context)) is (code == "not_allowed")


def test_an_operation_that_would_leave_for_another_host_is_refused(
    aws: HTTPServer, context: ActionContext
) -> None:
    sending = _Sending(Connection.objects.get(name="ecs"), "ListClusters", context, None)
    with pytest.raises(NotAllowed, match=r"evil\.example"):
        sending(AWSRequest("POST", "https://evil.example/", data=b"").prepare())


def test_wrong_parameters_are_told_before_anything_is_sent(aws: HTTPServer, context: ActionContext) -> None:
    outcome = failure(call(context, "UpdateService", service=3))
    assert (outcome.code, aws.log) == ("invalid_input", [])
    assert "service" in outcome.message


def test_what_botocore_cannot_write_was_not_sent(aws: HTTPServer, context: ActionContext) -> None:
    options = {"service": "events", "region": "eu-central-1", "operations": ["*"]}
    Connection.objects.filter(name="ecs").update(options=options)
    # A global endpoint is signed with a library of its own.
    outcome = failure(call(context, "PutEvents", Entries=[{"Source": "x"}], EndpointId="abc.def"))
    assert (outcome.code, outcome.uncertain, aws.log) == ("invalid_input", False, [])
    assert "botocore[crt]" in outcome.message


def test_rotated_credentials_are_picked_up(
    aws: HTTPServer, context: ActionContext, give_secret: GiveSecret
) -> None:
    def answer(request: Request) -> Response:
        if signed(request, "ecs"):
            give_secret(f"{KEY_ID}:another-secret-key")
            return answering({"__type": "ExpiredTokenException", "message": ""}, 400)(request)
        assert signed(request, "ecs", "another-secret-key")
        return answering({"clusterArns": []})(request)

    aws.expect_request("/").respond_with_handler(answer)
    assert success(call(context, "ListClusters")).outputs == {"answer": {"clusterArns": []}}


def test_a_secret_of_another_form_is_said_so(
    aws: HTTPServer, context: ActionContext, give_secret: GiveSecret
) -> None:
    give_secret("only-one-part")
    outcome = failure(call(context, "ListClusters"))
    assert (outcome.code, aws.log) == ("secret_not_found", [])
    assert "only-one-part" not in outcome.message


@pytest.mark.parametrize(
    ("action", "inputs"),
    [
        ("call", {"operation": "describe_services"}),
        ("call", {"operation": "DescribeServices", "region": "us-east-1"}),
        ("lambda.invoke", {"function": "a b"}),
        ("lambda.invoke", {"function": "a", "qualifier": "../x"}),
        ("lambda.invoke", {"function": "a", "invocation": "Later"}),
        ("lambda.invoke", {"function": "a", "payload": "x" * 2_000_000}),
    ],
)
def test_inputs_that_do_not_fit_are_refused(action: str, inputs: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputs):
        registry.get(f"aws.{action}").bind({"connection": "c", **inputs})


def test_an_answer_becomes_plain_data() -> None:
    assert plain({"a": (b"text", b"\xff"), "b": {1: object}}) == {
        "a": ["text", "/w=="],
        "b": {"1": str(object)},
    }


def test_a_connection_needs_service_region_and_operations(project: Project, admin: Actor) -> None:
    fields: dict[str, Any] = {
        "kind": "aws",
        "base_url": "https://lambda.eu-central-1.amazonaws.com",
        "authentication": "signature",
        "secret_reference": "local:aws",
        "options": {"service": "lambda", "region": "eu-central-1", "operations": ["Invoke"]},
    }
    actions.create_connection(project, "good", actor=admin, **fields)
    for options in ({"service": "lambda"}, {**fields["options"], "operations": ["invoke"]}):
        with pytest.raises(Invalid):
            actions.create_connection(project, "bad", actor=admin, **{**fields, "options": options})
