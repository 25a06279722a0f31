"""What runbooks, runs and approvals look like in JSON."""

from __future__ import annotations

import uuid
from typing import Any, cast

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from handrail.shared.links import approval_url, run_url, runbook_url
from handrail.shared.rest.fields import Body, Choice, Flag, Id, Number, Query, Text
from runbooks.checklist import ChecklistItem
from runbooks.engine.steering import CANCEL
from runbooks.models import (
    Approval,
    Artifact,
    LogLine,
    Run,
    Runbook,
    RunbookVersion,
    StepAttempt,
    StepRun,
    Vote,
)
from runbooks.queries import StepView
from runbooks.resuming import RestartPreview, ResumePreview
from runbooks.stopping import HOW, StopChoice, StopPreview


class RunFilters(Query):
    """The filters of the list."""

    project = serializers.CharField(required=False, help_text="The slug of a project.")
    incident = serializers.UUIDField(required=False)
    runbook = serializers.CharField(required=False, help_text="The slug of a runbook.")
    parent_run = serializers.UUIDField(required=False, help_text="The run whose steps started them.")
    state = serializers.ChoiceField(Run.State.choices, required=False)


class ApprovalFilters(Query):
    """The filters of the list."""

    project = serializers.CharField(required=False, help_text="The slug of a project.")
    incident = serializers.UUIDField(required=False)
    run = serializers.UUIDField(required=False)
    state = serializers.ChoiceField(Approval.State.choices, required=False)


class LogFilters(Query):
    """Where to go on reading."""

    after = serializers.IntegerField(required=False, min_value=0, max_value=2**31 - 1)


class StepFilters(Query):
    """The filters of the list."""

    node = serializers.CharField(required=False, help_text="The id of a step, or of a loop for its items.")
    state = serializers.ChoiceField(StepRun.State.choices, required=False)


class RunbookFilters(Query):
    """The filters of the list."""

    project = serializers.CharField(required=False, help_text="The slug of a project.")
    slug = serializers.CharField(required=False)


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


class StopChoiceShape(serializers.Serializer[StopChoice]):
    """One way to stop the run: what it would do, and why it cannot be chosen now (empty if it can)."""

    how = serializers.CharField()
    title = serializers.CharField()
    words = serializers.CharField()
    refusal = serializers.CharField()


class StopPreviewShape(serializers.Serializer[StopPreview]):
    """Titles of steps; ``reversible`` in the order in which they would be undone."""

    done = serializers.ListField(child=serializers.CharField())
    in_flight = serializers.ListField(child=serializers.CharField())
    reversible = serializers.ListField(child=serializers.CharField())
    not_started = serializers.ListField(child=serializers.CharField())
    remaining = serializers.ListField(child=serializers.CharField(), help_text="What would be handed over.")
    choices = StopChoiceShape(many=True)


class ResumePreviewShape(serializers.Serializer[ResumePreview]):
    """What a resume would keep and do again. ``how``: go_on (it is paused) or reopen (it is over)."""

    how = serializers.CharField()
    kept = serializers.ListField(child=serializers.CharField())
    again = serializers.ListField(child=serializers.CharField())
    refusal = serializers.CharField(help_text="Why it cannot be resumed now; empty if it can.")


class InputProblemShape(serializers.Serializer[Any]):
    """What is wrong with an input."""

    name = serializers.CharField()
    message = serializers.CharField()


class RestartPreviewShape(serializers.Serializer[RestartPreview]):
    """Whether the run's inputs fit the version on which it would be restarted."""

    version = serializers.IntegerField(source="version.number", allow_null=True, default=None)
    problems = InputProblemShape(many=True)
    dropped = serializers.ListField(
        child=serializers.CharField(), help_text="Inputs that the version does not have any more."
    )
    refusal = serializers.CharField(help_text="Why it cannot be restarted now; empty if it can.")


class ChecklistItemShape(serializers.Serializer[ChecklistItem]):
    """One item of a run that was handed over."""

    key = serializers.CharField(help_text="Its name: what `POST checklist/` takes.")
    title = serializers.CharField()
    kind = serializers.CharField()
    uses = serializers.CharField(help_text="The action that the run would have called.")
    asks = serializers.CharField(help_text="What a manual step asks for.")
    state = serializers.CharField(
        help_text="open, busy (executes), unknown (decide first), done (by hand), skipped, succeeded (by itself)."
    )
    by = serializers.CharField()
    note = serializers.CharField()
    at = serializers.DateTimeField(allow_null=True)


class VoteShape(serializers.ModelSerializer[Vote]):
    """One person's answer. ``void_reason``: why it counts no more; empty while it does."""

    user = serializers.CharField(source="user_name", read_only=True)

    class Meta:
        model = Vote
        fields: tuple[str, ...] = ("user", "decision", "reason", "channel", "at", "void_reason")
        read_only_fields: tuple[str, ...] = fields


class ApprovalShape(serializers.ModelSerializer[Approval]):
    """A question to people about a plan, with the answers so far. Secrets in the plan are masked."""

    project = serializers.CharField(source="project.slug", read_only=True)
    run = serializers.UUIDField(source="run_id", read_only=True)
    runbook = serializers.CharField(source="run.runbook.slug", read_only=True)
    incident = serializers.UUIDField(source="run.incident_id", read_only=True, allow_null=True)
    step = serializers.CharField(source="step.node", read_only=True)
    plan = serializers.ListField(child=serializers.DictField(), read_only=True)
    votes = VoteShape(many=True, read_only=True)
    url = serializers.SerializerMethodField(help_text="Its page.")

    class Meta:
        model = Approval
        fields: tuple[str, ...] = (
            "id", "project", "run", "runbook", "incident", "step", "round", "state", "prompt", "digest", "plan",
            "quorum", "on_timeout", "votes", "created_at", "expires_at", "decided_at", "decided_by",
            "decided_channel", "reason", "url",
        )  # fmt: skip
        read_only_fields: tuple[str, ...] = fields

    def get_url(self, row: Approval) -> str:
        """The approval's page."""
        return approval_url(row.pk)


class ApprovalForYouShape(ApprovalShape):
    """An approval with what it needs, and whether whoever asks may decide it."""

    needs = serializers.SerializerMethodField(help_text="What is missing, in words.")
    may_decide = serializers.SerializerMethodField()
    why_not = serializers.SerializerMethodField()

    class Meta(ApprovalShape.Meta):
        fields: tuple[str, ...] = (*ApprovalShape.Meta.fields, "needs", "may_decide", "why_not")
        read_only_fields: tuple[str, ...] = fields

    def get_needs(self, row: Approval) -> str:
        """Such as ``Needs 1 more of: dba-oncall``."""
        return str(self.context["needs"])

    def get_may_decide(self, row: Approval) -> bool:
        """Whether you may."""
        return bool(self.context["may_decide"])

    def get_why_not(self, row: Approval) -> str:
        """Why you may not; empty if you may."""
        return str(self.context["why_not"])


class DecisionShape(serializers.Serializer[Any]):
    """What a vote led to. ``decided``: it closed the approval."""

    decided = serializers.BooleanField()
    message = serializers.CharField()
    approval = ApprovalForYouShape()


class VersionShape(serializers.ModelSerializer[RunbookVersion]):
    """A version without its text."""

    author = serializers.CharField(source="author.username", read_only=True, allow_null=True)
    publisher = serializers.CharField(source="publisher.username", read_only=True, allow_null=True)

    class Meta:
        model = RunbookVersion
        fields: tuple[str, ...] = (
            "id", "number", "state", "digest", "message", "revision", "author", "publisher", "created_at",
            "updated_at", "published_at",
        )  # fmt: skip
        read_only_fields: tuple[str, ...] = fields


class VersionWithSourceShape(VersionShape):
    """A version with its YAML."""

    class Meta(VersionShape.Meta):
        fields: tuple[str, ...] = (*VersionShape.Meta.fields, "source")
        read_only_fields: tuple[str, ...] = fields


class RunbookShape(serializers.ModelSerializer[Runbook]):
    """A runbook. ``live`` is the version that starts now."""

    project = serializers.CharField(source="project.slug", read_only=True)
    live = VersionShape(read_only=True, allow_null=True)
    url = serializers.SerializerMethodField(help_text="Its page.")

    class Meta:
        model = Runbook
        fields: tuple[str, ...] = (
            "id", "project", "slug", "title", "description", "owner", "live", "created_at", "updated_at", "url",
        )  # fmt: skip
        read_only_fields: tuple[str, ...] = fields

    def get_url(self, row: Runbook) -> str:
        """The runbook's page."""
        return runbook_url(row.project.slug, row.slug)


class ProblemShape(serializers.Serializer[Any]):
    """What is wrong in a source, and where: lines and columns count from 1."""

    line = serializers.IntegerField()
    column = serializers.IntegerField()
    end_line = serializers.IntegerField()
    end_column = serializers.IntegerField()
    path = serializers.CharField()
    message = serializers.CharField()
    suggestion = serializers.CharField(allow_null=True)
    severity = serializers.CharField(help_text="error or warning.")


class ValidationShape(serializers.Serializer[Any]):
    """Whether a source could be published."""

    valid = serializers.BooleanField()
    problems = ProblemShape(many=True)


class StartedShape(serializers.Serializer[Any]):
    """A run that was started, or the one with the same key that goes on already."""

    created = serializers.BooleanField()
    reason = serializers.CharField(help_text="Why no new one was started; empty otherwise.")
    run = RunShape()


class YamlBody(Body):
    """A runbook's YAML."""

    source = cast("Any", Text(max_length=256 * 1024, trim_whitespace=False, allow_blank=True))


class RunbookBody(YamlBody):
    """A new runbook: its slug and title come from the metadata of the source."""

    project = Text(max_length=63, help_text="The slug of the project.")


class PublishBody(Body):
    """What has changed, for the next reader."""

    message = Text(max_length=500, default="", allow_blank=True)


class RollBackBody(Body):
    """Which version goes live again, and why."""

    number = Number(min_value=1)
    reason = Text(max_length=500)


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


class StopBody(Body):
    """How and why the run is stopped."""

    how = Choice(list(HOW), default=CANCEL)
    reason = Text(max_length=500)


class PauseBody(Body):
    """Why the run is paused."""

    reason = Text(max_length=500)


class ResumeBody(Body):
    """Why the run may go on; needed for one that is over."""

    reason = Text(max_length=500, default="", allow_blank=True)


class RestartBody(Body):
    """On which version the run is restarted, with which inputs other than before, and why."""

    reason = Text(max_length=500)
    version = Number(required=False, allow_null=True, min_value=1, help_text="The live one if left out.")
    inputs = serializers.DictField(default=dict, help_text="By name; the others are as they were.")


class SkipBody(Body):
    """Why the step is left out."""

    reason = Text(max_length=400)


class ItemsBody(Body):
    """What became of items of a checklist; one that is left out needs a note."""

    items = serializers.ListField(child=serializers.CharField(max_length=200), max_length=2000)
    choice = Choice(["done", "skip"])
    note = Text(max_length=500, default="", allow_blank=True)


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


class DecisionBody(Body):
    """Approve or deny; a denial needs a reason."""

    decision = Choice(Vote.Decision.choices)
    reason = Text(max_length=1000, default="", allow_blank=True)
    inputs = serializers.DictField(default=dict, help_text="What the approval asks for, by name.")
