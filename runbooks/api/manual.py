"""Manual steps over REST: those that wait for people. How one is answered: `runs`."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from handrail.shared.links import step_url
from handrail.shared.rest.fields import Query
from handrail.shared.rest.schema import PAGING
from handrail.shared.rest.views import Endpoint
from runbooks.engine.state import key_of
from runbooks.language.definition import InputSpec
from runbooks.models import StepRun
from runbooks.queries.manual import AskedOfPeople, asked_of_people, manual_steps_visible_to


class ManualStepFilters(Query):
    """The filters of the list."""

    project = serializers.CharField(required=False, help_text="The slug of a project.")
    incident = serializers.UUIDField(required=False)
    run = serializers.UUIDField(required=False)


class AskedInputShape(serializers.Serializer[InputSpec]):
    """A typed input that a step asks for; what does not limit it is null or empty."""

    name = serializers.CharField()
    type = serializers.CharField(
        help_text="string, integer, number, boolean, enum, duration, object or array."
    )
    description = serializers.CharField()
    required = serializers.BooleanField()  # type: ignore[assignment]  # a field's own attribute, which DRF takes out
    default = serializers.JSONField(allow_null=True)
    pattern = serializers.CharField(allow_null=True)
    values = serializers.ListField(child=serializers.CharField(), help_text="What an enum may be.")
    min = serializers.FloatField(allow_null=True)
    max = serializers.FloatField(allow_null=True)
    max_length = serializers.IntegerField(allow_null=True)
    secret = serializers.BooleanField()


class ManualStepShape(serializers.ModelSerializer[StepRun]):
    """A step that a person does and confirms. ``key`` is its name for people, such as ``cable`` or ``cable[3]``."""

    key = serializers.SerializerMethodField()
    project = serializers.CharField(source="run.project.slug", read_only=True)
    run = serializers.UUIDField(source="run_id", read_only=True)
    runbook = serializers.CharField(source="run.runbook.slug", read_only=True)
    incident = serializers.UUIDField(source="run.incident_id", read_only=True, allow_null=True)
    prompt = serializers.SerializerMethodField(help_text="What is to be done.")
    inputs = serializers.SerializerMethodField(help_text="What to tell when it is done.")
    teams = serializers.SerializerMethodField(help_text="Whose members may answer; see `users`.")
    users = serializers.SerializerMethodField(
        help_text="Who may answer; without any and without teams: responders."
    )
    may_answer = serializers.SerializerMethodField()
    why_not = serializers.SerializerMethodField()
    url = serializers.SerializerMethodField(help_text="Its page.")

    class Meta:
        model = StepRun
        fields: tuple[str, ...] = (
            "id", "key", "title", "project", "run", "runbook", "incident", "prompt", "inputs", "teams", "users",
            "may_answer", "why_not", "created_at", "due_at", "url",
        )  # fmt: skip
        read_only_fields: tuple[str, ...] = fields

    def _asked(self, row: StepRun) -> AskedOfPeople:
        asked: Mapping[uuid.UUID, AskedOfPeople] = self.context["asked"]
        return asked[row.pk]

    def get_key(self, row: StepRun) -> str:
        """The step as people name it."""
        return key_of(row.node, row.iteration)

    def get_prompt(self, row: StepRun) -> str:
        """The words of the step."""
        return str((row.inputs or {}).get("prompt", ""))

    @extend_schema_field(AskedInputShape(many=True))
    def get_inputs(self, row: StepRun) -> Any:
        """The typed inputs."""
        asked: Any = self._asked(row).inputs
        return AskedInputShape(asked, many=True).data

    def get_teams(self, row: StepRun) -> list[str]:
        """Slugs of teams of the project."""
        return list(self._asked(row).teams)

    def get_users(self, row: StepRun) -> list[str]:
        """Usernames."""
        return list(self._asked(row).users)

    def get_may_answer(self, row: StepRun) -> bool:
        """Whether you may."""
        return self._asked(row).verdict.allowed

    def get_why_not(self, row: StepRun) -> str:
        """Why you may not; empty if you may."""
        return self._asked(row).verdict.why

    def get_url(self, row: StepRun) -> str:
        """The page of the run with this step chosen."""
        return step_url(row.run_id, row.pk)


class ManualSteps(Endpoint):
    """Manual steps."""

    @extend_schema(
        operation_id="list_manual_steps",
        parameters=[ManualStepFilters, *PAGING],
        responses=ManualStepShape(many=True),
    )
    def get(self, request: Request) -> Response:
        """The steps that wait for a person, with what they ask for and whether you may answer; oldest first."""
        where = self.where(
            ManualStepFilters, project="run__project__slug", incident="run__incident", run="run"
        )
        return self.page(
            manual_steps_visible_to(self.actor).filter(**where),
            ManualStepShape,
            by="id",
            context=self._context,
        )

    def _context(self, rows: list[StepRun]) -> dict[str, Any]:
        return {"asked": asked_of_people(rows, self.actor)}
