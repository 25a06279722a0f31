"""``http.request``: one call to a named connection, and its answer in the words that ``retry`` reads."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

from handrail.catalog import connections
from handrail.catalog.kinds import HTTP
from handrail.catalog.models import Connection
from handrail.catalog.outgoing.calls import METHODS, SAFE_METHODS, OutgoingRequest, Reply, call, check
from handrail.catalog.outgoing.errors import OutgoingError
from handrail.catalog.outgoing.paths import QueryValue
from handrail.catalog.outgoing.transport import Dialer
from handrail.shared.errors import NotFound
from runbooks.language import encodings
from runbooks.language.actions import ActionSpec
from runbooks.language.definition import Effect, Json, Template
from runbooks.steps.base import INVALID_INPUT, Action, ActionContext, Failure, InvalidInputs, Outcome, Success
from runbooks.steps.http_outcomes import failure_of_status
from runbooks.steps.inputs import Reader, written

LONGEST_TEXT = 64 * 1024
"""Characters of the answer that become the output ``text``; ``json`` is parsed from the whole answer."""

LONGEST_BODY = 1024 * 1024
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}\Z")
_FIELD_VALUE = re.compile(r"[\x20-\x7e\t]{0,8000}\Z")
_OWN_HEADERS = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "cookie",
        "expect",
        "host",
        "idempotency-key",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Handrail's own: they decide where a request ends, to whom it goes, and whether it is the same again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpInputs:
    """One request, as the runbook writes it."""

    connection: str
    method: str
    path: str
    query: Mapping[str, QueryValue | Sequence[QueryValue]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    expect_status: frozenset[int] = frozenset()


def effect_of(with_: Mapping[str, Template]) -> tuple[Effect, bool]:
    """Reads are reads; any other method, or one that is only known later, may change something."""
    method = with_.get("method", "GET")
    if isinstance(method, str) and method.upper() in SAFE_METHODS:
        return Effect.READ, True
    return Effect.REVERSIBLE, False


class HttpRequest(Action[HttpInputs]):
    """Calls a connection; any answer outside of 2xx (or of ``expect_status``) is a failure with a code."""

    spec = ActionSpec(
        name="http.request",
        title="Call an HTTP service",
        description=(
            "Sends one request to a named connection. The connection decides the address, the authentication, "
            "and which methods and paths are allowed. An `Idempotency-Key` header, the same in every attempt of "
            "the step, lets the service recognise a repetition."
        ),
        inputs_schema={
            "type": "object",
            "additionalProperties": False,
            "required": ["connection"],
            "properties": {
                "connection": {"type": "string", "description": "The connection's name."},
                "method": {"enum": [*sorted(METHODS)], "default": "GET", "description": "The HTTP method."},
                "path": {
                    "type": "string",
                    "default": "/",
                    "description": "Below the connection's address; values are percent-encoded.",
                },
                "query": {"type": "object", "description": "Query parameters; a list repeats its name."},
                "headers": {"type": "object", "description": "Further headers."},
                "json": {"description": "A body, sent as JSON."},
                "form": {"type": "object", "description": "A body, sent like a form's fields."},
                "body": {"type": "string", "description": "A body of static text."},
                "expect_status": {
                    "anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}],
                    "description": "The status that means success, or a list of them; without it, 200 to 299.",
                },
            },
        },
        effect=Effect.REVERSIBLE,
        may_be_idempotent=True,
        static_inputs=frozenset({"connection", "body"}),
        connection_kind=HTTP,
        outputs={
            "status": "The HTTP status (integer).",
            "headers": "The answer's headers, names in lower case (mapping).",
            "json": "The answer's body if it is JSON, else null.",
            "text": f"The answer's body as text, at most {LONGEST_TEXT} characters.",
            "truncated": "Whether the body was longer than what was read (boolean).",
        },
        effect_of=effect_of,
        encodings={"path": encodings.URL_PATH},
    )

    def __init__(self, dialer: Dialer | None = None) -> None:
        """``dialer``: another resolver or other certificate authorities, in tests."""
        self._dialer = dialer

    def read(self, rendered: Mapping[str, Json]) -> HttpInputs:
        """Check the shape; where it may go is the connection's affair, at execution."""
        reader = Reader(rendered)
        connection = reader.text("connection")
        method = reader.text("method", "GET").upper()
        if method not in METHODS:
            raise InvalidInputs(f"`method` must be one of {', '.join(sorted(METHODS))}.")
        path = reader.text("path", "/")
        query = _query(reader.mapping("query"))
        content, content_type = _content(reader)
        headers = _headers(reader.text_mapping("headers"))
        if content_type and not any(name.lower() == "content-type" for name in headers):
            headers["Content-Type"] = content_type
        expected = reader.statuses("expect_status")
        reader.done()
        return HttpInputs(
            connection=connection,
            method=method,
            path=path,
            query=query,
            headers=headers,
            content=content,
            expect_status=expected,
        )

    def preview(self, inputs: HttpInputs, context: ActionContext) -> str:
        """The request line with the full address, and the beginning of the body."""
        request = _request(inputs, context)
        try:
            address = check(connections.get(context.project, inputs.connection), request)
        except (NotFound, OutgoingError) as error:
            return f"{inputs.method} {inputs.path} of {inputs.connection} would be refused: {error.message}"
        body = f" {inputs.content.decode('utf-8', 'replace')[:200]}" if inputs.content else ""
        return f"{inputs.method} {address}{body}"

    def target(self, inputs: HttpInputs) -> str:
        """The connection."""
        return inputs.connection

    def execute(self, inputs: HttpInputs, context: ActionContext) -> Outcome:
        """Send it, read the answer, and say in a code what came of it."""
        request = _request(inputs, context)
        try:
            connection = connections.get(context.project, inputs.connection)
        except NotFound as error:
            return Failure("connection_not_found", error.message)
        reserved = _reserved(connection, inputs)
        if reserved:
            return Failure(
                INVALID_INPUT, f"The header {reserved} is set by the connection {connection.name}."
            )
        deadline = min(context.deadline_monotonic, time.monotonic() + connection.timeout_seconds)
        try:
            reply = call(
                connection, request, deadline=deadline, learn=context.redactor.learn, dialer=self._dialer
            )
        except OutgoingError as error:
            return failure_of(error)
        context.log("log", f"{inputs.method} {inputs.path} -> {reply.status} from {reply.address}")
        outputs = outputs_of(reply)
        expected = inputs.expect_status
        if reply.status in expected if expected else 200 <= reply.status < 300:
            return Success(outputs)
        return failure_of_status(reply, writes=inputs.method not in SAFE_METHODS, outputs=outputs)


def failure_of(error: OutgoingError) -> Failure:
    """The failure that a call's error is."""
    return Failure(error.code, error.message, retryable=error.retryable, uncertain=error.uncertain)


def outputs_of(reply: Reply) -> dict[str, Json]:
    """What later steps may read of an answer."""
    text = reply.text()
    return {
        "status": reply.status,
        "headers": dict(reply.headers),
        "json": None if reply.truncated else json_of(reply),
        "text": text[:LONGEST_TEXT],
        "truncated": reply.truncated or len(text) > LONGEST_TEXT,
    }


def json_of(reply: Reply) -> Json:
    """The body as JSON data, or None. A nesting that Python's parser refuses is not JSON for us either."""
    try:
        parsed: Json = json.loads(reply.text(), parse_constant=_not_json)
    except (ValueError, RecursionError):
        return None
    return parsed


def _not_json(name: str) -> None:
    raise ValueError(name)


def _request(inputs: HttpInputs, context: ActionContext) -> OutgoingRequest:
    headers = dict(inputs.headers)
    if inputs.method not in SAFE_METHODS:
        headers["Idempotency-Key"] = context.idempotency_key
    return OutgoingRequest(
        method=inputs.method, path=inputs.path, query=inputs.query, headers=headers, content=inputs.content
    )


def _reserved(connection: Connection, inputs: HttpInputs) -> str | None:
    """The name of a header that would contradict the connection's own authentication."""
    if connection.authentication == Connection.Authentication.NONE:
        return None
    taken = {"authorization", connection.header_name.lower()}
    return next((name for name in inputs.headers if name.lower() in taken), None)


def _headers(given: Mapping[str, str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in given.items():
        if not _TOKEN.match(name):
            raise InvalidInputs(f"`headers` has the name {name[:60]!r}, which no header can have.")
        if name.lower() in _OWN_HEADERS or name.lower().startswith("proxy-"):
            raise InvalidInputs(f"`headers.{name}` is set by Handrail itself: leave it out.")
        if not _FIELD_VALUE.match(value):
            raise InvalidInputs(f"`headers.{name}` must be one line of plain ASCII text.")
        if name.lower() in {seen.lower() for seen in headers}:
            raise InvalidInputs(f"`headers.{name}` is given twice.")
        headers[name] = value
    return headers


def _query(given: Mapping[str, Json]) -> dict[str, QueryValue | Sequence[QueryValue]]:
    query: dict[str, QueryValue | Sequence[QueryValue]] = {}
    for name, value in given.items():
        if value is None:
            continue
        if isinstance(value, list):
            query[name] = [written(item, f"query.{name}") for item in value]
        else:
            query[name] = written(value, f"query.{name}")
    return query


def _content(reader: Reader) -> tuple[bytes | None, str]:
    """The one body and its media type."""
    kinds = [name for name in ("json", "form", "body") if reader.given(name)]
    if len(kinds) > 1:
        raise InvalidInputs(f"Give one body only, not `{'` and `'.join(kinds)}`.")
    if not kinds:
        return None, ""
    try:
        if kinds == ["json"]:
            data = json.dumps(reader.raw("json"), ensure_ascii=False, allow_nan=False).encode()
            media = "application/json"
        elif kinds == ["form"]:
            data = urlencode(reader.text_mapping("form")).encode()
            media = "application/x-www-form-urlencoded"
        else:
            data, media = reader.text("body").encode(), "text/plain; charset=utf-8"
    except ValueError as error:
        raise InvalidInputs(f"`{kinds[0]}` cannot be sent: {error}.") from None
    if len(data) > LONGEST_BODY:
        raise InvalidInputs(f"`{kinds[0]}` is larger than {LONGEST_BODY} bytes.")
    return data, media
