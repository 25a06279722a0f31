"""``email.send``: plain text to addresses that the connection allows; it leaves through the outbox."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import format_datetime

from django.db import transaction

from handrail.catalog import connections
from handrail.catalog.models import Connection
from handrail.catalog.outgoing.calls import require_kind
from handrail.catalog.outgoing.errors import NotAllowed, OutgoingError
from handrail.outbox.actions import enqueue
from handrail.outbox.models import OutboxMessage
from handrail.shared.clock import now
from handrail.shared.errors import NotFound
from integrations.email.kind import NAME, is_address, may_receive
from integrations.email.sending import CHANNEL
from runbooks.language.actions import ActionSpec
from runbooks.language.definition import Effect, Json
from runbooks.steps.base import Action, ActionContext, Failure, InvalidInputs, Outcome, Success
from runbooks.steps.http import failure_of
from runbooks.steps.inputs import Reader

MOST_RECIPIENTS = 50
LONGEST_SUBJECT = 200
LONGEST_TEXT = 100_000


@dataclass(frozen=True, slots=True)
class EmailInputs:
    """To whom, and what."""

    connection: str
    to: tuple[str, ...]
    subject: str
    text: str


class EmailSend(Action[EmailInputs]):
    """Hands one message a recipient to the outbox, which tries again by itself."""

    spec = ActionSpec(
        name="email.send",
        title="Send an e-mail",
        description=(
            "Sends plain text to addresses that the connection allows. The step succeeds when the outbox has the "
            "messages, one for each recipient; what the server refuses for good becomes a dead letter. "
            "The step's key makes the `Message-ID`: a repeated attempt sends nothing again."
        ),
        inputs_schema={
            "type": "object",
            "additionalProperties": False,
            "required": ["connection", "to", "subject", "text"],
            "properties": {
                "connection": {"type": "string", "description": "The name of an `smtp` connection."},
                "to": {
                    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
                    "description": f"An address, or a list of at most {MOST_RECIPIENTS}.",
                },
                "subject": {
                    "type": "string",
                    "minLength": 1,
                    "description": f"One line; {LONGEST_SUBJECT} characters are kept.",
                },
                "text": {"type": "string", "minLength": 1, "description": "Plain text."},
            },
        },
        effect=Effect.IRREVERSIBLE,
        idempotent=True,
        may_be_idempotent=True,
        static_inputs=frozenset({"connection"}),
        connection_kind=NAME,
        outputs={
            "messages": "The ids of the messages in the outbox (list).",
            "message_id": "The `Message-ID`.",
        },
    )

    def read(self, rendered: Mapping[str, Json]) -> EmailInputs:
        """Plain addresses, one line, and a text."""
        reader = Reader(rendered)
        given = reader.raw("to")
        to = tuple(dict.fromkeys(map(str, given if isinstance(given, list) else [given])))
        subject, text = " ".join(reader.text("subject").split()), reader.text("text")
        if not 1 <= len(to) <= MOST_RECIPIENTS:
            raise InvalidInputs(f"`to` must name 1 to {MOST_RECIPIENTS} addresses.")
        for address in to:
            if not is_address(address):
                raise InvalidInputs(
                    f"`to` has {address[:100]!r}, which is not a plain address like ada@example.com."
                )
        if not subject or not text.strip():
            raise InvalidInputs("`subject` and `text` must say something.")
        if len(text) > LONGEST_TEXT:
            raise InvalidInputs(f"`text` is longer than {LONGEST_TEXT:,} characters.")
        inputs = EmailInputs(reader.text("connection"), to, subject[:LONGEST_SUBJECT], text)
        reader.done()
        return inputs

    def preview(self, inputs: EmailInputs, context: ActionContext) -> str:
        """Who would read what."""
        words = f"E-mail {', '.join(inputs.to)}: {inputs.subject}"
        try:
            _connection(inputs, context)
        except (NotFound, OutgoingError) as error:
            return f"{words} would be refused: {error.message}"
        return words

    def target(self, inputs: EmailInputs) -> str:
        """The connection."""
        return inputs.connection

    def execute(self, inputs: EmailInputs, context: ActionContext) -> Outcome:
        """Put the messages into the outbox once, whatever the attempt."""
        try:
            connection = _connection(inputs, context)
        except NotFound as error:
            return Failure("connection_not_found", error.message)
        except OutgoingError as error:
            return failure_of(error)
        if context.cancelled():
            return Failure("cancelled", "The run was stopped before the messages were handed over.")
        digest = hashlib.sha256(context.idempotency_key.encode()).hexdigest()[:32]
        domain = str(connection.options["from"]).rpartition("@")[2]
        message_id = f"<{digest}@{domain}>"
        payload = {
            "connection": inputs.connection,
            "to": ", ".join(inputs.to),
            "subject": context.redactor.text(inputs.subject),
            "text": context.redactor.text(inputs.text),
            "date": format_datetime(now()),
            "message_id": message_id,
        }
        with transaction.atomic():
            messages = [_handed_over(address, payload, digest, context) for address in inputs.to]
        context.log("log", f"Handed to the outbox for {', '.join(inputs.to)}.")
        return Success({"messages": [str(message.pk) for message in messages], "message_id": message_id})


def _connection(inputs: EmailInputs, context: ActionContext) -> Connection:
    """The connection, if it allows all recipients. Raises NotFound and OutgoingError."""
    connection = connections.get(context.project, inputs.connection)
    require_kind(connection, NAME)
    refused = [address for address in inputs.to if not may_receive(connection, address)]
    if refused:
        raise NotAllowed(f"The connection {connection.name} does not allow mail to {', '.join(refused)}.")
    return connection


def _handed_over(address: str, payload: dict[str, str], digest: str, context: ActionContext) -> OutboxMessage:
    """The message to one recipient: the one that is there already, or a new one."""
    key = f"email:{digest}:{hashlib.sha256(address.lower().encode()).hexdigest()[:32]}"
    return OutboxMessage.objects.filter(dedupe_key=key).first() or enqueue(
        CHANNEL,
        "send",
        key,
        {**payload, "recipient": address},
        project=context.project,
        destination=payload["connection"],
    )
