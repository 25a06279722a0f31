"""PagerDuty's two APIs over the guarded transport.

PagerDuty's own client waits a minute for an answer and retries a rate limit without end, which a worker under a
lease cannot do; and it resolves names itself. Both APIs are a handful of JSON calls.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace

from handrail.catalog import connections
from handrail.catalog.models import Connection
from handrail.catalog.outgoing.calls import SAFE_METHODS, OutgoingRequest, Reply, exchange, require_kind
from handrail.catalog.outgoing.credentials import secret_of
from handrail.catalog.outgoing.transport import Dialer
from integrations.pagerduty.kind import EVENTS_NAME, REST_NAME
from runbooks.language.definition import Json
from runbooks.steps.base import ActionContext, Failure
from runbooks.steps.http import json_of
from runbooks.steps.http_outcomes import failure_of_status

VERSION = "application/vnd.pagerduty+json;version=2"


class Refused(Exception):
    """PagerDuty did not do it."""

    def __init__(self, failure: Failure) -> None:
        """``failure`` is what the step says."""
        super().__init__(failure.message)
        self.failure = failure


def send_event(
    name: str, event: Mapping[str, Json], context: ActionContext, dialer: Dialer | None
) -> dict[str, Json]:
    """Hand one event to the Events API v2. Raises Refused, NotFound and OutgoingError.

    Source: https://developer.pagerduty.com/docs/send-alert-event
    """
    connection = connections.get(context.project, name)
    require_kind(connection, EVENTS_NAME)
    key = secret_of(connection, context.redactor.learn)
    body: dict[str, Json] = {**event, "routing_key": key}
    return _answer(_exchange(connection, _request("POST", "/v2/enqueue", body), context, dialer), writes=True)


class Rest:
    """The REST API, for one attempt of a step."""

    def __init__(self, name: str, context: ActionContext, dialer: Dialer | None) -> None:
        """``name`` is a connection's. Raises NotFound and OutgoingError."""
        self._connection = connections.get(context.project, name)
        require_kind(self._connection, REST_NAME)
        self._context = context
        self._dialer = dialer
        self._key = secret_of(self._connection, context.redactor.learn)

    def call(self, method: str, path: str, body: Json = None) -> dict[str, Json]:
        """One call. A key that is refused is read once more: it may have been rotated just now."""
        reply = self._send(method, path, body)
        if reply.status == 401:
            fresh = secret_of(self._connection, self._context.redactor.learn)
            if fresh != self._key:
                self._key = fresh
                reply = self._send(method, path, body)
        return _answer(reply, writes=method not in SAFE_METHODS)

    def _send(self, method: str, path: str, body: Json) -> Reply:
        headers = {
            "Accept": VERSION,
            "Authorization": f"Token token={self._key}",
            "From": self._connection.options["from"],
        }
        request = _request(method, path, body, headers)
        return _exchange(self._connection, request, self._context, self._dialer)


def _request(method: str, path: str, body: Json, headers: Mapping[str, str] | None = None) -> OutgoingRequest:
    return OutgoingRequest(
        method=method,
        path=path,
        headers={"Content-Type": "application/json", **(headers or {})},
        content=None if body is None else json.dumps(body, allow_nan=False).encode(),
    )


def _exchange(
    connection: Connection, request: OutgoingRequest, context: ActionContext, dialer: Dialer | None
) -> Reply:
    deadline = min(context.deadline_monotonic, time.monotonic() + connection.timeout_seconds)
    return exchange(connection, request, deadline=deadline, dialer=dialer)


def _answer(reply: Reply, *, writes: bool) -> dict[str, Json]:
    """The JSON of a good answer; else Refused, with PagerDuty's own words where there are some."""
    found = None if reply.truncated else json_of(reply)
    if 200 <= reply.status < 300:
        if isinstance(found, dict):
            return found
        words = "The answer is not PagerDuty's: is the connection's address its own?"
        raise Refused(Failure("bad_response", words, uncertain=writes))
    failure = failure_of_status(reply, writes=writes, outputs={"status": reply.status})
    if isinstance(found, dict):
        error = found.get("error")
        said = error if isinstance(error, dict) else found
        details = said.get("errors")
        told = [str(said.get("message", "")), *(map(str, details) if isinstance(details, list) else [])]
        failure = replace(failure, message=f"PagerDuty says: {' '.join(told)[:500]}")
    raise Refused(failure)
