"""``slack.post``: a runbook says something in a channel; it leaves through the outbox."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.db import transaction

from handrail.outbox.actions import enqueue
from handrail.outbox.models import OutboxMessage
from integrations.slack.client import is_configured
from integrations.slack.messages import CHANNEL
from runbooks.language.actions import ActionSpec
from runbooks.language.definition import Effect, Json
from runbooks.steps.base import Action, ActionContext, Failure, InvalidInputs, Outcome, Success

MAX_TEXT = 3000


@dataclass(frozen=True, slots=True)
class SlackPostInputs:
    """Where, and what."""

    channel: str
    text: str


class SlackPost(Action[SlackPostInputs]):
    """Hands the message to the outbox and succeeds; the outbox keeps to Slack's pace and tries again by itself.

    Idempotent: the message has the step's own key, so a repeated attempt finds it there.
    """

    spec = ActionSpec(
        name="slack.post",
        title="Post to Slack",
        description=(
            "Posts a text to a channel where the Handrail app is a member. The text is shown literally: "
            "values of alerts in it cannot mention anybody. Without a Slack app the step succeeds and says so."
        ),
        inputs_schema={
            "type": "object",
            "additionalProperties": False,
            "required": ["channel", "text"],
            "properties": {
                "channel": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 80,
                    "description": "Such as `#inc-payments`, or the channel's id.",
                },
                "text": {
                    "type": "string",
                    "minLength": 1,
                    "description": "What to say; 3,000 characters are kept.",
                },
            },
        },
        effect=Effect.REVERSIBLE,
        idempotent=True,
        may_be_idempotent=True,
        outputs={
            "message": "The id of the message in the outbox; null without a Slack app.",
            "channel": "The channel.",
        },
    )

    def read(self, rendered: Mapping[str, Json]) -> SlackPostInputs:
        """A channel and a text, neither empty."""
        channel, text = rendered.get("channel"), rendered.get("text")
        if not isinstance(channel, str) or not channel.strip() or len(channel) > 80:
            raise InvalidInputs("`channel` must be the name of a channel, such as #inc-payments.")
        if not isinstance(text, str) or not text.strip():
            raise InvalidInputs("`text` must be what to say; it is empty.")
        return SlackPostInputs(channel.strip(), text)

    def preview(self, inputs: SlackPostInputs, context: ActionContext) -> str:
        """The channel and the beginning of the text."""
        text = " ".join(inputs.text.split())
        return f"Post to {inputs.channel}: {text[:200]}"

    def target(self, inputs: SlackPostInputs) -> str:
        """The channel."""
        return inputs.channel

    def execute(self, inputs: SlackPostInputs, context: ActionContext) -> Outcome:
        """Put the message into the outbox once, whatever the attempt."""
        if not is_configured():
            context.log("log", "No Slack app is set up: nothing was posted.")
            return Success({"message": None, "channel": inputs.channel})
        if context.cancelled():
            return Failure("cancelled", "The run was stopped before the message was handed over.")
        key = f"slack:post:{context.idempotency_key}"[:200]
        text = context.redactor.text(inputs.text)[:MAX_TEXT]
        with transaction.atomic():
            message = OutboxMessage.objects.filter(dedupe_key=key).first() or enqueue(
                CHANNEL,
                "post",
                key,
                {"channel": inputs.channel, "text": text, "lines": True},
                project=context.project,
                destination=inputs.channel,
            )
        context.log("log", f"Handed to the outbox for {inputs.channel}.")
        return Success({"message": str(message.pk), "channel": inputs.channel})
