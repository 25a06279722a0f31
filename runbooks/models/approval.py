"""Questions to people before risky steps, whom they are passed on to, and the answers."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from handrail.shared.ids import new_id, short
from runbooks.models.run import Run
from runbooks.models.step import StepRun


class Approval(models.Model):
    """A question to people about a plan. The row is the truth; every message is a view of it.

    ``plan``: ``[{"step", "title", "action", "effect", "inputs", "preview", "target", "place"}, ...]``, secrets masked.
    ``place``: a digest of where the call's connection led when people were asked; not there without a connection.
    """

    class State(models.TextChoices):
        PENDING = "pending"
        APPROVED = "approved"
        REJECTED = "rejected"
        EXPIRED = "expired"
        VOID = "void"
        CANCELLED = "cancelled"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    project = models.ForeignKey("accounts.Project", on_delete=models.CASCADE, related_name="approvals")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="approvals")
    step = models.ForeignKey(StepRun, on_delete=models.CASCADE, related_name="approvals")
    round = models.SmallIntegerField(default=1)
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    prompt = models.TextField()
    digest = models.CharField(max_length=64)
    plan = models.JSONField(default=list)
    policy = models.JSONField(default=dict)
    quorum = models.SmallIntegerField(default=1)
    excluded = models.JSONField(default=list)
    channels = models.JSONField(default=list)
    on_timeout = models.CharField(max_length=10, default="reject")
    expires_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.CharField(max_length=200, blank=True)
    decided_channel = models.CharField(max_length=12, blank=True)
    reason = models.CharField(max_length=1000, blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [models.UniqueConstraint(fields=["step", "round"], name="approval_round_once")]
        indexes = [
            models.Index(fields=["project", "state", "-created_at"], name="approval_project_state"),
            models.Index(fields=["expires_at"], condition=Q(state="pending"), name="approval_pending"),
        ]

    def __str__(self) -> str:
        return self.prompt[:80] or f"approval {short(self.pk)}"

    @property
    def given(self) -> int:
        """How many votes count for it."""
        return sum(vote.counts for vote in self.votes.all())


class Escalation(models.Model):
    """When further people are asked about an approval: the ``n``-th escalation that its step names.

    ``to``: ``{"slack": "#dba", "pagerduty": "dba-primary", "team": "dba-leads"}`` or a part of it. ``done_at``: when
    its time came; an approval that was decided by then was left alone.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    approval = models.ForeignKey(
        Approval, on_delete=models.CASCADE, related_name="escalations", db_index=False
    )
    n = models.SmallIntegerField()
    to = models.JSONField(default=dict)
    due_at = models.DateTimeField()
    done_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["n"]
        constraints = [models.UniqueConstraint(fields=["approval", "n"], name="escalation_once")]
        indexes = [models.Index(fields=["due_at"], condition=Q(done_at__isnull=True), name="escalation_due")]


class Vote(models.Model):
    """One person's answer to one approval. ``teams``: those of the voter's for which it counts.

    ``void_reason``: what their voter lost before the vote could take effect; it counts no more.
    """

    class Decision(models.TextChoices):
        APPROVE = "approve"
        DENY = "deny"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    approval = models.ForeignKey(Approval, on_delete=models.CASCADE, related_name="votes")
    user = models.ForeignKey("accounts.User", on_delete=models.PROTECT, related_name="+")
    user_name = models.CharField(max_length=200)
    teams = models.JSONField(default=list)
    decision = models.CharField(max_length=8, choices=Decision.choices)
    reason = models.CharField(max_length=1000, blank=True)
    inputs = models.JSONField(default=dict)
    channel = models.CharField(max_length=12)
    at = models.DateTimeField()
    void_reason = models.CharField(max_length=200, blank=True, default="", db_default="")

    class Meta:
        ordering = ["at"]
        constraints = [models.UniqueConstraint(fields=["approval", "user"], name="vote_once")]

    @property
    def counts(self) -> bool:
        """Whether it approves, and its voter has not lost their standing since."""
        return self.decision == self.Decision.APPROVE and not self.void_reason
