"""The outbox's sender for Slack: renders the row as it is now, then posts it or rewrites what was posted."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from slack_sdk.webhook import WebhookClient

from handrail.accounts.actions import make_identity_link
from handrail.outbox.errors import Retry, Undeliverable
from handrail.outbox.models import OutboxMessage
from handrail.shared.clock import now
from handrail.shared.errors import HandrailError
from integrations.slack import card as approval_layout
from integrations.slack import incident_card as incident_layout
from integrations.slack.card import Message
from integrations.slack.client import SEND_SECONDS, call
from integrations.slack.errors import MessageGone
from integrations.slack.modal import linking_text
from integrations.slack.models import SlackMessage
from integrations.slack.mrkdwn import cut_escaped, escape
from integrations.slack.reading import approval_card, approval_row, incident_card
from integrations.slack.recovery import find_posted, metadata_of

log = structlog.get_logger(__name__)

CHANNEL = "slack"
"""The outbox channel whose messages this module sends."""

INTERVAL_SECONDS = 1.0
"""Slack takes one message a second in a channel (https://docs.slack.dev/apis/web-api/rate-limits)."""

SLACKS_HOOKS = "hooks.slack.com"


def send(message: OutboxMessage) -> None:
    """Send one message of the outbox. Raises Retry or Undeliverable."""
    sender = _SENDERS.get(message.kind)
    if sender is None:
        raise Undeliverable(f"This version of Handrail does not know messages of the kind {message.kind!r}.")
    try:
        sender(message.payload)
    except HandrailError as error:
        # Such as a runbook with an action that this process does not have: another one may.
        raise Retry(error.message) from error


def _send_approval(payload: dict[str, Any]) -> None:
    approval = approval_row(uuid.UUID(payload["id"]))
    if approval is not None:
        show("approval", approval.pk, payload["channel"], approval_layout.render(approval_card(approval)))


def _send_incident(payload: dict[str, Any]) -> None:
    shown = incident_card(uuid.UUID(payload["id"]))
    if shown is not None:
        show("incident", uuid.UUID(payload["id"]), payload["channel"], incident_layout.render(shown))


def show(subject_type: str, subject_id: uuid.UUID, channel: str, message: Message) -> None:
    """Make the subject's message in this channel show ``message``: rewritten in place, posted when there is none.

    Doing it twice changes nothing, so a sender that died before it was marked may be repeated. What was cut off
    between Slack's posting and our storing is found again by the mark that the message carries.
    """
    digest = _digest(message)
    shown, _ = SlackMessage.objects.get_or_create(
        subject_type=subject_type, subject_id=subject_id, channel=channel
    )
    if shown.ts and shown.rendered_digest == digest:
        return
    content = {"text": message.text, "blocks": list(message.blocks), "unfurl_links": False}
    if not shown.ts and shown.posted_at is not None:
        found = find_posted(channel, metadata_of(subject_type, str(subject_id)), shown.posted_at)
        shown.channel_id, shown.ts = found or ("", "")
    if not (shown.ts and _update(shown, content)):
        _post(shown, content)
    shown.rendered_digest, shown.updated_at = digest, now()
    shown.save(update_fields=["channel_id", "ts", "rendered_digest", "updated_at"])


def _update(shown: SlackMessage, content: dict[str, Any]) -> bool:
    """Rewrite the message in place; False when somebody has deleted it."""
    try:
        call("chat.update", {"channel": shown.channel_id, "ts": shown.ts, **content})
    except MessageGone:
        log.info("slack_message_gone", subject=str(shown.subject_id), channel=shown.channel)
        return False
    return True


def _post(shown: SlackMessage, content: dict[str, Any]) -> None:
    """Post it; that it is about to be posted is stored first."""
    shown.ts, shown.posted_at = "", now()
    shown.save(update_fields=["ts", "posted_at"])
    mark = metadata_of(shown.subject_type, str(shown.subject_id))
    try:
        answer = call("chat.postMessage", {"channel": shown.channel, "metadata": mark, **content})
    except Undeliverable:
        SlackMessage.objects.filter(pk=shown.pk).update(posted_at=None)
        raise
    shown.channel_id, shown.ts = str(answer["channel"]), str(answer["ts"])


def _digest(message: Message) -> str:
    text = json.dumps([message.text, message.blocks], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _send_post(payload: dict[str, Any]) -> None:
    """A text of a runbook, escaped: values of alerts in it must not mention or deceive; the address stays whole."""
    url = f" {escape(payload['url'])}" if payload.get("url") else ""
    text = cut_escaped(payload["text"], 3500 - len(url), keep_lines=payload.get("lines", False)) + url
    call("chat.postMessage", {"channel": payload["channel"], "text": text, "unfurl_links": False})


def _send_private(payload: dict[str, Any]) -> None:
    _whisper(payload, cut_escaped(payload["text"], 2000))


def _send_invitation(payload: dict[str, Any]) -> None:
    """The link is made here, not stored with the message: nobody else should ever read it."""
    invitation = make_identity_link(
        CHANNEL, payload["workspace"], payload["user"], external_name=payload.get("name", "")
    )
    _whisper(payload, linking_text(invitation.url))


def _whisper(payload: dict[str, Any], text: str) -> None:
    """Tell one person: in the channel of the click, else through the click's response URL."""
    response_url = payload.get("response_url", "")
    if payload.get("channel"):
        try:
            call("chat.postEphemeral", {"channel": payload["channel"], "user": payload["user"], "text": text})
        except Undeliverable:
            if not is_slacks(response_url):
                raise
        else:
            return
    if not is_slacks(response_url):
        raise Undeliverable("Slack gave neither a channel nor a response URL to answer this person.")
    _answer(response_url, text)


def _answer(response_url: str, text: str) -> None:
    client = WebhookClient(response_url, timeout=SEND_SECONDS, retry_handlers=[])
    if urlsplit(response_url).hostname != SLACKS_HOOKS:
        client.proxy = None
    try:
        answer = client.send(text=text, response_type="ephemeral", replace_original=False)
    except (OSError, HTTPException) as error:
        raise Retry(f"Slack cannot be reached: {type(error).__name__}") from error
    if answer.status_code >= 500 or answer.status_code == 429:
        raise Retry(f"Slack answered with status {answer.status_code}.")
    if answer.status_code != 200:
        raise Undeliverable(f"The response URL is not valid any more (status {answer.status_code}).")


def is_slacks(url: str) -> bool:
    """Whether a response URL leads to Slack: its own host, or wherever this installation's Slack API is."""
    try:
        target, base = urlsplit(url), urlsplit(settings.SLACK_BASE_URL)
        same = (target.scheme, target.hostname, target.port) == (base.scheme, base.hostname, base.port)
    except ValueError:
        return False
    return same or (target.scheme == "https" and target.netloc == SLACKS_HOOKS)


_SENDERS: dict[str, Callable[[dict[str, Any]], None]] = {
    "approval": _send_approval,
    "incident": _send_incident,
    "post": _send_post,
    "private": _send_private,
    "invitation": _send_invitation,
}
