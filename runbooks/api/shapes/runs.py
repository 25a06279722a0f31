"""Runs in JSON, and what starts one."""

from __future__ import annotations

import uuid
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from handrail.shared.links import run_url
from handrail.shared.rest.fields import Body, Choice, Id, Number, Query, Text
from runbooks.api.shapes.steps import StepShape
from runbooks.models import Run


class RunFilters(Query):
    """The filters of the list."""

    project = serializers.CharField(required=False, help_text="The slug of a project.")
    incident = serializers.UUIDField(required=False)
    runbook = serializers.CharField(required=False, help_text="The slug of a runbook.")
    parent_run = serializers.UUIDField(required=False, help_text="The run whose steps started them.")
    state = Choice(Run.State.choices, required=False)


class RunShape(serializers.ModelSerializer[Run]):
    """A run. ``outcome`` says what it achieved, such as ``recovered``; ``error`` why it failed."""

    project = serializers.CharField(source="project.slug", read_only=True)
    runbook = serializers.CharField(source="runbook.slug", read_only=True)
    version = serializers.IntegerField(source="version.number", read_only=True, allow_null=True)
    incident = serializers.UUIDField(source="incident_id", read_only=True, allow_null=True)
    alert = serializers.UUIDField(source="alert_id", read_only=True, allow_null=True)
    parent_run = serializers.UUIDField(
        source="parent_step.run_id",
        read_only=True,
        allow_null=True,
        default=None,
        help_text="The run that started it.",
    )
    restart_of = serializers.UUIDField(
        source="restart_of_id",
        read_only=True,
        allow_null=True,
        help_text="The run that was restarted as this one.",
    )
    outcome = serializers.DictField(read_only=True)
    inputs = serializers.DictField(read_only=True)
    error = serializers.DictField(read_only=True, allow_null=True)
    starter = serializers.CharField(source="starter_name", read_only=True)
    removed = serializers.DictField(
        read_only=True,
        help_text='What retention has removed of it: `log`, `values`, each `{"at": time, "days": 90}`. '
        "`$artifact` in a value of such a run names nothing any more.",
    )
    summary = serializers.SerializerMethodField(help_text="The state in a sentence for people.")
    url = serializers.SerializerMethodField(help_text="Its page.")

    class Meta:
        model = Run
        fields: tuple[str, ...] = (
            "id", "project", "runbook", "version", "version_digest", "state", "summary", "mode", "inputs", "outcome",
            "error", "starter", "starter_channel", "trigger", "incident", "alert", "parent_run",
            "priority", "start_at", "held", "held_reason", "restart_of", "is_open", "cancel_requested",
            "cancel_reason", "stop_how", "hold_reason", "created_at", "started_at", "ended_at", "deadline", "removed",
            "url",
        )  # fmt: skip
        read_only_fields: tuple[str, ...] = fields

    def get_summary(self, row: Run) -> str:
        """The run in a sentence."""
        words: dict[uuid.UUID, str] = self.context["words"]
        return words[row.pk]

    def get_url(self, row: Run) -> str:
        """The run's page."""
        return run_url(row.pk)


class RunWithStepsShape(RunShape):
    """A run with its steps in document order."""

    steps = serializers.SerializerMethodField()
    restarted_as = serializers.SerializerMethodField(help_text="The run as which this one was restarted.")

    class Meta(RunShape.Meta):
        fields: tuple[str, ...] = (*RunShape.Meta.fields, "restarted_as", "steps")
        read_only_fields: tuple[str, ...] = fields

    def get_restarted_as(self, row: Run) -> uuid.UUID | None:
        """The id of the newer run, or null."""
        newer: uuid.UUID | None = row.restarts.values_list("pk", flat=True).first()
        return newer

    @extend_schema_field(StepShape(many=True))
    def get_steps(self, row: Run) -> Any:
        """The steps."""
        return StepShape(self.context["steps"], many=True).data


class StartedShape(serializers.Serializer[Any]):
    """A run that was started, or the one with the same key that goes on already."""

    created = serializers.BooleanField()
    reason = serializers.CharField(help_text="Why no new one was started; empty otherwise.")
    run = RunShape()


class StartBody(Body):
    """What to start a run with."""

    inputs = serializers.DictField(default=dict, help_text="By name, as the runbook declares them.")
    incident = Id(required=False, allow_null=True, help_text="The incident that it is for.")
    version = Number(required=False, min_value=1, help_text="A published version instead of the live one.")
    dedupe_key = Text(
        max_length=300,
        default="",
        allow_blank=True,
        help_text="No second run while one with this key is open.",
    )
    start_at = serializers.DateTimeField(
        required=False, allow_null=True, help_text="Not before this time; until then the run is pending."
    )
