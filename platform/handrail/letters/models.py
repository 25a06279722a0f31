"""The list of dead letters: one row for each time that something was given up, whatever it was."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from handrail.shared.ids import new_id


class DeadLetter(models.Model):
    """Something that nobody does any more by itself: a delivery, a message, a step.

    ``ref`` is the row that was given up, ``run_id`` a step's run. The row itself stays where it is and stays true;
    this one says who looks after it and how it ended. At most one letter of a row is open at a time.
    """

    class Kind(models.TextChoices):
        DELIVERY = "delivery"
        MESSAGE = "message"
        STEP = "step"

    class State(models.TextChoices):
        OPEN = "open"
        RETRIED = "retried"
        SETTLED = "settled"
        DISCARDED = "discarded"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    project = models.ForeignKey(
        "accounts.Project", null=True, blank=True, on_delete=models.CASCADE, related_name="dead_letters"
    )
    kind = models.CharField(max_length=10, choices=Kind.choices)
    ref = models.UUIDField()
    run_id = models.UUIDField(null=True, blank=True)
    what = models.CharField(max_length=300)
    why = models.TextField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    owner = models.ForeignKey(
        "accounts.User", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    died_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.CharField(max_length=200, blank=True)
    reason = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "ref"], condition=Q(state="open"), name="letter_open_once"
            )
        ]
        indexes = [
            models.Index(fields=["died_at"], condition=Q(state="open"), name="letter_open"),
            models.Index(fields=["kind", "ref"], name="letter_ref"),
        ]

    def __str__(self) -> str:
        return self.what

    @property
    def is_open(self) -> bool:
        """Whether somebody still has to do something about it."""
        return self.state == self.State.OPEN
