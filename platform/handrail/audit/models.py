"""The audit trail's rows: a hash chain, its head, and its exported checkpoints."""

from __future__ import annotations

from django.db import models

from handrail.shared.ids import new_id


class AuditEntry(models.Model):
    """One act. Actors and objects are plain text, not foreign keys: the trail outlives what it tells of."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    chain = models.CharField(max_length=60)
    n = models.BigIntegerField()
    at = models.DateTimeField()
    actor_kind = models.CharField(max_length=10)
    actor_id = models.CharField(max_length=40, blank=True)
    actor_name = models.CharField(max_length=200)
    on_behalf_of = models.CharField(max_length=200, blank=True)
    channel = models.CharField(max_length=12)
    action = models.CharField(max_length=60)
    object_type = models.CharField(max_length=40)
    object_id = models.CharField(max_length=60)
    object_name = models.CharField(max_length=200, blank=True)
    project_id = models.CharField(max_length=40, blank=True)
    data = models.JSONField(default=dict)
    before_digest = models.CharField(max_length=64, blank=True)
    after_digest = models.CharField(max_length=64, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    address = models.CharField(max_length=64, blank=True)
    trace_id = models.CharField(max_length=32, blank=True)
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        ordering = ["chain", "n"]
        constraints = [models.UniqueConstraint(fields=["chain", "n"], name="audit_entry_place")]
        indexes = [
            models.Index(fields=["project_id", "-at"], name="audit_project_at"),
            models.Index(fields=["object_type", "object_id"], name="audit_object"),
        ]


class AuditHead(models.Model):
    """The last place of a chain: locked last in every transaction that records an act."""

    chain = models.CharField(primary_key=True, max_length=60)
    n = models.BigIntegerField(default=0)
    hash = models.CharField(max_length=64, default="0" * 64)


class Checkpoint(models.Model):
    """A signed statement of a chain's head, also written outside the database."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    chain = models.CharField(max_length=60)
    n = models.BigIntegerField()
    hash = models.CharField(max_length=64)
    at = models.DateTimeField()
    key_id = models.CharField(max_length=64)
    signature = models.TextField()
    exported_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["chain", "n"]
        indexes = [
            models.Index(fields=["chain", "n"], name="checkpoint_place"),
            models.Index(
                fields=["at"], condition=models.Q(exported_at__isnull=True), name="checkpoint_to_export"
            ),
        ]
