"""Find a message of ours whose posting was cut off before Slack's answer arrived, instead of posting it twice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import structlog

from handrail.outbox.errors import Undeliverable
from integrations.slack.client import call
from integrations.slack.errors import AppRefused

log = structlog.get_logger(__name__)

PAGES = 10
PAGE = 200
CLOCKS_DIFFER_BY = timedelta(seconds=60)
LOOK_SECONDS = 15.0
"""After so long no further page of channels is read: what follows has to end within the outbox's lease, too."""


def metadata_of(subject_type: str, subject_id: str) -> dict[str, Any]:
    """The mark that a message of ours carries: which row it shows."""
    return {"event_type": f"handrail_{subject_type}", "event_payload": {"id": subject_id}}


def find_posted(channel: str, metadata: dict[str, Any], since: datetime) -> tuple[str, str] | None:
    """Channel id and timestamp of the message with this mark, posted since then; None when there is none.

    None too when the app may not read the channel: then a second message is better than none. Raises Retry when
    Slack cannot say it now: whether the message is there shows later.
    """
    try:
        channel_id = find_channel(channel)
        if channel_id is None:
            return None
        arguments = {
            "channel": channel_id,
            "oldest": f"{(since - CLOCKS_DIFFER_BY).timestamp():.6f}",
            "limit": PAGE,
            "include_all_metadata": True,
        }
        messages = call("conversations.history", arguments).get("messages", [])
    except (AppRefused, Undeliverable) as error:
        log.info("slack_history_not_readable", channel=channel, reason=str(error))
        return None
    for message in messages:
        if message.get("metadata") == metadata:
            return channel_id, str(message["ts"])
    return None


def find_channel(name: str) -> str | None:
    """The id of a channel by its name, with or without its #, or by its id; None when it is not to be seen."""
    wanted = name.removeprefix("#")
    for channel in _channels():
        if wanted in (channel.get("name"), channel.get("id")):
            return str(channel["id"])
    return None


def _channels() -> Iterator[dict[str, Any]]:
    cursor, until = "", time.monotonic() + LOOK_SECONDS
    for _ in range(PAGES):
        arguments: dict[str, Any] = {
            "limit": PAGE,
            "exclude_archived": True,
            "types": "public_channel,private_channel",
        }
        if cursor:
            arguments["cursor"] = cursor
        page = call("conversations.list", arguments)
        yield from page.get("channels", [])
        cursor = str((page.get("response_metadata") or {}).get("next_cursor") or "")
        if not cursor or time.monotonic() > until:
            return
