"""Circuit breakers over REST: listed, read, closed, kept open."""

from __future__ import annotations

import uuid

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from handrail.shared.rest.fields import Body, Choice, Query, Text
from handrail.shared.rest.schema import PAGING
from handrail.shared.rest.views import Endpoint
from runbooks import circuits
from runbooks.models import Circuit


class CircuitFilters(Query):
    """The filters of the list."""

    project = serializers.CharField(required=False, help_text="The slug of a project.")
    state = Choice(Circuit.State.choices, required=False)


class CircuitShape(serializers.ModelSerializer[Circuit]):
    """The circuit breaker of a target. ``try_at``: when the next step may see whether the target is well."""

    project = serializers.CharField(source="project.slug", read_only=True)

    class Meta:
        model = Circuit
        fields = (
            "id", "project", "key", "state", "kept", "reason", "by", "openings", "opened_at", "try_at", "updated_at",
        )  # fmt: skip
        read_only_fields = fields


class CircuitReason(Body):
    """Why."""

    reason = Text(
        max_length=circuits.LONGEST_REASON, help_text="What the audit trail and whoever waits will read."
    )


_COLUMNS = {"project": "project__slug", "state": "state"}


class Circuits(Endpoint):
    """Circuit breakers."""

    @extend_schema(
        operation_id="list_circuits", parameters=[CircuitFilters, *PAGING], responses=CircuitShape(many=True)
    )
    def get(self, request: Request) -> Response:
        """The circuits that you may see, newest first; a target that never failed has none."""
        filters = {_COLUMNS[name]: value for name, value in self.filters(CircuitFilters).items()}
        return self.page(circuits.circuits_visible_to(self.actor).filter(**filters), CircuitShape)


class OneCircuit(Endpoint):
    """One circuit breaker."""

    @extend_schema(operation_id="get_circuit", responses=CircuitShape)
    def get(self, request: Request, circuit_id: uuid.UUID) -> Response:
        """One circuit."""
        return Response(CircuitShape(circuits.circuit_visible_to(self.actor, circuit_id)).data)


class CloseCircuit(Endpoint):
    """Closing a circuit."""

    @extend_schema(operation_id="close_circuit", request=CircuitReason, responses=CircuitShape)
    def post(self, request: Request, circuit_id: uuid.UUID) -> Response:
        """Close it now: every step passes again, and those that wait are woken. Needs `operate`."""
        circuits.circuit_visible_to(self.actor, circuit_id)
        row = circuits.close_now(circuit_id, actor=self.actor, **self.body(CircuitReason))
        return Response(CircuitShape(row).data)


class KeepCircuitOpen(Endpoint):
    """Keeping a circuit open."""

    @extend_schema(operation_id="keep_circuit_open", request=CircuitReason, responses=CircuitShape)
    def post(self, request: Request, circuit_id: uuid.UUID) -> Response:
        """Keep it open until somebody closes it: no step passes, not even one to see. Needs `operate`."""
        circuits.circuit_visible_to(self.actor, circuit_id)
        row = circuits.keep_open(circuit_id, actor=self.actor, **self.body(CircuitReason))
        return Response(CircuitShape(row).data)
