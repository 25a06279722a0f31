"""Runbooks, their immutable versions, and when schedules start them."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from handrail.shared.ids import new_id


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
