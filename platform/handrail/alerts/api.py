"""Sources, deliveries and alerts over REST."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, cast

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from handrail.accounts.api.projects import project_named
from handrail.accounts.api.shapes import ProjectFilter
from handrail.accounts.models import User
from handrail.alerts import actions
from handrail.alerts.models import Alert, Delivery, Source
from handrail.alerts.queries import alerts_visible_to, deliveries_visible_to, sources_visible_to
from handrail.shared.actors import Actor
from handrail.shared.errors import NotFound
from handrail.shared.links import alert_url
from handrail.shared.rest.fields import Body, Choice, Query, Text
from handrail.shared.rest.schema import PAGING
from handrail.shared.rest.views import Endpoint, one_of


class AlertFilters(ProjectFilter):
    """The filters of the list."""

    open = serializers.BooleanField(
        required=False, help_text="Only those that fire, or only those that ended."
    )
    source = cast("Any", serializers.UUIDField(required=False))
    service = serializers.CharField(required=False, help_text="The slug of a service.")


class DeliveryFilters(Query):
    """The filters of the list."""

    source = cast("Any", serializers.UUIDField(required=False))
    verdict = Choice(Delivery.Verdict.choices, required=False)


class AlertShape(serializers.ModelSerializer[Alert]):
    """One episode of an alert. ``decisions`` say what Handrail made of it, and why."""

    project = serializers.CharField(source="project.slug", read_only=True)
    source_name = serializers.CharField(source="source.name", read_only=True)
    service = serializers.CharField(source="service.slug", read_only=True, allow_null=True)
    environment = serializers.CharField(source="environment.slug", read_only=True, allow_null=True)
    labels = serializers.DictField(read_only=True)
    annotations = serializers.DictField(read_only=True)
    links = serializers.JSONField(read_only=True)
    decisions = serializers.JSONField(read_only=True)
    url = serializers.SerializerMethodField(help_text="Its page.")

    class Meta:
        model = Alert
        fields = (
            "id", "project", "source", "source_name", "fingerprint", "is_open", "status", "severity",
            "severity_word", "title", "description", "labels", "annotations", "links", "value", "service",
            "environment", "started_at", "ended_at", "first_seen_at", "last_seen_at", "seen_count", "decisions",
            "url",
        )  # fmt: skip
        read_only_fields = fields

    def get_url(self, row: Alert) -> str:
        """The alert's page."""
        return alert_url(row.pk)


class DeliveryShape(serializers.ModelSerializer[Delivery]):
    """One request of a source, without its body and headers: those may hold what nobody should copy."""

    source_name = serializers.CharField(source="source.name", read_only=True)
    explanation = serializers.JSONField(read_only=True)

    class Meta:
        model = Delivery
        fields = (
            "id", "source", "source_name", "received_at", "last_seen_at", "seen_count", "body_sha256", "trust",
            "verdict", "error", "explanation", "attempts", "body_removed_at",
        )  # fmt: skip
        read_only_fields = fields


class SourceShape(serializers.ModelSerializer[Source]):
    """A source of alerts. Its key is not kept, and so never shown again."""

    project = serializers.CharField(source="project.slug", read_only=True)
    run_as = serializers.CharField(source="run_as.username", read_only=True)
    settings = serializers.DictField(read_only=True)

    class Meta:
        model = Source
        fields = (
            "id", "project", "kind", "name", "enabled", "run_as", "settings", "secret_reference",
            "previous_key_expires_at", "created_at", "updated_at",
        )  # fmt: skip
        read_only_fields = fields


class KeyShape(serializers.Serializer[Any]):
    """A source with its new key, which is shown this once."""

    source = cast("Any", SourceShape())
    key = serializers.CharField()
    url = serializers.CharField(help_text="The address that the sender is given. It holds the key.")


class SourceChangesBody(Body):
    """What changes; the rest stays."""

    settings = serializers.DictField(required=False, help_text="mapping, incident_key, username.")
    secret_reference = Text(
        max_length=300, required=False, allow_blank=True, help_text="Such as local:token."
    )


class SourceBody(SourceChangesBody):
    """A new source."""

    project = Text(max_length=63, help_text="The slug of the project.")
    kind = Text(max_length=30, help_text="Such as alertmanager, generic or webhook.")
    name = Text(max_length=100)
    run_as = Text(max_length=100, help_text="A service account of the project, with the role responder.")


class Alerts(Endpoint):
    """Alerts."""

    @extend_schema(
        operation_id="list_alerts", parameters=[AlertFilters, *PAGING], responses=AlertShape(many=True)
    )
    def get(self, request: Request) -> Response:
        """The alert episodes of the projects that you see, newest first."""
        filters = self.filters(AlertFilters)
        columns = {"open": "is_open", "project": "project__slug", "service": "service__slug"}
        rows = alerts_visible_to(self.actor)
        if (source_id := filters.pop("source", None)) is not None:
            rows = rows.filter(source=one_of(sources_visible_to(self.actor), "source", pk=source_id))
        rows = rows.filter(**{columns[name]: value for name, value in filters.items()})
        return self.page(rows, AlertShape)


class OneAlert(Endpoint):
    """One alert."""

    @extend_schema(operation_id="get_alert", responses=AlertShape)
    def get(self, request: Request, alert_id: uuid.UUID) -> Response:
        """One alert episode."""
        alert = alerts_visible_to(self.actor).filter(pk=alert_id).first()
        if alert is None:
            raise NotFound("There is no such alert, or you may not see it.")
        return Response(AlertShape(alert).data)


class Deliveries(Endpoint):
    """Deliveries."""

    @extend_schema(
        operation_id="list_deliveries",
        parameters=[DeliveryFilters, *PAGING],
        responses=DeliveryShape(many=True),
    )
    def get(self, request: Request) -> Response:
        """The deliveries of the projects where you hold `operate`, newest first; `verdict=dead` need you."""
        filters = self.filters(DeliveryFilters)
        rows = deliveries_visible_to(self.actor)
        if (source_id := filters.pop("source", None)) is not None:
            rows = rows.filter(source=one_of(sources_visible_to(self.actor), "source", pk=source_id))
        return self.page(rows.filter(**filters), DeliveryShape)


class RetryDelivery(Endpoint):
    """A dead letter."""

    @extend_schema(operation_id="retry_delivery", request=None, responses=DeliveryShape)
    def post(self, request: Request, delivery_id: uuid.UUID) -> Response:
        """Read a dead letter again, after its source's settings were mended. Needs `operate`."""
        delivery = deliveries_visible_to(self.actor).filter(pk=delivery_id).first()
        if delivery is None:
            raise NotFound("There is no such delivery, or you may not see it.")
        return Response(DeliveryShape(actions.retry_delivery(delivery, actor=self.actor)).data)


class Sources(Endpoint):
    """Sources."""

    @extend_schema(
        operation_id="list_sources", parameters=[ProjectFilter, *PAGING], responses=SourceShape(many=True)
    )
    def get(self, request: Request) -> Response:
        """The sources of the projects that you see."""
        where = self.where(ProjectFilter, project="project__slug")
        return self.page(sources_visible_to(self.actor).filter(**where), SourceShape)

    @extend_schema(operation_id="create_source", request=SourceBody, responses={201: KeyShape})
    def post(self, request: Request) -> Response:
        """A new source; its key is in this answer and nowhere else. Needs `operate`."""
        given = self.body(SourceBody)
        project = project_named(self.actor, given.pop("project"))
        accounts = User.objects.filter(project=project, kind=User.Kind.SERVICE)
        run_as = one_of(accounts, "service account", field="run_as", username=given.pop("run_as"))
        kind, name = given.pop("kind"), given.pop("name")
        made = actions.create_source(project, kind, name, run_as=run_as, actor=self.actor, **given)
        return Response(KeyShape(made).data, status=201)


class OneSource(Endpoint):
    """One source."""

    @extend_schema(operation_id="get_source", responses=SourceShape)
    def get(self, request: Request, source_id: uuid.UUID) -> Response:
        """One source."""
        return Response(SourceShape(_source(self.actor, source_id)).data)

    @extend_schema(operation_id="update_source", request=SourceChangesBody, responses=SourceShape)
    def patch(self, request: Request, source_id: uuid.UUID) -> Response:
        """Change the settings or the reference of the secret. Needs `operate`."""
        found = _source(self.actor, source_id)
        given = self.body(SourceChangesBody)
        changes = actions.Choices()
        if "settings" in given:
            changes["settings"] = given["settings"]
        if "secret_reference" in given:
            changes["secret_reference"] = given["secret_reference"]
        return Response(SourceShape(actions.update_source(found, actor=self.actor, **changes)).data)


class RotateKey(Endpoint):
    """The key of a source."""

    @extend_schema(operation_id="rotate_source_key", request=None, responses={201: KeyShape})
    def post(self, request: Request, source_id: uuid.UUID) -> Response:
        """A new key, in this answer and nowhere else; the old one works for one more day. Needs `operate`."""
        made = actions.rotate_key(_source(self.actor, source_id), actor=self.actor)
        return Response(KeyShape(made).data, status=201)


def _switch(name: str, words: str, act: Callable[..., Source]) -> Callable[..., Any]:
    class Switch(Endpoint):
        @extend_schema(
            operation_id=f"{name}_source", description=f"{words} Needs `operate`.", request=None,
            responses=SourceShape,
        )  # fmt: skip
        def post(self, request: Request, source_id: uuid.UUID) -> Response:
            return Response(SourceShape(act(_source(self.actor, source_id), actor=self.actor)).data)

    return Switch.as_view()


SWITCHES: dict[str, Callable[..., Any]] = {
    "disable": _switch("disable", "Refuse every delivery of the source.", actions.disable_source),
    "enable": _switch("enable", "Take deliveries of the source again.", actions.enable_source),
    "end-overlap": _switch("end_overlap_of", "End the old key at once.", actions.end_overlap),
}
"""Last part of the address -> its view."""


def _source(actor: Actor, source_id: uuid.UUID) -> Source:
    source = sources_visible_to(actor).filter(pk=source_id).first()
    if source is None:
        raise NotFound("There is no such source, or you may not see it.")
    return source
