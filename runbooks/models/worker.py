"""The processes that execute runs."""

from __future__ import annotations

from django.db import models


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
