"""The steps of runs, and what each leaves behind: attempts, lines of its log, files.

What each step writes has no index of its foreign key alone: the unique constraint that begins with it serves as one.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from handrail.shared.ids import new_id
from handrail.shared.references import ReferenceIndex
from runbooks.models.run import Run


class StepRun(models.Model):
    """One step of a run that was made ready, or was decided without running. ``node`` is the step's id.

    ``role`` tells a step's own work from what is done because of it: ``step``, ``compensate``, ``probe``.
    ``due_at`` is when a timer fires, a block times out, or a ready step has waited for a worker for too long;
    ``ready_at`` is from when on a row may be claimed, and so also the time of a retry or of the next sample.
    ``held`` names what keeps a ready step at the gate, so that whoever lets go finds it. ``slot`` is the key of the
    step's `concurrency` as long as it executes. ``hinted_at`` is when workers were last told of it.
    """

    class State(models.TextChoices):
        WAITING = "waiting"
        READY = "ready"
        CLAIMED = "claimed"
        EXECUTING = "executing"
        AWAITING_APPROVAL = "awaiting_approval"
        AWAITING_HUMAN = "awaiting_human"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        TIMED_OUT = "timed_out"
        SKIPPED = "skipped"
        CANCELLED = "cancelled"
        UNCERTAIN = "uncertain"
        COMPENSATING = "compensating"
        COMPENSATED = "compensated"
        COMPENSATION_FAILED = "compensation_failed"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="steps", db_index=False)
    node = models.CharField(max_length=120)
    iteration = models.CharField(max_length=60, default="")
    role = models.CharField(max_length=10, default="step")
    kind = models.CharField(max_length=12)
    action = models.CharField(max_length=60, blank=True)
    title = models.CharField(max_length=300, blank=True)
    state = models.CharField(max_length=20, choices=State.choices)
    pool = models.CharField(max_length=63, default="default")
    priority = models.SmallIntegerField(default=5)
    ready_at = models.DateTimeField(null=True, blank=True)
    due_at = models.DateTimeField(null=True, blank=True)
    hinted_at = models.DateTimeField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    owner = models.CharField(max_length=120, blank=True)
    fence = models.BigIntegerField(default=0)
    attempt = models.IntegerField(default=0)
    crashes = models.SmallIntegerField(default=0)
    held = models.CharField(max_length=200, blank=True, default="", db_default="")
    slot = models.CharField(max_length=200, blank=True, default="", db_default="")
    cancel_requested = models.BooleanField(default=False)
    idempotent = models.BooleanField(default=False)
    effect = models.CharField(max_length=12, default="read")
    inputs = models.JSONField(null=True, blank=True)
    input_digest = models.CharField(max_length=64, blank=True)
    outputs = models.JSONField(null=True, blank=True)
    error = models.JSONField(null=True, blank=True)
    reason = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["created_at"]
        constraints = [
            models.UniqueConstraint(fields=["run", "node", "iteration", "role"], name="step_run_once")
        ]
        indexes = [
            models.Index(
                fields=["pool", "priority", "ready_at"], condition=Q(state="ready"), name="step_ready"
            ),
            models.Index(
                fields=["lease_until"], condition=Q(state__in=["claimed", "executing"]), name="step_lease"
            ),
            models.Index(
                fields=["due_at"],
                condition=Q(state__in=["waiting", "executing"], due_at__isnull=False),
                name="step_due",
            ),
            models.Index(
                fields=["due_at"],
                condition=Q(state="awaiting_human", due_at__isnull=False),
                name="step_human_due",
            ),
            models.Index(fields=["slot"], condition=Q(state="executing") & ~Q(slot=""), name="step_slot"),
            models.Index(fields=["held"], condition=Q(state="ready") & ~Q(held=""), name="step_held"),
            models.Index(
                fields=["due_at"],
                condition=Q(state="ready", due_at__isnull=False),
                name="step_ready_due",
            ),
            models.Index(
                fields=["created_at"],
                condition=Q(state__in=["uncertain", "compensation_failed"]),
                name="step_doubt",
            ),
            models.Index(fields=["run"], condition=Q(cancel_requested=True), name="step_unwanted"),
            ReferenceIndex(fields=["inputs"], name="step_inputs_refs"),
            ReferenceIndex(fields=["outputs"], name="step_outputs_refs"),
            ReferenceIndex(fields=["error"], name="step_error_refs"),
        ]


class StepAttempt(models.Model):
    """One attempt of a step, by one worker under one fence."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    step = models.ForeignKey(StepRun, on_delete=models.CASCADE, related_name="attempts", db_index=False)
    fence = models.BigIntegerField()
    number = models.IntegerField()
    worker = models.CharField(max_length=120)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=20, blank=True)
    error = models.JSONField(null=True, blank=True)

    class Meta:
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["step", "fence"], name="attempt_per_fence")]
        indexes = [ReferenceIndex(fields=["error"], name="attempt_error_refs")]


class LogLine(models.Model):
    """What a step said while it ran, redacted. ``n`` counts within the step, over attempts."""

    id = models.BigAutoField(primary_key=True)
    step = models.ForeignKey(StepRun, on_delete=models.CASCADE, related_name="log", db_index=False)
    n = models.IntegerField()
    attempt = models.IntegerField()
    at = models.DateTimeField()
    stream = models.CharField(max_length=6, default="log")
    text = models.TextField()

    class Meta:
        ordering = ["step", "n"]
        constraints = [models.UniqueConstraint(fields=["step", "n"], name="log_line_place")]


class Artifact(models.Model):
    """A file that a step left behind, by reference: its bytes are kept under their SHA-256, redacted before.

    The row outlives its bytes: ``removed_at`` says since when retention does not keep them.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="artifacts")
    step = models.ForeignKey(StepRun, on_delete=models.CASCADE, related_name="artifacts")
    attempt = models.IntegerField()
    name = models.CharField(max_length=80)
    sha256 = models.CharField(max_length=64)
    size = models.BigIntegerField()
    media_type = models.CharField(max_length=100)
    created_at = models.DateTimeField()
    removed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index(fields=["sha256"], condition=Q(removed_at__isnull=True), name="artifact_kept")
        ]

    def __str__(self) -> str:
        return self.name
