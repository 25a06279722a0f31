"""``webhook.send``: JSON to a receiver, signed so that it knows that it is ours, fresh and not seen before."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass

from handrail.catalog import connections
from handrail.catalog.models import Connection
from handrail.catalog.outgoing.calls import OutgoingRequest, Reply, exchange, require_kind
from handrail.catalog.outgoing.credentials import secret_of
from handrail.catalog.outgoing.errors import OutgoingError, SecretMissing
from handrail.catalog.outgoing.transport import Dialer
from handrail.shared.clock import now
from handrail.shared.errors import NotFound
from integrations.webhook.kind import NAME
from integrations.webhook.signature import BadKey, headers_of, key_of
from runbooks.language.actions import ActionSpec
from runbooks.language.definition import Effect, Json
from runbooks.steps.base import Action, ActionContext, Failure, InvalidInputs, Outcome, Success
from runbooks.steps.http import failure_of, json_of
from runbooks.steps.http_outcomes import failure_of_status
from runbooks.steps.inputs import Reader

LONGEST_BODY = 256 * 1024


@dataclass(frozen=True, slots=True)
class WebhookInputs:
    """To whom, and what."""

    connection: str
    body: Json


class WebhookSend(Action[WebhookInputs]):
    """Sends one signed webhook; only an answer of 2xx is success."""

    spec = ActionSpec(
        name="webhook.send",
        title="Send a signed webhook",
        description=(
            "POSTs JSON to the address of a `webhook` connection, signed with HMAC-SHA256 after Standard Webhooks. "
            "`webhook-id` and `Idempotency-Key` are the same in every attempt of the step: a receiver that "
            "remembers them does nothing twice, and then the step may say `idempotent: true`."
        ),
        inputs_schema={
            "type": "object",
            "additionalProperties": False,
            "required": ["connection", "json"],
            "properties": {
                "connection": {"type": "string", "description": "The name of a `webhook` connection."},
                "json": {"description": "The body, sent as JSON; 256 KiB at most."},
            },
        },
        effect=Effect.IRREVERSIBLE,
        may_be_idempotent=True,
        static_inputs=frozenset({"connection"}),
        connection_kind=NAME,
        outputs={
            "id": "The `webhook-id`.",
            "status": "The HTTP status (integer).",
            "json": "The answer's body if it is JSON, else null.",
        },
    )

    def __init__(self, dialer: Dialer | None = None) -> None:
        """``dialer``: another resolver or other certificate authorities, in tests."""
        self._dialer = dialer

    def read(self, rendered: Mapping[str, Json]) -> WebhookInputs:
        """Any JSON, within its bounds."""
        reader = Reader(rendered)
        if not reader.given("json"):
            raise InvalidInputs("`json` is missing: it is what is sent.")
        inputs = WebhookInputs(reader.text("connection"), reader.raw("json"))
        reader.done()
        if len(_written(inputs.body)) > LONGEST_BODY:
            raise InvalidInputs(f"`json` is larger than {LONGEST_BODY} bytes.")
        return inputs

    def preview(self, inputs: WebhookInputs, context: ActionContext) -> str:
        """The address and the beginning of the body."""
        try:
            connection = _connection(inputs, context)
        except (NotFound, OutgoingError) as error:
            return f"A webhook to {inputs.connection} would be refused: {error.message}"
        return f"POST {connection.base_url} {_written(inputs.body).decode()[:200]}"

    def target(self, inputs: WebhookInputs) -> str:
        """The connection."""
        return inputs.connection

    def execute(self, inputs: WebhookInputs, context: ActionContext) -> Outcome:
        """Sign, send, and read the answer."""
        message_id = "hr_" + hashlib.sha256(context.idempotency_key.encode()).hexdigest()[:32]
        try:
            connection = _connection(inputs, context)
            secret = secret_of(connection, context.redactor.learn)
            reply = self._send(connection, secret, message_id, _written(inputs.body), context)
            fresh = secret_of(connection, context.redactor.learn) if reply.status == 401 else secret
            if fresh != secret:
                reply = self._send(connection, fresh, message_id, _written(inputs.body), context)
        except NotFound as error:
            return Failure("connection_not_found", error.message)
        except OutgoingError as error:
            return failure_of(error)
        context.log("log", f"Webhook {message_id} -> {reply.status} from {reply.address}")
        found = None if reply.truncated else json_of(reply)
        outputs: dict[str, Json] = {"id": message_id, "status": reply.status, "json": found}
        if 200 <= reply.status < 300:
            return Success(outputs)
        return failure_of_status(reply, writes=True, outputs=outputs)

    def _send(
        self, connection: Connection, secret: str, message_id: str, body: bytes, context: ActionContext
    ) -> Reply:
        """The timestamp is the attempt's own: receivers refuse old ones."""
        try:
            signed = headers_of(key_of(secret), message_id, int(now().timestamp()), body)
        except BadKey as error:
            raise SecretMissing(f"The secret of the connection {connection.name}: {error}") from None
        own = {"Content-Type": "application/json", "Idempotency-Key": context.idempotency_key}
        request = OutgoingRequest(method="POST", path="", headers={**own, **signed}, content=body)
        deadline = min(context.deadline_monotonic, time.monotonic() + connection.timeout_seconds)
        return exchange(connection, request, deadline=deadline, dialer=self._dialer)


def _connection(inputs: WebhookInputs, context: ActionContext) -> Connection:
    connection = connections.get(context.project, inputs.connection)
    require_kind(connection, NAME)
    return connection


def _written(body: Json) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:
        raise InvalidInputs(f"`json` cannot be sent: {error}.") from None
