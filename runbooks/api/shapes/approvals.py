"""Approvals in JSON, with their votes."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from handrail.shared.links import approval_url
from handrail.shared.rest.fields import Body, Choice, Query, Text
from runbooks.models import Approval, Vote


class ApprovalFilters(Query):
    """The filters of the list."""

    project = serializers.CharField(required=False, help_text="The slug of a project.")
    incident = serializers.UUIDField(required=False)
    run = serializers.UUIDField(required=False)
    state = Choice(Approval.State.choices, required=False)


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


class DecisionBody(Body):
    """Approve or deny; a denial needs a reason."""

    decision = Choice(Vote.Decision.choices)
    reason = Text(max_length=1000, default="", allow_blank=True)
    inputs = serializers.DictField(default=dict, help_text="What the approval asks for, by name.")
