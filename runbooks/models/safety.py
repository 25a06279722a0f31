"""What holds automation back: kill switches, circuits, token buckets."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from handrail.shared.ids import new_id
from runbooks.models.runbook import Runbook


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
