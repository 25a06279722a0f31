"""Runs, their histories, and starts that were refused."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from handrail.shared.ids import new_id, short
from handrail.shared.references import ReferenceIndex
from runbooks.models.runbook import Runbook, RunbookVersion


class Run(models.Model):
    """One execution of one version. Only :mod:`runbooks.execution` writes the state columns.

    A pending run has not begun: ``held`` names what it waits for, ``held_reason`` says it in words, ``look_at`` is
    when it is looked at again. ``start_at``: not before. Runs are counted by ``concurrency_key`` and ``rate_key``, as
    the runbook's policies have it, and by ``loop_key`` where no person started them. Lower ``priority`` goes first.

    ``history_n``/``history_hash`` are the head of the run's hash-chained history (its audit chain). ``stop_how``:
    how it is held or was stopped (``pause``, ``freeze``, ``parent``, ``cancel``, ``undo``, ``hand_over``), and
    ``hold_reason`` why it is held. ``restart_of``: the run that was restarted as this one, on a newer version.

    ``log_over_at``/``values_over_at``: since when nothing of its log, of its large values, is kept (any more).
    ``removed`` is what readers are told, see :mod:`runbooks.removed`.
    """

    class State(models.TextChoices):
        PENDING = "pending"
        RUNNING = "running"
        WAITING = "waiting"
        PAUSED = "paused"
        CANCELLING = "cancelling"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        CANCELLED = "cancelled"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    project = models.ForeignKey("accounts.Project", on_delete=models.CASCADE, related_name="runs")
    runbook = models.ForeignKey(Runbook, on_delete=models.CASCADE, related_name="runs")
    version = models.ForeignKey(RunbookVersion, on_delete=models.PROTECT, related_name="runs")
    version_digest = models.CharField(max_length=64)
    engine_schema = models.SmallIntegerField(default=1)
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    mode = models.CharField(max_length=10, default="enforce")
    inputs = models.JSONField(default=dict)
    outcome = models.JSONField(default=dict)
    error = models.JSONField(null=True, blank=True)
    starter = models.ForeignKey("accounts.User", null=True, on_delete=models.SET_NULL, related_name="+")
    starter_name = models.CharField(max_length=200)
    starter_channel = models.CharField(max_length=12)
    trigger = models.CharField(max_length=63, blank=True)
    incident = models.ForeignKey(
        "incidents.Incident", null=True, blank=True, on_delete=models.SET_NULL, related_name="runs"
    )
    alert = models.ForeignKey(
        "alerts.Alert", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    parent_step = models.ForeignKey(
        "StepRun", null=True, blank=True, on_delete=models.SET_NULL, related_name="children", db_index=False
    )
    dedupe_key = models.CharField(max_length=300, blank=True)
    is_open = models.BooleanField(default=True)
    priority = models.SmallIntegerField(default=5, db_default=5)
    start_at = models.DateTimeField(null=True, blank=True)
    held = models.CharField(max_length=200, blank=True, default="", db_default="")
    held_reason = models.CharField(max_length=500, blank=True, default="", db_default="")
    look_at = models.DateTimeField(null=True, blank=True)
    concurrency_key = models.CharField(max_length=300, blank=True, default="", db_default="")
    rate_key = models.CharField(max_length=300, blank=True, default="", db_default="")
    loop_key = models.CharField(max_length=300, blank=True, default="", db_default="")
    deadline = models.DateTimeField(null=True, blank=True)
    cancel_requested = models.BooleanField(default=False)
    cancel_reason = models.CharField(max_length=500, blank=True)
    stop_how = models.CharField(max_length=10, blank=True, default="", db_default="")
    hold_reason = models.CharField(max_length=500, blank=True, default="", db_default="")
    restart_of = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="restarts", db_index=False
    )
    revision = models.BigIntegerField(default=0)
    history_n = models.BigIntegerField(default=0)
    history_hash = models.CharField(max_length=64, default="0" * 64)
    trace_id = models.CharField(max_length=32, blank=True)
    span_id = models.CharField(max_length=16, blank=True)
    log_over_at = models.DateTimeField(null=True, blank=True)
    values_over_at = models.DateTimeField(null=True, blank=True)
    removed = models.JSONField(
        blank=True, default=dict, db_default=models.Value({}, output_field=models.JSONField())
    )
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["runbook", "dedupe_key"],
                condition=Q(is_open=True) & ~Q(dedupe_key=""),
                name="run_one_open_per_key",
            ),
            models.UniqueConstraint(
                fields=["restart_of"], condition=Q(restart_of__isnull=False), name="run_restarted_once"
            ),
        ]
        indexes = [
            models.Index(fields=["project", "-created_at"], name="run_project_at"),
            models.Index(fields=["runbook", "-created_at"], name="run_runbook_at"),
            models.Index(
                fields=["parent_step"], condition=Q(parent_step__isnull=False), name="run_parent_step"
            ),
            models.Index(
                fields=["parent_step"],
                condition=Q(is_open=True, parent_step__isnull=False),
                name="run_open_child",
            ),
            models.Index(
                fields=["deadline"], condition=Q(is_open=True, deadline__isnull=False), name="run_deadline"
            ),
            models.Index(
                fields=["look_at"], condition=Q(state="pending", look_at__isnull=False), name="run_look"
            ),
            models.Index(fields=["held"], condition=Q(state="pending") & ~Q(held=""), name="run_held"),
            models.Index(
                fields=["runbook", "concurrency_key"],
                condition=Q(is_open=True) & ~Q(concurrency_key=""),
                name="run_live_by_key",
            ),
            models.Index(
                fields=["runbook", "rate_key", "started_at"], condition=~Q(rate_key=""), name="run_rate"
            ),
            models.Index(
                fields=["runbook", "loop_key", "created_at"], condition=~Q(loop_key=""), name="run_loop"
            ),
            models.Index(fields=["stop_how"], condition=Q(state="paused"), name="run_paused"),
            models.Index(
                fields=["ended_at"],
                condition=Q(is_open=False, log_over_at__isnull=True),
                name="run_log_kept",
            ),
            models.Index(
                fields=["ended_at"],
                condition=Q(is_open=False, values_over_at__isnull=True),
                name="run_values_kept",
            ),
            ReferenceIndex(fields=["error"], name="run_error_refs"),
        ]

    def __str__(self) -> str:
        return f"run {short(self.pk)}"


class RefusedStart(models.Model):
    """A run that was not started, for a reason that a person has to look at; ``times`` until somebody does."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    project = models.ForeignKey("accounts.Project", on_delete=models.CASCADE, related_name="+")
    runbook = models.ForeignKey(Runbook, on_delete=models.CASCADE, related_name="refused_starts")
    code = models.CharField(max_length=30)
    key = models.CharField(max_length=300, blank=True)
    reason = models.CharField(max_length=500)
    trigger = models.CharField(max_length=63, blank=True)
    starter_name = models.CharField(max_length=200, blank=True)
    incident = models.ForeignKey(
        "incidents.Incident", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    alert = models.ForeignKey(
        "alerts.Alert", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    times = models.IntegerField(default=1)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    seen_at = models.DateTimeField(null=True, blank=True)
    seen_by = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-last_at"]
        verbose_name = "refused start"
        indexes = [
            models.Index(
                fields=["project", "-last_at"], condition=Q(seen_at__isnull=True), name="refused_unseen"
            )
        ]

    def __str__(self) -> str:
        return f"{self.runbook} was not started"


class RunEvent(models.Model):
    """The run's history: append-only, hash-chained, replayable by :func:`runbooks.engine.apply`."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="events", db_index=False)
    n = models.BigIntegerField()
    type = models.CharField(max_length=40)
    data = models.JSONField(default=dict)
    at = models.DateTimeField()
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        ordering = ["run", "n"]
        constraints = [models.UniqueConstraint(fields=["run", "n"], name="run_event_place")]
        indexes = [ReferenceIndex(fields=["data"], name="run_event_refs")]
