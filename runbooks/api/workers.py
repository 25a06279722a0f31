"""Workers and runner pools over REST: read only."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from handrail.shared.rest.fields import NoFilters
from handrail.shared.rest.schema import PAGING
from handrail.shared.rest.views import Endpoint
from runbooks.models import Worker
from runbooks.queries.workers import PoolView, listed_workers, pool_views, worker_views


class WorkerShape(serializers.ModelSerializer[Worker]):
    """A process. ``state``: alive, draining (takes nothing new), silent (nobody knows), stopped (in order)."""

    state = serializers.SerializerMethodField()
    handrail_version = serializers.SerializerMethodField(help_text="Empty for one that does not say.")
    python_version = serializers.SerializerMethodField()
    engine_schemas = serializers.SerializerMethodField(help_text="The engine schemas that it understands.")
    in_hand = serializers.SerializerMethodField(help_text="How many steps it has in hand now.")
    pools = serializers.ListField(child=serializers.CharField(), read_only=True)

    class Meta:
        model = Worker
        fields = (
            "id", "kind", "host", "pid", "pools", "state", "handrail_version", "python_version", "engine_schemas",
            "in_hand", "started_at", "heartbeat_at", "draining_at", "stopped_at",
        )  # fmt: skip
        read_only_fields = fields

    def get_state(self, row: Worker) -> str:
        """In one word."""
        return str(self.context["views"][row.pk].state)

    def get_handrail_version(self, row: Worker) -> str:
        """Such as 0.1.0."""
        return str(self.context["views"][row.pk].version)

    def get_python_version(self, row: Worker) -> str:
        """Such as 3.11.7."""
        return str(self.context["views"][row.pk].python)

    def get_engine_schemas(self, row: Worker) -> list[int]:
        """Numbers."""
        return list(self.context["views"][row.pk].schemas)

    def get_in_hand(self, row: Worker) -> int:
        """A count."""
        return int(self.context["views"][row.pk].in_hand)


class PoolShape(serializers.Serializer[PoolView]):
    """A runner pool. ``words`` say what an operator should do; empty when all is well."""

    name = serializers.CharField()
    workers = serializers.IntegerField(help_text="Processes that take its steps.")
    draining = serializers.IntegerField(help_text="Processes that finish what they have.")
    ready = serializers.IntegerField(help_text="Steps that wait for a worker.")
    oldest_seconds = serializers.FloatField(help_text="How long the oldest of them has waited.")
    allow_shell = serializers.BooleanField()
    words = serializers.CharField()


class PoolsShape(serializers.Serializer[Any]):
    """All pools: there are never many."""

    results = PoolShape(many=True)


class Workers(Endpoint):
    """Workers."""

    @extend_schema(operation_id="list_workers", parameters=[*PAGING], responses=WorkerShape(many=True))
    def get(self, request: Request) -> Response:
        """The worker and sweeper processes that live, and those that were heard of within the last hour."""
        self.filters(NoFilters)

        def context(rows: list[Worker]) -> dict[str, Any]:
            return {"views": {view.row.pk: view for view in worker_views(rows, self.actor)}}

        return self.page(listed_workers(), WorkerShape, by="id", context=context)


class Pools(Endpoint):
    """Runner pools."""

    @extend_schema(operation_id="list_pools", responses=PoolsShape)
    def get(self, request: Request) -> Response:
        """Every pool that was added, that a worker serves or for which a step waits: counts alone, no content."""
        return Response(PoolsShape({"results": pool_views()}).data)
