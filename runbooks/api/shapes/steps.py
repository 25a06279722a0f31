"""Steps in JSON: their attempts, logs and files, and what people say of them."""

from __future__ import annotations

from rest_framework import serializers

from handrail.shared.rest.fields import Body, Choice, Flag, Query, Text
from runbooks.models import Artifact, LogLine, StepAttempt, StepRun
from runbooks.queries import StepView


class LogFilters(Query):
    """Where to go on reading."""

    after = serializers.IntegerField(required=False, min_value=0, max_value=2**31 - 1)


class StepFilters(Query):
    """The filters of the list."""

    node = serializers.CharField(required=False, help_text="The id of a step, or of a loop for its items.")
    state = Choice(StepRun.State.choices, required=False)


class AttemptShape(serializers.ModelSerializer[StepAttempt]):
    """One attempt of a step."""

    error = serializers.DictField(read_only=True, allow_null=True)

    class Meta:
        model = StepAttempt
        fields: tuple[str, ...] = ("number", "worker", "started_at", "ended_at", "outcome", "error")
        read_only_fields: tuple[str, ...] = fields


class StepRunShape(serializers.ModelSerializer[StepRun]):
    """What became of a step. ``inputs`` and ``outputs`` are masked where they held secrets."""

    inputs = serializers.JSONField(read_only=True, allow_null=True)
    outputs = serializers.JSONField(read_only=True, allow_null=True)
    error = serializers.DictField(read_only=True, allow_null=True)

    class Meta:
        model = StepRun
        fields: tuple[str, ...] = (
            "id", "node", "iteration", "role", "state", "attempt", "inputs", "outputs", "error", "reason",
            "created_at", "started_at", "ended_at",
        )  # fmt: skip
        read_only_fields: tuple[str, ...] = fields


class StepShape(serializers.Serializer[StepView]):
    """A step as written, and what became of it: ``run`` is null as long as it has not begun."""

    node = serializers.CharField()
    title = serializers.CharField()
    kind = serializers.CharField()
    uses = serializers.CharField(help_text="The action.")
    effect = serializers.CharField()
    phase = serializers.CharField(help_text="steps, on_failure or finally.")
    block = serializers.CharField(source="parent", help_text="The step that it is in; empty at the top.")
    state = serializers.CharField()
    run = StepRunShape(source="row", allow_null=True)
    compensation = StepRunShape(allow_null=True)
    attempts = AttemptShape(many=True)


class LogShape(serializers.ModelSerializer[LogLine]):
    """A line that a step said."""

    class Meta:
        model = LogLine
        fields: tuple[str, ...] = ("n", "attempt", "at", "stream", "text")
        read_only_fields: tuple[str, ...] = fields


class ArtifactShape(serializers.ModelSerializer[Artifact]):
    """A file that a step left behind; ``content`` is the address of its bytes."""

    node = serializers.CharField(source="step.node", read_only=True)
    content = serializers.SerializerMethodField()

    class Meta:
        model = Artifact
        fields = (
            "id",
            "step",
            "node",
            "attempt",
            "name",
            "size",
            "media_type",
            "sha256",
            "created_at",
            "removed_at",
            "content",
        )
        read_only_fields = fields

    def get_content(self, row: Artifact) -> str:
        """Of the API."""
        return f"/api/v1/runs/{row.run_id}/artifacts/{row.pk}/content/"


class StepDecisionsBody(Body):
    """What became of several uncertain steps, and how you know."""

    steps = serializers.ListField(child=serializers.UUIDField(), max_length=500)
    choice = Choice(["done", "retry", "fail"])
    reason = Text(max_length=400)
    override = Flag(default=False, help_text="You have made sure that the workers that had them are dead.")


class StepDecisionBody(Body):
    """What became of an uncertain step, and how you know."""

    choice = Choice(["done", "retry", "fail"])
    reason = Text(max_length=400)
    override = Flag(default=False, help_text="You have made sure that the worker that had it is dead.")


class AnswerBody(Body):
    """Whether a manual step is done, and what later steps need to know; what cannot be done needs a reason."""

    choice = Choice(["done", "cannot"])
    reason = Text(max_length=400, default="", allow_blank=True)
    inputs = serializers.DictField(default=dict, help_text="What the step asks for, by name.")
