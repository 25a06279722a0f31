"""The Kubernetes API through the guarded transport: JSON in, JSON out, its ``Status`` objects as failures."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

from handrail.catalog import connections
from handrail.catalog.models import Connection
from handrail.catalog.outgoing.calls import OutgoingRequest, Reply, exchange, require_kind
from handrail.catalog.outgoing.credentials import credentials_of
from handrail.catalog.outgoing.errors import NotAllowed
from handrail.catalog.outgoing.transport import Dialer
from integrations.kubernetes.kind import EVERY, GET, NAME
from runbooks.language.definition import Json
from runbooks.steps.base import ActionContext, Failure
from runbooks.steps.http import json_of
from runbooks.steps.http_outcomes import failure_of_status

Object = dict[str, Json]

STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
FIELD_MANAGER = "handrail"


class Refused(Exception):
    """The API did not do it. ``status`` is the HTTP status."""

    def __init__(self, failure: Failure, status: int) -> None:
        """``failure`` is what the step says, unless its action knows better."""
        super().__init__(failure.message)
        self.failure = failure
        self.status = status


class Cluster:
    """One cluster, for one attempt of a step."""

    def __init__(self, connection: Connection, context: ActionContext, dialer: Dialer | None) -> None:
        """``connection`` is of the kind ``kubernetes``."""
        self._connection = connection
        self._context = context
        self._dialer = dialer
        self._credentials = credentials_of(connection, context.redactor.learn)

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Object:
        """Read. Raises Refused and OutgoingError."""
        return self._object(self._send(OutgoingRequest(path=path, query=dict(query or {}))), writes=False)

    def write(
        self, method: str, path: str, body: Json, *, dry_run: bool, content_type: str = "application/json"
    ) -> Object:
        """Change something; with ``dry_run`` the server says what would become of it, and keeps nothing."""
        query = {"fieldManager": FIELD_MANAGER, **({"dryRun": "All"} if dry_run else {})}
        request = OutgoingRequest(
            method=method,
            path=path,
            query=query,
            headers={"Content-Type": content_type},
            content=json.dumps(body, allow_nan=False).encode(),
        )
        return self._object(self._send(request), writes=not dry_run)

    def _send(self, request: OutgoingRequest) -> Reply:
        """A token that is refused is read once more: it may have been rotated just now."""
        reply = self._exchange(request)
        if reply.status == 401:
            fresh = credentials_of(self._connection, self._context.redactor.learn)
            if fresh != self._credentials:
                self._credentials = fresh
                reply = self._exchange(request)
        return reply

    def _exchange(self, request: OutgoingRequest) -> Reply:
        limit = time.monotonic() + self._connection.timeout_seconds
        return exchange(
            self._connection,
            request,
            deadline=min(self._context.deadline_monotonic, limit),
            dialer=self._dialer,
            credentials=self._credentials,
        )

    def _object(self, reply: Reply, *, writes: bool) -> Object:
        found = None if reply.truncated else json_of(reply)
        if 200 <= reply.status < 300:
            if isinstance(found, dict):
                return found
            words = "The answer is not the Kubernetes API's: is the connection's address its own?"
            raise Refused(Failure("bad_response", words, uncertain=writes), reply.status)
        failure = failure_of_status(reply, writes=writes, outputs={"status": reply.status})
        if isinstance(found, dict) and found.get("kind") == "Status":
            words = f"Kubernetes says: {str(found.get('message', ''))[:500]}"
            failure = Failure(
                failure.code,
                words,
                failure.retryable,
                failure.uncertain,
                failure.retry_after,
                failure.outputs,
            )
        raise Refused(failure, reply.status)


def allowed_connection(context: ActionContext, name: str, verb: str, namespace: str) -> Connection:
    """The connection, if it allows this there. An empty namespace is for nodes. Raises NotFound, OutgoingError."""
    connection = connections.get(context.project, name)
    require_kind(connection, NAME)
    namespaces = connection.options["namespaces"]
    if namespace and namespace not in namespaces and EVERY not in namespaces:
        raise NotAllowed(
            f"The connection {name} does not allow the namespace {namespace}. It allows: {', '.join(namespaces)}."
        )
    verbs = connection.options.get("verbs", [])
    if verb not in (GET, *verbs):
        raise NotAllowed(
            f"The connection {name} does not allow {verb}. It allows: {', '.join([GET, *verbs])}."
        )
    return connection


def at(found: Json, *names: str) -> Json:
    """What lies there in an object of the API, or None."""
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def count(found: Json, *names: str) -> int:
    """A number of an object; Kubernetes leaves zeros out."""
    value = at(found, *names)
    return value if isinstance(value, int) else 0


def text(found: Json, *names: str) -> str:
    """A text of an object, empty when there is none."""
    value = at(found, *names)
    return value if isinstance(value, str) else ""


def items(found: Json, *names: str) -> list[Object]:
    """A list of objects; Kubernetes leaves empty ones out."""
    value = at(found, *names)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
