"""One operation of AWS: botocore writes, signs and reads; the request itself leaves through the guarded transport.

botocore asks the handlers of its event ``before-send`` for an answer before it opens a connection of its own.
Ours gives one, so there is no second lookup, no proxy, no retry, and no walk to a metadata service for credentials.
"""

from __future__ import annotations

import base64
import io
import os
import time
from collections.abc import Iterator, Mapping
from datetime import date
from functools import cache
from typing import Any

from handrail.catalog import connections
from handrail.catalog.models import Connection
from handrail.catalog.outgoing.calls import LARGEST_RESPONSE, OutgoingRequest, exchange, require_kind
from handrail.catalog.outgoing.credentials import secret_of
from handrail.catalog.outgoing.errors import NotAllowed, SecretMissing
from handrail.catalog.outgoing.transport import Dialer
from integrations.aws.errors import Refused, failure_of_answer, not_of_aws
from integrations.aws.kind import EVERY, NAME
from runbooks.language.definition import Json
from runbooks.steps.base import INVALID_INPUT, ActionContext, Failure

DEEPEST = 20
_REQUEST_ID = {"x-amzn-requestid", "x-amz-request-id", "x-amz-id-2"}
_NOWHERE = (None, None, os.devnull, None)


def allowed_connection(context: ActionContext, name: str, operation: str) -> Connection:
    """The connection, if it allows the operation. Raises NotFound and OutgoingError."""
    connection = connections.get(context.project, name)
    require_kind(connection, NAME)
    operations = connection.options["operations"]
    if operation not in operations and EVERY not in operations:
        raise NotAllowed(
            f"The connection {name} does not allow {operation}. It allows: {', '.join(operations)}."
        )
    return connection


def call(
    connection: Connection,
    operation: str,
    parameters: Mapping[str, Any],
    context: ActionContext,
    dialer: Dialer | None,
) -> dict[str, Json]:
    """Call the operation. Raises Refused and OutgoingError.

    Credentials that are refused are read once more: they may have been rotated just now.
    """
    secret = secret_of(connection, context.redactor.learn)
    try:
        return _call(connection, secret, operation, parameters, context, dialer)
    except Refused as refusal:
        if refusal.failure.code != "authentication_failed":
            raise
        fresh = secret_of(connection, context.redactor.learn)
        if fresh == secret:
            raise
        return _call(connection, fresh, operation, parameters, context, dialer)


def _call(
    connection: Connection,
    secret: str,
    operation: str,
    parameters: Mapping[str, Any],
    context: ActionContext,
    dialer: Dialer | None,
) -> dict[str, Json]:
    from botocore import xform_name
    from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

    try:
        client = _client(connection, secret, context)
    except BotoCoreError as error:
        raise Refused(Failure(INVALID_INPUT, f"The connection {connection.name}: {error}")) from None
    if operation not in client.meta.service_model.operation_names:
        service = connection.options["service"]
        raise Refused(Failure(INVALID_INPUT, f"The service {service} has no operation {operation[:100]}."))
    sending = _Sending(connection, operation, context, dialer)
    try:
        client.meta.events.register("before-send", sending)
        return _plain_mapping(getattr(client, xform_name(operation))(**parameters))
    except ClientError as error:
        raise Refused(failure_of_answer(error.response, operation)) from None
    except ParamValidationError as error:
        raise Refused(Failure(INVALID_INPUT, str(error)[:1_000])) from None
    except BotoCoreError as error:
        if not sending.begun:
            raise Refused(Failure(INVALID_INPUT, str(error)[:1_000])) from None
        raise Refused(not_of_aws(operation, str(error))) from None


def _client(connection: Connection, secret: str, context: ActionContext) -> Any:
    """A client with these credentials alone: nothing of this machine's profiles, files or roles."""
    import botocore.session
    from botocore.config import Config

    key, _, rest = secret.partition(":")
    own, _, token = rest.partition(":")
    if not (key and own):
        raise SecretMissing(
            f"The secret of the connection {connection.name} must be ACCESS_KEY_ID:SECRET_ACCESS_KEY."
        )
    for part in filter(None, (own, token)):
        context.redactor.learn(part)
    session = botocore.session.Session(
        session_vars={
            "profile": (None, None, None, None),
            "config_file": _NOWHERE,
            "credentials_file": _NOWHERE,
        }
    )
    session.register_component("data_loader", _loader())
    return session.create_client(
        connection.options["service"],
        region_name=connection.options["region"],
        endpoint_url=connection.base_url,
        aws_access_key_id=key,
        aws_secret_access_key=own,
        aws_session_token=token or None,
        config=Config(
            retries={"total_max_attempts": 1},
            inject_host_prefix=False,
            s3={"addressing_style": "path"},
        ),
    )


@cache
def _loader() -> Any:
    """The descriptions of the services, each read once a process."""
    from botocore.loaders import create_loader

    return create_loader()


class _Sending:
    """The handler of ``before-send``: makes the signed request through the connection."""

    def __init__(
        self, connection: Connection, operation: str, context: ActionContext, dialer: Dialer | None
    ) -> None:
        self._connection = connection
        self._operation = operation
        self._context = context
        self._dialer = dialer
        self.begun = False

    def __call__(self, request: Any, **_: object) -> Any:
        """The answer, as botocore reads it. Raises Refused and OutgoingError.

        botocore takes any answer of 200 for an empty success; AWS's own all have an id.
        """
        from botocore.awsrequest import AWSResponse

        self.begun = True
        base = self._connection.base_url.rstrip("/")
        target = str(request.url).removeprefix(base)
        if not target.startswith("/"):
            raise NotAllowed(f"The operation would leave {base} for {str(request.url)[:200]}.")
        headers = {name: _text(value) for name, value in request.headers.items()}
        for name in ("Content-Length", "Expect", "User-Agent"):
            headers.pop(name, None)
        limit = time.monotonic() + self._connection.timeout_seconds
        reply = exchange(
            self._connection,
            OutgoingRequest(
                method=str(request.method), path=target, headers=headers, content=_bytes(request.body)
            ),
            deadline=min(self._context.deadline_monotonic, limit),
            dialer=self._dialer,
        )
        if reply.status < 300 and not _REQUEST_ID & {name.lower() for name in reply.headers}:
            raise Refused(not_of_aws(self._operation, "it has no request id"))
        return AWSResponse(request.url, reply.status, dict(reply.headers), _Raw(reply.body))


class _Raw(io.BytesIO):
    """A body, as botocore wants to read it."""

    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        """All of it."""
        yield self.read()


def _text(value: object) -> str:
    return value.decode("ascii") if isinstance(value, bytes) else str(value)


def _bytes(body: object) -> bytes | None:
    if body is None or isinstance(body, bytes):
        return body
    if isinstance(body, bytearray | str):
        return body.encode() if isinstance(body, str) else bytes(body)
    read = getattr(body, "read", None)
    return bytes(read()) if read is not None else None


def _plain_mapping(found: Mapping[str, Any]) -> dict[str, Json]:
    """The answer as JSON data, without what botocore adds."""
    return {name: plain(value) for name, value in found.items() if name != "ResponseMetadata"}


def plain(value: Any, depth: int = 0) -> Json:
    """A value of an answer as JSON: times as text, bytes as text or else in base64, streams read."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if depth > DEEPEST:
        return None
    if isinstance(value, Mapping):
        return {str(name): plain(item, depth + 1) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, date):
        return value.isoformat()
    read = getattr(value, "read", None)
    raw = read(LARGEST_RESPONSE) if read is not None else value
    if isinstance(raw, bytes):
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return base64.b64encode(raw).decode()
    return str(raw)
