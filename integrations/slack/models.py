"""Which Slack message shows which row."""

from __future__ import annotations

from django.db import models

from handrail.shared.ids import new_id


class SlackMessage(models.Model):
    """A message that is a view of a row: rewritten with ``chat.update`` whenever the row changes."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    subject_type = models.CharField(max_length=20)
    subject_id = models.UUIDField()
    channel = models.CharField(max_length=80)
    channel_id = models.CharField(max_length=40, blank=True)
    ts = models.CharField(max_length=40, blank=True)
    rendered_digest = models.CharField(max_length=64, blank=True)
    posted_at = models.DateTimeField(null=True, blank=True)
    updated_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["subject_type", "subject_id", "channel"], name="slack_message_once"
            )
        ]


class SlackCallback(models.Model):
    """When Slack last called us with a valid signature: one row, so that `handrail slack check` can tell."""

    id = models.SmallIntegerField(primary_key=True, default=1, editable=False)
    received_at = models.DateTimeField()
    kind = models.CharField(max_length=40)
