"""Incidents, their alerts, their timeline and their postmortems."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from handrail.shared.ids import new_id


class Incident(models.Model):
    """Something that is wrong with production, until it is not. Written only by ``actions.py``."""

    class Status(models.TextChoices):
        TRIAGE = "triage"
        INVESTIGATING = "investigating"
        IDENTIFIED = "identified"
        MITIGATED = "mitigated"
        RESOLVED = "resolved"
        CLOSED = "closed"
        CANCELLED = "cancelled"
        MERGED = "merged"

    class AutoResolve(models.TextChoices):
        ALL = "all"
        NEVER = "never"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    project = models.ForeignKey("accounts.Project", on_delete=models.CASCADE, related_name="incidents")
    number = models.IntegerField()
    title = models.CharField(max_length=300)
    severity = models.CharField(max_length=4, default="SEV3")
    status = models.CharField(max_length=14, choices=Status.choices, default=Status.TRIAGE)
    key = models.CharField(max_length=300, blank=True)
    is_open = models.BooleanField(default=True)
    service = models.ForeignKey("catalog.Service", null=True, blank=True, on_delete=models.SET_NULL)
    environment = models.ForeignKey("catalog.Environment", null=True, blank=True, on_delete=models.SET_NULL)
    started_at = models.DateTimeField()
    detected_at = models.DateTimeField()
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    contained_at = models.DateTimeField(null=True, blank=True)
    mitigated_at = models.DateTimeField(null=True, blank=True)
    resolved_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    status_reason = models.CharField(max_length=500, blank=True)
    commander = models.ForeignKey(
        "accounts.User", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    merged_into = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    related_to = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    flaps = models.IntegerField(default=0)
    auto_resolve = models.CharField(max_length=5, choices=AutoResolve.choices, default=AutoResolve.ALL)
    resolve_due_at = models.DateTimeField(null=True, blank=True)
    draft_due_at = models.DateTimeField(null=True, blank=True)
    timeline_n = models.IntegerField(default=0)
    trace_id = models.CharField(max_length=32, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-started_at"]
        constraints = [
            models.UniqueConstraint(fields=["project", "number"], name="incident_number_in_project"),
            models.UniqueConstraint(
                fields=["project", "key"], condition=Q(is_open=True) & ~Q(key=""), name="incident_one_open"
            ),
        ]
        indexes = [
            models.Index(fields=["project", "is_open", "-started_at"], name="incident_open_at"),
            models.Index(
                fields=["resolve_due_at"], condition=Q(resolve_due_at__isnull=False), name="incident_due"
            ),
            models.Index(
                fields=["draft_due_at"], condition=Q(draft_due_at__isnull=False), name="incident_draft_due"
            ),
            models.Index(fields=["project", "-created_at"], name="incident_project_created"),
        ]

    def __str__(self) -> str:
        return f"INC-{self.number}"


class IncidentAlert(models.Model):
    """An alert episode that belongs to an incident, and why."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="incident_alerts")
    alert = models.ForeignKey("alerts.Alert", on_delete=models.CASCADE, related_name="incident_alerts")
    joined_at = models.DateTimeField()
    reason = models.CharField(max_length=500)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["incident", "alert"], name="alert_once_in_incident")]


class TimelineEvent(models.Model):
    """Something that happened in an incident. Append-only.

    ``kind`` is like ``alert.fired``, ``incident.acknowledged``, ``run.started``, ``step.succeeded``,
    ``approval.decided``, ``note``. ``subject_type``/``subject_id``/``url`` lead to the evidence.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="timeline")
    n = models.IntegerField()
    kind = models.CharField(max_length=40)
    text = models.TextField()
    data = models.JSONField(default=dict)
    at = models.DateTimeField()
    recorded_at = models.DateTimeField(auto_now_add=True)
    actor_kind = models.CharField(max_length=10)
    actor_id = models.CharField(max_length=40, blank=True)
    actor_name = models.CharField(max_length=200)
    channel = models.CharField(max_length=12)
    subject_type = models.CharField(max_length=30, blank=True)
    subject_id = models.CharField(max_length=60, blank=True)
    url = models.CharField(max_length=300, blank=True)
    dedupe_key = models.CharField(max_length=120, blank=True)

    class Meta:
        ordering = ["incident", "n"]
        constraints = [
            models.UniqueConstraint(fields=["incident", "n"], name="timeline_place"),
            models.UniqueConstraint(
                fields=["incident", "dedupe_key"], condition=~Q(dedupe_key=""), name="timeline_once"
            ),
        ]


class Postmortem(models.Model):
    """The draft that a resolved incident leaves behind."""

    class Status(models.TextChoices):
        DRAFT = "draft"
        IN_REVIEW = "in_review"
        PUBLISHED = "published"
        AMENDED = "amended"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    incident = models.OneToOneField(Incident, on_delete=models.CASCADE, related_name="postmortem")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.DRAFT)
    generated_at = models.DateTimeField()
    events_n = models.IntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)


class PostmortemSection(models.Model):
    """One section: what was generated, the events behind each line, and what people made of it.

    ``lines`` is ``[{"text": str, "events": [timeline event id, ...]}, ...]``; ``edited`` is Markdown or None.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    postmortem = models.ForeignKey(Postmortem, on_delete=models.CASCADE, related_name="sections")
    key = models.CharField(max_length=30)
    position = models.SmallIntegerField()
    title = models.CharField(max_length=100)
    lines = models.JSONField(default=list)
    lines_digest = models.CharField(max_length=64, blank=True)
    generator_version = models.CharField(max_length=10)
    edited = models.TextField(null=True, blank=True)
    edited_by = models.ForeignKey("accounts.User", null=True, blank=True, on_delete=models.SET_NULL)
    edited_at = models.DateTimeField(null=True, blank=True)
    edited_over_digest = models.CharField(max_length=64, blank=True)
    revision = models.IntegerField(default=1)

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["postmortem", "key"], name="section_once")]


class PostmortemRevision(models.Model):
    """What a section was at one revision. Immutable."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    section = models.ForeignKey(PostmortemSection, on_delete=models.CASCADE, related_name="revisions")
    n = models.IntegerField()
    text = models.TextField()
    edited = models.BooleanField()
    actor_name = models.CharField(max_length=200)
    at = models.DateTimeField()

    class Meta:
        ordering = ["-n"]
        constraints = [models.UniqueConstraint(fields=["section", "n"], name="section_revision_once")]
