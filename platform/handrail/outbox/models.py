"""Messages that must leave: written in the act's transaction, sent afterwards by whoever claims them."""

from __future__ import annotations

from django.db import models

from handrail.shared.ids import new_id


class OutboxMessage(models.Model):
    """One message to one channel. The same ``dedupe_key`` again re-arms the row: views are coalesced.

    ``channel`` names the sender (``slack``), ``destination`` whom it reaches (``#incidents``). ``attempts``
    counts claims, so that a message that kills its sender dies as well. Lower ``priority`` leaves first.
    """

    class State(models.TextChoices):
        PENDING = "pending"
        SENDING = "sending"
        SENT = "sent"
        DEAD = "dead"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    project = models.ForeignKey("accounts.Project", null=True, blank=True, on_delete=models.CASCADE)
    channel = models.CharField(max_length=30)
    kind = models.CharField(max_length=40)
    destination = models.CharField(max_length=120, blank=True)
    dedupe_key = models.CharField(max_length=200, unique=True)
    payload = models.JSONField(default=dict)
    priority = models.SmallIntegerField(default=5)
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    version = models.IntegerField(default=1)
    due_at = models.DateTimeField()
    attempts = models.IntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True)
    fence = models.BigIntegerField(default=0)
    last_error = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["due_at"], name="outbox_due", condition=models.Q(state__in=["pending", "sending"])
            ),
            models.Index(fields=["due_at"], name="outbox_dead", condition=models.Q(state="dead")),
        ]


class OutboxLane(models.Model):
    """When a destination may be sent to again: its rate, shared by all processes."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    channel = models.CharField(max_length=30)
    destination = models.CharField(max_length=120, blank=True)
    free_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["channel", "destination"], name="outbox_lane_once")]
