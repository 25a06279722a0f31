"""Secrets over REST: names come out, values only go in."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from handrail.accounts.api.projects import project_of
from handrail.accounts.permissions import Permission, authorize
from handrail.shared.rest.bodies import refuse_unstorable
from handrail.shared.rest.fields import Body, NoFilters, Text
from handrail.shared.rest.schema import PAGING
from handrail.shared.rest.views import Endpoint
from handrail.vault import actions
from handrail.vault.models import Secret


class SecretShape(serializers.ModelSerializer[Secret]):
    """A secret's name; nothing tells its value."""

    reference = serializers.CharField(source="__str__", read_only=True, help_text="What connections name.")

    class Meta:
        model = Secret
        fields = ("name", "reference", "created_at", "updated_at")
        read_only_fields = fields


class SecretBody(Body):
    """The value, kept encrypted and never shown again."""

    value = Text(max_length=actions.LONGEST, trim_whitespace=False, write_only=True)


class Secrets(Endpoint):
    """The local secrets of a project."""

    @extend_schema(operation_id="list_secrets", parameters=PAGING, responses=SecretShape(many=True))
    def get(self, request: Request, project: str) -> Response:
        """The names of the project's secrets. Needs `operate`."""
        self.filters(NoFilters)
        found = project_of(self.actor, project)
        authorize(self.actor, Permission.OPERATE, found)
        return self.page(Secret.objects.filter(project=found), SecretShape)


class OneSecret(Endpoint):
    """One secret of a project."""

    @extend_schema(operation_id="set_secret", request=SecretBody, responses=SecretShape)
    def put(self, request: Request, project: str, name: str) -> Response:
        """Set or replace the secret. Needs `operate`."""
        found = project_of(self.actor, project)
        value = self.body(SecretBody)["value"]
        return Response(SecretShape(actions.set_secret(found, name, value, actor=self.actor)).data)

    @extend_schema(operation_id="delete_secret", request=None, responses={204: None})
    def delete(self, request: Request, project: str, name: str) -> Response:
        """Delete the secret: connections that name it fail from now on. Needs `operate`."""
        refuse_unstorable(name)
        actions.delete_secret(project_of(self.actor, project), name, actor=self.actor)
        return Response(status=204)
