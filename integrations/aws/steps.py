"""``aws.lambda.invoke``, and ``aws.call`` for any single operation of a service."""

from __future__ import annotations

import base64
import json
import re
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from handrail.catalog.outgoing.errors import OutgoingError
from handrail.catalog.outgoing.transport import Dialer
from handrail.shared.errors import NotFound
from integrations.aws.client import allowed_connection, call
from integrations.aws.errors import READS, Refused
from integrations.aws.kind import NAME
from runbooks.language.actions import ActionSpec
from runbooks.language.definition import Effect, Json, Template
from runbooks.steps.base import Action, ActionContext, Failure, InvalidInputs, Outcome, Success, without
from runbooks.steps.http import failure_of
from runbooks.steps.inputs import Reader

LARGEST_OUTPUT = 256 * 1024
LONGEST_KEPT = 16 * 1024
LARGEST_PAYLOAD = 1024 * 1024
INVOKE = "Invoke"
_FUNCTION = re.compile(r"[A-Za-z0-9:_/-]{1,170}\Z")
_QUALIFIER = re.compile(r"(?:[A-Za-z0-9_-]{1,128}|\$LATEST)\Z")
_OPERATION = re.compile(r"[A-Z][A-Za-z0-9]{0,99}\Z")
_CONNECTION: dict[str, Json] = {"type": "string", "description": "The name of an `aws` connection."}
_LIBRARY = without("botocore", "aws")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallInputs:
    """An operation and its parameters."""

    connection: str
    operation: str
    parameters: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class InvokeInputs(CallInputs):
    """A function and what it is given."""

    function: str
    payload: Json = None
    qualifier: str = ""
    invocation: str = "RequestResponse"


InputsT = TypeVar("InputsT", bound=CallInputs)


class AwsAction(Action[InputsT]):
    """A call of AWS: asked of the connection first, its refusals told in codes."""

    def __init__(self, dialer: Dialer | None = None) -> None:
        """``dialer``: another resolver, in tests."""
        self._dialer = dialer

    @abstractmethod
    def summary(self, inputs: InputsT) -> str:
        """What would be done, in words."""

    @abstractmethod
    def parameters(self, inputs: InputsT, context: ActionContext) -> Mapping[str, object]:
        """The operation's parameters."""

    @abstractmethod
    def outcome(self, inputs: InputsT, answer: dict[str, Json], context: ActionContext) -> Outcome:
        """What the answer means."""

    def preview(self, inputs: InputsT, context: ActionContext) -> str:
        """The words, and whether the connection would refuse it."""
        words = f"{self.summary(inputs)} through {inputs.connection}"
        try:
            allowed_connection(context, inputs.connection, inputs.operation)
        except (NotFound, OutgoingError) as error:
            return f"{words} would be refused: {error.message}"
        return words

    def target(self, inputs: InputsT) -> str:
        """The connection."""
        return inputs.connection

    def execute(self, inputs: InputsT, context: ActionContext) -> Outcome:
        """One request."""
        try:
            connection = allowed_connection(context, inputs.connection, inputs.operation)
            given = self.parameters(inputs, context)
            answer = call(connection, inputs.operation, given, context, self._dialer)
        except NotFound as error:
            return Failure("connection_not_found", error.message)
        except OutgoingError as error:
            failure = failure_of(error)
            return replace(failure, uncertain=failure.uncertain and not READS.match(inputs.operation))
        except Refused as refusal:
            return refusal.failure
        if len(json.dumps(answer)) > LARGEST_OUTPUT:
            if READS.match(inputs.operation):
                words = f"The answer is larger than {LARGEST_OUTPUT} bytes: ask for less, such as one page."
                return Failure("response_too_large", words)
            context.log("log", "It was done; its answer is too large and was cut.")
            answer = {name: _cut(value) for name, value in answer.items()}
        return self.outcome(inputs, answer, context)


def _cut(value: Json) -> Json:
    """What is kept of a part of an answer that is too large as a whole."""
    if isinstance(value, str):
        return value[:LONGEST_KEPT]
    return value if len(json.dumps(value)) <= LONGEST_KEPT else None


def _call_effect(with_: Mapping[str, Template]) -> tuple[Effect, bool]:
    """AWS names its reading operations so; any other, or one that is only known later, may change something."""
    operation = with_.get("operation")
    if isinstance(operation, str) and READS.match(operation):
        return Effect.READ, True
    return Effect.IRREVERSIBLE, False


class AwsCall(AwsAction[CallInputs]):
    """Calls one operation of a service."""

    spec = ActionSpec(
        name="aws.call",
        title="Call an operation of AWS",
        description=(
            "Calls one operation of the connection's service, by its name in the API's reference, such as "
            "`UpdateService`. `Get...`, `List...`, `Describe...` and the like are reads; all else is irreversible. "
            "Where the service takes a token of idempotency, give it one and say `idempotent: true`. "
            "What an operation answers becomes an output, so do not allow operations that answer with secrets."
        ),
        inputs_schema={
            "type": "object",
            "additionalProperties": False,
            "required": ["connection", "operation"],
            "properties": {
                "connection": _CONNECTION,
                "operation": {"type": "string", "description": "Such as `DescribeServices`."},
                "parameters": {"type": "object", "description": "As in the API's reference."},
            },
        },
        effect=Effect.IRREVERSIBLE,
        may_be_idempotent=True,
        static_inputs=frozenset({"connection", "operation"}),
        connection_kind=NAME,
        outputs={"answer": "What the operation answered (mapping); times are texts, bytes texts or base64."},
        effect_of=_call_effect,
        unavailable=_LIBRARY,
    )

    def read(self, rendered: Mapping[str, Json]) -> CallInputs:
        """An operation's name, as AWS writes it."""
        reader = Reader(rendered)
        operation = reader.text("operation")
        if not _OPERATION.match(operation):
            raise InvalidInputs("`operation` must be a name of AWS's API, such as DescribeServices.")
        inputs = CallInputs(
            connection=reader.text("connection"),
            operation=operation,
            parameters=reader.mapping("parameters"),
        )
        reader.done()
        return inputs

    def summary(self, inputs: CallInputs) -> str:
        """The operation and the beginning of its parameters."""
        return f"{inputs.operation} {json.dumps(inputs.parameters, ensure_ascii=False)[:300]}"

    def parameters(self, inputs: CallInputs, context: ActionContext) -> Mapping[str, object]:
        """As the runbook gives them."""
        return inputs.parameters

    def outcome(self, inputs: CallInputs, answer: dict[str, Json], context: ActionContext) -> Outcome:
        """Any answer that is no error is success."""
        return Success({"answer": answer})


def _invoke_effect(with_: Mapping[str, Template]) -> tuple[Effect, bool]:
    return (Effect.READ, True) if with_.get("invocation") == "DryRun" else (Effect.IRREVERSIBLE, False)


class LambdaInvoke(AwsAction[InvokeInputs]):
    """Invokes a function and waits for it, or hands it the event."""

    spec = ActionSpec(
        name="aws.lambda.invoke",
        title="Invoke a Lambda function",
        description=(
            "Invokes a function. `RequestResponse` waits for its answer, within the connection's and the step's "
            "timeouts; `Event` hands the payload over; `DryRun` only asks whether it may be invoked. A function that "
            "ends with an error is a failure, `function_error`. With `RequestResponse` the step's key is in the client "
            "context, at `custom.idempotency_key`: a function that honours it may be called in a step with "
            "`idempotent: true`. Lambda does not hand it on with an `Event`: put a key of your own into the payload."
        ),
        inputs_schema={
            "type": "object",
            "additionalProperties": False,
            "required": ["connection", "function"],
            "properties": {
                "connection": _CONNECTION,
                "function": {"type": "string", "description": "Its name or ARN."},
                "payload": {"description": "What it is given, as JSON."},
                "qualifier": {"type": "string", "description": "A version or an alias."},
                "invocation": {
                    "enum": ["RequestResponse", "Event", "DryRun"],
                    "default": "RequestResponse",
                    "description": "How it is invoked.",
                },
            },
        },
        effect=Effect.IRREVERSIBLE,
        may_be_idempotent=True,
        static_inputs=frozenset({"connection"}),
        connection_kind=NAME,
        outputs={
            "status": "Lambda's status: 200, 202 for `Event`, 204 for `DryRun` (integer).",
            "payload": "What the function answered: JSON, or else text.",
            "version": "The version that was executed.",
        },
        effect_of=_invoke_effect,
        unavailable=_LIBRARY,
    )

    def read(self, rendered: Mapping[str, Json]) -> InvokeInputs:
        """A function's name and a payload."""
        reader = Reader(rendered)
        function, qualifier = reader.text("function"), reader.text("qualifier", "")
        invocation = reader.text("invocation", "RequestResponse")
        if not _FUNCTION.match(function):
            raise InvalidInputs("`function` must be the name or the ARN of a function.")
        if qualifier and not _QUALIFIER.match(qualifier):
            raise InvalidInputs("`qualifier` must be a version or an alias.")
        if invocation not in {"RequestResponse", "Event", "DryRun"}:
            raise InvalidInputs("`invocation` must be RequestResponse, Event or DryRun.")
        inputs = InvokeInputs(
            connection=reader.text("connection"),
            operation=INVOKE,
            function=function,
            payload=reader.raw("payload"),
            qualifier=qualifier,
            invocation=invocation,
        )
        reader.done()
        if len(json.dumps(inputs.payload)) > LARGEST_PAYLOAD:
            raise InvalidInputs(f"`payload` is larger than {LARGEST_PAYLOAD} bytes.")
        return inputs

    def summary(self, inputs: InvokeInputs) -> str:
        """The function and the beginning of its payload."""
        which = inputs.function + (f":{inputs.qualifier}" if inputs.qualifier else "")
        return f"Invoke {which} ({inputs.invocation}) {json.dumps(inputs.payload, ensure_ascii=False)[:300]}"

    def parameters(self, inputs: InvokeInputs, context: ActionContext) -> Mapping[str, object]:
        """The payload, and the step's key for a function that honours it."""
        known = {"custom": {"idempotency_key": context.idempotency_key}}
        given: dict[str, object] = {
            "FunctionName": inputs.function,
            "InvocationType": inputs.invocation,
            "ClientContext": base64.b64encode(json.dumps(known).encode()).decode(),
            "Payload": json.dumps(inputs.payload, allow_nan=False).encode(),
        }
        return given | ({"Qualifier": inputs.qualifier} if inputs.qualifier else {})

    def outcome(self, inputs: InvokeInputs, answer: dict[str, Json], context: ActionContext) -> Outcome:
        """What the function said, or its error."""
        text = str(answer.get("Payload") or "")
        try:
            payload: Json = json.loads(text) if text else None
        except ValueError:
            payload = text
        outputs: dict[str, Json] = {
            "status": answer.get("StatusCode"),
            "payload": payload,
            "version": answer.get("ExecutedVersion"),
        }
        if answer.get("FunctionError"):
            said = payload.get("errorMessage", "") if isinstance(payload, dict) else payload
            return Failure("function_error", f"The function failed: {str(said)[:500]}", outputs=outputs)
        return Success(outputs)
