"""Sources, deliveries and alert episodes."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from handrail.shared.ids import new_id
from handrail.shared.retention import removed_words


class Source(models.Model):
    """Something that sends alerts to ``/hooks/v1/<kind>/<key>``; runs that it triggers act as ``run_as``."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    project = models.ForeignKey("accounts.Project", on_delete=models.CASCADE, related_name="sources")
    kind = models.CharField(max_length=30)
    name = models.CharField(max_length=100)
    key_digest = models.CharField(max_length=64, unique=True)
    previous_key_digest = models.CharField(max_length=64, blank=True, db_index=True)
    previous_key_expires_at = models.DateTimeField(null=True, blank=True)
    settings = models.JSONField(default=dict, blank=True)
    secret_reference = models.CharField(max_length=300, blank=True)
    run_as = models.ForeignKey("accounts.User", on_delete=models.PROTECT, related_name="+")
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="source_name_in_project")]

    def __str__(self) -> str:
        return self.name


class Delivery(models.Model):
    """One request of a source, stored before anything is made of it.

    The row outlives its body: ``body_removed_at`` says since when retention does not keep it, after
    ``body_kept_days``.
    """

    class Verdict(models.TextChoices):
        RECEIVED = "received"
        PROCESSED = "processed"
        DUPLICATE = "duplicate"
        DEAD = "dead"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="deliveries")
    received_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    seen_count = models.IntegerField(default=1)
    body = models.BinaryField()
    body_sha256 = models.CharField(max_length=64)
    headers = models.JSONField(default=dict)
    provider_id = models.CharField(max_length=200, blank=True)
    trust = models.CharField(max_length=12)
    verdict = models.CharField(max_length=10, choices=Verdict.choices, default=Verdict.RECEIVED)
    error = models.TextField(blank=True)
    explanation = models.JSONField(default=list, blank=True)
    attempts = models.IntegerField(default=0)
    due_at = models.DateTimeField(null=True, blank=True)
    trace_id = models.CharField(max_length=32, blank=True)
    body_removed_at = models.DateTimeField(null=True, blank=True)
    body_kept_days = models.IntegerField(null=True, blank=True)

    class Meta:
        ordering = ["-received_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["source", "provider_id"], condition=~Q(provider_id=""), name="delivery_once"
            )
        ]
        indexes = [
            models.Index(fields=["source", "body_sha256"], name="delivery_body"),
            models.Index(fields=["due_at"], condition=Q(verdict="received"), name="delivery_due"),
            models.Index(fields=["received_at"], condition=Q(verdict="dead"), name="delivery_dead"),
            models.Index(fields=["source", "-received_at"], name="delivery_source_at"),
            models.Index(
                fields=["received_at"], condition=Q(body_removed_at__isnull=True), name="delivery_body_kept"
            ),
        ]

    @property
    def body_removed(self) -> str:
        """That its body is not kept any more, in words; empty where it is."""
        if self.body_removed_at is None:
            return ""
        return removed_words("The body", self.body_removed_at, self.body_kept_days or 0)


class Alert(models.Model):
    """One episode of one alert: from its first firing to its resolution. At most one is open at a time."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    project = models.ForeignKey("accounts.Project", on_delete=models.CASCADE, related_name="alerts")
    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="alerts")
    fingerprint = models.CharField(max_length=200)
    is_open = models.BooleanField(default=True)
    status = models.CharField(max_length=14)
    severity = models.CharField(max_length=10)
    severity_word = models.CharField(max_length=60, blank=True)
    title = models.CharField(max_length=500)
    description = models.TextField(blank=True)
    labels = models.JSONField(default=dict)
    annotations = models.JSONField(default=dict)
    links = models.JSONField(default=list)
    value = models.CharField(max_length=200, blank=True)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    last_event_at = models.DateTimeField()
    seen_count = models.IntegerField(default=1)
    service = models.ForeignKey("catalog.Service", null=True, blank=True, on_delete=models.SET_NULL)
    environment = models.ForeignKey("catalog.Environment", null=True, blank=True, on_delete=models.SET_NULL)
    first_delivery = models.ForeignKey(Delivery, null=True, on_delete=models.SET_NULL, related_name="+")
    last_delivery = models.ForeignKey(Delivery, null=True, on_delete=models.SET_NULL, related_name="+")
    decisions = models.JSONField(default=list)

    class Meta:
        ordering = ["-last_seen_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["source", "fingerprint"], condition=Q(is_open=True), name="alert_one_open_episode"
            )
        ]
        indexes = [models.Index(fields=["project", "-last_seen_at"], name="alert_project_seen")]

    def __str__(self) -> str:
        return self.title
