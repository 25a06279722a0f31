"""Services, environments and connections over REST."""

from __future__ import annotations

import uuid
from typing import Any, cast

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from handrail.accounts.api.projects import project_named
from handrail.accounts.api.shapes import ProjectFilter
from handrail.accounts.models import Project
from handrail.catalog import actions
from handrail.catalog.models import Connection, Environment, Service
from handrail.catalog.queries import connections_visible_to, environments_visible_to, services_visible_to
from handrail.shared.actors import Actor
from handrail.shared.errors import NotFound
from handrail.shared.rest.fields import Body, Choice, Number, Text
from handrail.shared.rest.schema import PAGING
from handrail.shared.rest.views import Endpoint, one_of


class ServiceShape(serializers.ModelSerializer[Service]):
    """Something that people depend on; tier 1 is the most critical."""

    project = serializers.CharField(source="project.slug", read_only=True)

    class Meta:
        model = Service
        fields = ("id", "project", "slug", "name", "tier")
        read_only_fields = fields


class EnvironmentShape(serializers.ModelSerializer[Environment]):
    """Where services run."""

    project = serializers.CharField(source="project.slug", read_only=True)

    class Meta:
        model = Environment
        fields = ("id", "project", "slug", "name")
        read_only_fields = fields


class ConnectionShape(serializers.ModelSerializer[Connection]):
    """A named place that actions may reach. A secret is only ever a reference."""

    project = serializers.CharField(source="project.slug", read_only=True)
    environment = serializers.CharField(source="environment.slug", read_only=True, allow_null=True)
    allowed_methods = serializers.ListField(child=serializers.CharField(), read_only=True)
    allowed_paths = serializers.ListField(child=serializers.CharField(), read_only=True)
    allowed_networks = serializers.ListField(child=serializers.CharField(), read_only=True)
    options = serializers.DictField(read_only=True)

    class Meta:
        model = Connection
        fields = (
            "id", "project", "name", "description", "kind", "base_url", "environment", "authentication", "header_name",
            "secret_reference", "allowed_methods", "allowed_paths", "allowed_networks", "options", "timeout_seconds",
            "created_at", "updated_at",
        )  # fmt: skip
        read_only_fields = fields


class EnvironmentBody(Body):
    """A new environment."""

    project = Text(max_length=63, help_text="The slug of the project.")
    slug = Text(max_length=63)
    name = Text(max_length=200)


class ServiceBody(EnvironmentBody):
    """A new service."""

    tier = Number(default=3, min_value=1, max_value=5)


class Seconds(serializers.FloatField):
    """A JSON number."""

    def to_internal_value(self, data: Any) -> float:
        """Refuse what is not a number."""
        if not isinstance(data, int | float) or isinstance(data, bool):
            self.fail("invalid")
        return super().to_internal_value(data)


class ConnectionChangesBody(Body):
    """What changes; the rest stays."""

    description = Text(max_length=300, required=False, allow_blank=True)
    kind = Text(
        max_length=30, required=False, help_text="Such as http, ssh, kubernetes; `http` when left out."
    )
    base_url = Text(max_length=500, required=False)
    environment = Text(
        max_length=63, required=False, allow_null=True, help_text="The slug of an environment."
    )
    authentication = Choice(Connection.Authentication.choices, required=False)
    header_name = Text(max_length=60, required=False, allow_blank=True)
    secret_reference = Text(
        max_length=300, required=False, allow_blank=True, help_text="Such as local:token."
    )
    allowed_methods = serializers.ListField(child=Text(max_length=10), required=False, max_length=20)
    allowed_paths = serializers.ListField(child=Text(max_length=500), required=False, max_length=200)
    allowed_networks = serializers.ListField(child=Text(max_length=50), required=False, max_length=200)
    options = serializers.DictField(required=False, help_text="What the kind takes beyond the other fields.")
    timeout_seconds = Seconds(required=False, min_value=0.1, max_value=3600)


class ConnectionBody(ConnectionChangesBody):
    """A new connection."""

    project = Text(max_length=63, help_text="The slug of the project.")
    name = Text(max_length=63)
    base_url = Text(max_length=500)


class Services(Endpoint):
    """Services."""

    @extend_schema(
        operation_id="list_services", parameters=[ProjectFilter, *PAGING], responses=ServiceShape(many=True)
    )
    def get(self, request: Request) -> Response:
        """The services of the projects that you see."""
        where = self.where(ProjectFilter, project="project__slug")
        return self.page(services_visible_to(self.actor).filter(**where), ServiceShape)

    @extend_schema(operation_id="create_service", request=ServiceBody, responses={201: ServiceShape})
    def post(self, request: Request) -> Response:
        """A new service. Needs `operate`."""
        given = self.body(ServiceBody)
        project = project_named(self.actor, given.pop("project"))
        made = actions.create_service(project, given.pop("slug"), **given, actor=self.actor)
        return Response(ServiceShape(made).data, status=201)


class Environments(Endpoint):
    """Environments."""

    @extend_schema(
        operation_id="list_environments",
        parameters=[ProjectFilter, *PAGING],
        responses=EnvironmentShape(many=True),
    )
    def get(self, request: Request) -> Response:
        """The environments of the projects that you see."""
        where = self.where(ProjectFilter, project="project__slug")
        return self.page(environments_visible_to(self.actor).filter(**where), EnvironmentShape)

    @extend_schema(
        operation_id="create_environment", request=EnvironmentBody, responses={201: EnvironmentShape}
    )
    def post(self, request: Request) -> Response:
        """A new environment. Needs `operate`."""
        given = self.body(EnvironmentBody)
        project = project_named(self.actor, given.pop("project"))
        made = actions.create_environment(project, given.pop("slug"), **given, actor=self.actor)
        return Response(EnvironmentShape(made).data, status=201)


class Connections(Endpoint):
    """Connections."""

    @extend_schema(
        operation_id="list_connections",
        parameters=[ProjectFilter, *PAGING],
        responses=ConnectionShape(many=True),
    )
    def get(self, request: Request) -> Response:
        """The connections of the projects that you see."""
        where = self.where(ProjectFilter, project="project__slug")
        return self.page(connections_visible_to(self.actor).filter(**where), ConnectionShape)

    @extend_schema(operation_id="create_connection", request=ConnectionBody, responses={201: ConnectionShape})
    def post(self, request: Request) -> Response:
        """A new connection. Needs `operate`."""
        given = self.body(ConnectionBody)
        project = project_named(self.actor, given.pop("project"))
        fields = _fields(given, project, self.actor)
        made = actions.create_connection(project, given["name"], actor=self.actor, **fields)
        return Response(ConnectionShape(made).data, status=201)


class OneConnection(Endpoint):
    """One connection."""

    @extend_schema(operation_id="get_connection", responses=ConnectionShape)
    def get(self, request: Request, connection_id: uuid.UUID) -> Response:
        """One connection."""
        return Response(ConnectionShape(_connection(self.actor, connection_id)).data)

    @extend_schema(operation_id="update_connection", request=ConnectionChangesBody, responses=ConnectionShape)
    def patch(self, request: Request, connection_id: uuid.UUID) -> Response:
        """Change what is given. Needs `operate`."""
        found = _connection(self.actor, connection_id)
        fields = _fields(self.body(ConnectionChangesBody), found.project, self.actor)
        return Response(ConnectionShape(actions.update_connection(found, actor=self.actor, **fields)).data)

    @extend_schema(operation_id="delete_connection", request=None, responses={204: None})
    def delete(self, request: Request, connection_id: uuid.UUID) -> Response:
        """Forget the place: runbooks that name it fail from now on. Needs `operate`."""
        actions.delete_connection(_connection(self.actor, connection_id), actor=self.actor)
        return Response(status=204)


def _connection(actor: Actor, connection_id: uuid.UUID) -> Connection:
    connection = connections_visible_to(actor).filter(pk=connection_id).first()
    if connection is None:
        raise NotFound("There is no such connection, or you may not see it.")
    return connection


def _fields(given: dict[str, Any], project: Project, actor: Actor) -> actions.ConnectionFields:
    """The fields as the action takes them: the environment as a row of the same project."""
    fields = {name: value for name, value in given.items() if name not in ("project", "name")}
    if given.get("environment") is not None:
        rows = environments_visible_to(actor).filter(project=project)
        fields["environment"] = one_of(rows, "environment", slug=given["environment"])
    return cast("actions.ConnectionFields", fields)
