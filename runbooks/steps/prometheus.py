"""``prometheus.query``: one instant query, and its value where it has exactly one."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

from handrail.catalog import connections
from handrail.catalog.kinds import HTTP
from handrail.catalog.outgoing.calls import OutgoingRequest, Reply, call, check
from handrail.catalog.outgoing.errors import OutgoingError
from handrail.catalog.outgoing.transport import Dialer
from handrail.shared.errors import NotFound
from runbooks.language import encodings
from runbooks.language.actions import ActionSpec
from runbooks.language.definition import Effect, Json
from runbooks.steps.base import Action, ActionContext, Failure, InvalidInputs, Outcome, Success
from runbooks.steps.http import failure_of, json_of
from runbooks.steps.http_outcomes import failure_of_status
from runbooks.steps.inputs import Reader

MOST_SERIES = 100
LONGEST_QUERY = 4000

# https://prometheus.io/docs/prometheus/latest/querying/api/#format-overview
ERROR_CODES: dict[str, tuple[str, bool]] = {
    "bad_data": ("invalid_input", False),
    "execution": ("invalid_input", False),
    "not_found": ("not_found", False),
    "timeout": ("timeout", True),
    "canceled": ("timeout", True),
    "unavailable": ("server_error", True),
    "internal": ("server_error", True),
}
"""From Prometheus' ``errorType`` to (code, retryable)."""


@dataclass(frozen=True, slots=True)
class QueryInputs:
    """One query, and where."""

    query: str
    connection: str = "prometheus"


class PrometheusQuery(Action[QueryInputs]):
    """An instant query at the server's now (``GET /api/v1/query``)."""

    spec = ActionSpec(
        name="prometheus.query",
        title="Ask Prometheus",
        description=(
            "Evaluates a PromQL query now. A value written into the query with `${{ }}` must stand in quotes, "
            "where it is escaped, or be a name, a number or a duration."
        ),
        inputs_schema={
            "type": "object",
            "additionalProperties": False,
            "required": ["query"],
            "properties": {
                "query": {"type": "string", "description": "The PromQL query."},
                "connection": {
                    "type": "string",
                    "default": "prometheus",
                    "description": "The name of the connection to Prometheus.",
                },
            },
        },
        effect=Effect.READ,
        idempotent=True,
        may_be_idempotent=True,
        static_inputs=frozenset({"connection"}),
        connection_kind=HTTP,
        outputs={
            "value": "The value (number) if the result has exactly one, finite value; else null.",
            "result": f"The series as Prometheus gives them, at most {MOST_SERIES} (list).",
            "type": "`vector`, `scalar`, `matrix` or `string`.",
            "count": "How many series there are (integer).",
            "empty": "Whether there is none (boolean).",
            "warnings": "What Prometheus warned of (list of texts).",
        },
        encodings={"query": encodings.PROMQL},
    )

    def __init__(self, dialer: Dialer | None = None) -> None:
        """``dialer``: another resolver or other certificate authorities, in tests."""
        self._dialer = dialer

    def read(self, rendered: Mapping[str, Json]) -> QueryInputs:
        """The query must say something."""
        reader = Reader(rendered)
        query = reader.text("query").strip()
        if not query:
            raise InvalidInputs("`query` is empty.")
        if len(query) > LONGEST_QUERY:
            raise InvalidInputs(f"`query` is longer than {LONGEST_QUERY} characters.")
        inputs = QueryInputs(query=query, connection=reader.text("connection", "prometheus"))
        reader.done()
        return inputs

    def preview(self, inputs: QueryInputs, context: ActionContext) -> str:
        """The query, on one line, and whom it asks."""
        return f"Ask {inputs.connection}: {' '.join(inputs.query.split())}"

    def target(self, inputs: QueryInputs) -> str:
        """The connection."""
        return inputs.connection

    def execute(self, inputs: QueryInputs, context: ActionContext) -> Outcome:
        """Ask, and read the answer's one value."""
        request = OutgoingRequest(path="/api/v1/query", query={"query": inputs.query})
        try:
            connection = connections.get(context.project, inputs.connection)
            check(connection, request)
            deadline = min(context.deadline_monotonic, time.monotonic() + connection.timeout_seconds)
            reply = call(
                connection, request, deadline=deadline, learn=context.redactor.learn, dialer=self._dialer
            )
        except NotFound as error:
            return Failure("connection_not_found", error.message)
        except OutgoingError as error:
            return failure_of(error)
        outcome = outcome_of(reply)
        if isinstance(outcome, Success):
            context.log(
                "log", f"{inputs.query} -> {outcome.outputs['value']} ({outcome.outputs['count']} series)"
            )
        return outcome


def outcome_of(reply: Reply) -> Outcome:
    """The outcome that Prometheus' answer is; its own error type says more than the status."""
    body = json_of(reply)
    if isinstance(body, dict) and body.get("status") == "error":
        code, retryable = ERROR_CODES.get(str(body.get("errorType")), ("server_error", reply.status >= 500))
        return Failure(code, f"Prometheus says: {str(body.get('error', ''))[:500]}", retryable=retryable)
    if reply.status != 200:
        return failure_of_status(reply, writes=False, outputs={"status": reply.status})
    data = body.get("data") if isinstance(body, dict) and body.get("status") == "success" else None
    if not isinstance(body, dict) or not isinstance(data, dict):
        return Failure("bad_response", "The answer is not Prometheus': is the connection's address its own?")
    kind, result = data.get("resultType"), data.get("result")
    if kind not in {"vector", "scalar", "matrix", "string"} or not isinstance(result, list):
        return Failure("bad_response", "The answer is not of a kind that Prometheus documents.")
    series: list[Json] = result if kind in {"vector", "matrix"} else [result]
    warnings = body.get("warnings")
    return Success(
        {
            "value": _value(str(kind), series),
            "result": series[:MOST_SERIES],
            "type": kind,
            "count": len(series),
            "empty": not series,
            "warnings": [str(one) for one in warnings] if isinstance(warnings, list) else [],
        }
    )


def _value(kind: str, series: list[Json]) -> float | None:
    """The one finite number; JSON has no NaN, and no value of several series would be the right one."""
    if len(series) != 1:
        return None
    only = series[0]
    sample = only.get("value") if isinstance(only, dict) else only if kind == "scalar" else None
    if not (isinstance(sample, list) and len(sample) == 2):
        return None
    try:
        number = float(str(sample[1]))
    except ValueError:
        return None
    return number if math.isfinite(number) else None
