"""Runbooks, their immutable versions, runs and everything that a run leaves behind.

What each step writes has no index of its foreign key alone: the unique constraint that begins with it serves as one.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from handrail.shared.ids import new_id, short
from handrail.shared.references import ReferenceIndex


class Runbook(models.Model):
    """A runbook of a project; what it does is said by its live version. ``draft_revision`` counts saved drafts."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    project = models.ForeignKey("accounts.Project", on_delete=models.CASCADE, related_name="runbooks")
    slug = models.SlugField(max_length=63)
    title = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    owner = models.CharField(max_length=100, blank=True)
    live = models.ForeignKey(
        "RunbookVersion", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    archived_at = models.DateTimeField(null=True, blank=True)
    draft_revision = models.IntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["slug"]
        constraints = [models.UniqueConstraint(fields=["project", "slug"], name="runbook_slug_in_project")]

    def __str__(self) -> str:
        return self.title


class RunbookVersion(models.Model):
    """One version. A draft has no number and may change; a published one never does.

    ``author`` saved it last; ``editors`` are the ids of all who saved it since the version before it.
    """

    class State(models.TextChoices):
        DRAFT = "draft"
        IN_REVIEW = "in_review"
        PUBLISHED = "published"
        RETIRED = "retired"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    runbook = models.ForeignKey(Runbook, on_delete=models.CASCADE, related_name="versions")
    number = models.IntegerField(null=True, blank=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.DRAFT)
    source = models.TextField()
    canonical = models.TextField(blank=True)
    digest = models.CharField(max_length=64, blank=True)
    engine_schema = models.SmallIntegerField(default=1)
    based_on = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    author = models.ForeignKey("accounts.User", null=True, on_delete=models.SET_NULL, related_name="+")
    editors = models.JSONField(
        blank=True, default=list, db_default=models.Value([], output_field=models.JSONField())
    )
    publisher = models.ForeignKey(
        "accounts.User", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    message = models.CharField(max_length=500, blank=True)
    revision = models.IntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    published_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-number", "-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["runbook", "number"], name="version_number_once"),
            models.UniqueConstraint(
                fields=["runbook"], condition=Q(state__in=["draft", "in_review"]), name="one_draft"
            ),
        ]

    def __str__(self) -> str:
        return f"v{self.number}" if self.number else "draft"


class Schedule(models.Model):
    """A trigger on a schedule of the live version, and when it is due next; None when it never is again."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    runbook = models.ForeignKey(Runbook, on_delete=models.CASCADE, related_name="schedules")
    trigger = models.CharField(max_length=63)
    cron = models.CharField(max_length=100)
    timezone = models.CharField(max_length=60, blank=True)
    next_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["trigger"]
        constraints = [models.UniqueConstraint(fields=["runbook", "trigger"], name="schedule_once")]
        indexes = [models.Index(fields=["next_at"], condition=Q(next_at__isnull=False), name="schedule_due")]

    def __str__(self) -> str:
        return f"{self.trigger}: {self.cron} {self.timezone or 'UTC'}"


class ScheduleTick(models.Model):
    """One time at which a schedule was due, and what became of it; at most one row for each such time.

    ``missed``: so many earlier ticks nobody noticed, which this one stands for.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    runbook = models.ForeignKey(Runbook, on_delete=models.CASCADE, related_name="ticks", db_index=False)
    trigger = models.CharField(max_length=63)
    due_at = models.DateTimeField()
    decided_at = models.DateTimeField()
    missed = models.IntegerField(default=0)
    decision = models.CharField(max_length=500)
    run = models.ForeignKey("Run", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ["-due_at"]
        constraints = [models.UniqueConstraint(fields=["runbook", "trigger", "due_at"], name="tick_once")]


class KillSwitch(models.Model):
    """Holds back what it is about, from ``on_at`` until ``off_at``. A row is never changed but to be turned off.

    ``project`` None: everywhere. ``subject`` names an action type or a target, where the level is one of them.
    ``place`` is all of that as text: what is on already cannot be turned on twice.
    """

    class Level(models.TextChoices):
        INSTALLATION = "installation"
        PROJECT = "project"
        RUNBOOK = "runbook"
        ACTION = "action"
        TARGET = "target"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    level = models.CharField(max_length=12, choices=Level.choices)
    project = models.ForeignKey(
        "accounts.Project", null=True, blank=True, on_delete=models.CASCADE, related_name="kill_switches"
    )
    runbook = models.ForeignKey(
        Runbook, null=True, blank=True, on_delete=models.CASCADE, related_name="kill_switches"
    )
    subject = models.CharField(max_length=200, blank=True)
    place = models.CharField(max_length=300)
    reason = models.CharField(max_length=500)
    on_at = models.DateTimeField()
    on_by = models.CharField(max_length=200)
    off_at = models.DateTimeField(null=True, blank=True)
    off_by = models.CharField(max_length=200, blank=True)
    off_reason = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["-on_at"]
        verbose_name = "kill switch"
        constraints = [
            models.UniqueConstraint(fields=["place"], condition=Q(off_at__isnull=True), name="switch_on_once")
        ]
        indexes = [models.Index(fields=["on_at"], condition=Q(off_at__isnull=True), name="switch_on")]

    def __str__(self) -> str:
        return f"{self.level} {self.subject}".strip()


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


class Approval(models.Model):
    """A question to people about a plan. The row is the truth; every message is a view of it.

    ``plan``: ``[{"step", "title", "action", "effect", "inputs", "preview", "target"}, ...]``, secrets masked.
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


class Circuit(models.Model):
    """The circuit breaker of a target: see :mod:`runbooks.engine.circuits`. No row: it is closed, and always was.

    ``probe`` is the step that may see whether the target is well again, ``reason`` what opened it or what a human
    said, ``by`` that human.
    """

    class State(models.TextChoices):
        CLOSED = "closed"
        OPEN = "open"
        HALF_OPEN = "half_open"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    project = models.ForeignKey("accounts.Project", on_delete=models.CASCADE, related_name="circuits")
    key = models.CharField(max_length=200)
    state = models.CharField(max_length=10, choices=State.choices, default=State.CLOSED)
    failures = models.JSONField(default=list, blank=True)
    openings = models.IntegerField(default=0)
    opened_at = models.DateTimeField(null=True, blank=True)
    try_at = models.DateTimeField(null=True, blank=True)
    probe = models.CharField(max_length=40, blank=True)
    kept = models.BooleanField(default=False)
    reason = models.CharField(max_length=500, blank=True)
    by = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        ordering = ["-created_at"]
        constraints = [models.UniqueConstraint(fields=["project", "key"], name="circuit_once")]
        indexes = [models.Index(fields=["project"], condition=~Q(state="closed"), name="circuit_not_closed")]

    def __str__(self) -> str:
        return self.key


class TokenBucket(models.Model):
    """How many calls a target takes now: see :mod:`runbooks.engine.buckets`."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    project = models.ForeignKey("accounts.Project", on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=200)
    tokens = models.FloatField()
    at = models.DateTimeField()
    line_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "key"], name="bucket_once")]


class Worker(models.Model):
    """A worker process that has lately said that it lives.

    ``versions``: ``{"handrail", "python", "schemas": [1, ...]}``. ``supervisor``: the process on its host that looks
    after it. ``draining_at``: since when it takes nothing new, because it was told to end.
    """

    id = models.CharField(primary_key=True, max_length=120)
    host = models.CharField(max_length=200)
    pid = models.IntegerField()
    kind = models.CharField(max_length=10, default="worker")
    pools = models.JSONField(default=list)
    versions = models.JSONField(
        blank=True, default=dict, db_default=models.Value({}, output_field=models.JSONField())
    )
    supervisor = models.IntegerField(null=True, blank=True)
    started_at = models.DateTimeField()
    heartbeat_at = models.DateTimeField()
    draining_at = models.DateTimeField(null=True, blank=True)
    stopped_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.id
