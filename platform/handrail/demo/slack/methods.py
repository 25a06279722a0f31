"""The Web API methods of the fake: the arguments, the checks and the answers of the real ones.

Source: https://docs.slack.dev/reference/methods. Every method answers ``{"ok": True, ...}`` or raises
:class:`Refused` with Slack's error code.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from handrail.demo.slack.blocks import problems_of_blocks, problems_of_view
from handrail.demo.slack.workspace import (
    APP_ID,
    BOT_ID,
    BOT_USER_ID,
    TEAM_ID,
    TEAM_NAME,
    Channel,
    Message,
    Note,
    View,
    Workspace,
)

Arguments = Mapping[str, Any]
Answer = dict[str, Any]

MAX_MESSAGE_TEXT = 40_000
KEPT_NOTES = 200


class Refused(Exception):
    """``{"ok": false, "error": code}``, with details where Slack gives some."""

    def __init__(self, code: str, messages: list[str] | None = None) -> None:
        """``messages`` become ``response_metadata.messages``."""
        super().__init__(code)
        self.code = code
        self.messages = messages or []


def auth_test(workspace: Workspace, arguments: Arguments) -> Answer:
    """Whose token is this?"""
    return {
        "url": "https://handrail-demo.slack.invalid/",
        "team": TEAM_NAME,
        "user": "handrail",
        "team_id": TEAM_ID,
        "user_id": BOT_USER_ID,
        "bot_id": BOT_ID,
        "is_enterprise_install": False,
    }


def post_message(workspace: Workspace, arguments: Arguments) -> Answer:
    """Post into a channel or into a thread."""
    channel = _channel(workspace, arguments)
    text, blocks = _content(arguments)
    thread_ts = str(arguments.get("thread_ts") or "")
    if thread_ts and workspace.message(channel.id, thread_ts) is None:
        raise Refused("thread_not_found")
    message = Message(channel.id, workspace.new_ts(), text, blocks, thread_ts=thread_ts)
    metadata = _structured(arguments, "metadata", {})
    if metadata:
        if not isinstance(metadata, dict) or not {"event_type", "event_payload"} <= metadata.keys():
            raise Refused("invalid_metadata_format")
        message.metadata = metadata
    workspace.messages.append(message)
    workspace.touch()
    return {"channel": channel.id, "ts": message.ts, "message": describe(message)}


def update(workspace: Workspace, arguments: Arguments) -> Answer:
    """Rewrite a message of the app."""
    channel = _channel(workspace, arguments)
    if str(arguments["channel"]) != channel.id:
        # The real method takes only ids.
        raise Refused("channel_not_found")
    message = workspace.message(channel.id, _required(arguments, "ts"))
    if message is None:
        raise Refused("message_not_found")
    message.text, message.blocks = _content(arguments)
    message.edited += 1
    workspace.touch()
    return {"channel": channel.id, "ts": message.ts, "text": message.text, "message": describe(message)}


def post_ephemeral(workspace: Workspace, arguments: Arguments) -> Answer:
    """Tell one person of a channel."""
    channel = _channel(workspace, arguments)
    user = _required(arguments, "user")
    if user not in workspace.people:
        raise Refused("user_not_in_channel")
    text, blocks = _content(arguments)
    note = Note(channel.id, user, workspace.new_ts(), text, blocks)
    add_note(workspace, note)
    return {"message_ts": note.ts}


def add_note(workspace: Workspace, note: Note) -> None:
    """Show a private note; only the newest are kept."""
    workspace.notes.append(note)
    del workspace.notes[:-KEPT_NOTES]
    workspace.touch()


def views_open(workspace: Workspace, arguments: Arguments) -> Answer:
    """Open a modal for whoever clicked, within three seconds of the click."""
    trigger = workspace.triggers.get(_required(arguments, "trigger_id"))
    content = _view(arguments)
    if trigger is None:
        raise Refused("invalid_trigger_id")
    if trigger.used:
        raise Refused("exchanged_trigger_id")
    if workspace.clock() > trigger.expires:
        raise Refused("expired_trigger_id")
    trigger.used = True
    for other in [view for view in workspace.views.values() if view.user == trigger.user]:
        del workspace.views[other.id]
    view = View("V" + secrets.token_hex(5).upper(), trigger.user, content, _hash(workspace))
    workspace.views[view.id] = view
    workspace.touch()
    return {"view": describe_view(view)}


def views_update(workspace: Workspace, arguments: Arguments) -> Answer:
    """Replace what an open modal shows."""
    content = _view(arguments)
    view = workspace.views.get(_required(arguments, "view_id"))
    if view is None:
        raise Refused("not_found")
    expected = arguments.get("hash")
    if expected and expected != view.hash:
        raise Refused("hash_conflict")
    show_view(workspace, view, content)
    return {"view": describe_view(view)}


def show_view(workspace: Workspace, view: View, content: dict[str, Any]) -> None:
    """Let an open modal show something else."""
    view.content, view.hash, view.errors = content, _hash(workspace), {}
    workspace.touch()


def conversations_list(workspace: Workspace, arguments: Arguments) -> Answer:
    """The channels."""
    return {"channels": [_describe_channel(channel) for channel in workspace.channels.values()]}


def conversations_info(workspace: Workspace, arguments: Arguments) -> Answer:
    """One channel."""
    return {"channel": _describe_channel(_channel(workspace, arguments))}


def conversations_history(workspace: Workspace, arguments: Arguments) -> Answer:
    """The newest messages of a channel, newest first."""
    channel = _channel(workspace, arguments)
    limit = int(str(arguments.get("limit") or 100))
    oldest = float(str(arguments.get("oldest") or 0))
    found = [m for m in workspace.messages if m.channel == channel.id and float(m.ts) >= oldest]
    shown = [describe(message) for message in reversed(found[-limit:])]
    if not arguments.get("include_all_metadata"):
        shown = [{name: part for name, part in each.items() if name != "metadata"} for each in shown]
    return {"messages": shown, "has_more": False}


def users_info(workspace: Workspace, arguments: Arguments) -> Answer:
    """One person."""
    person = workspace.people.get(_required(arguments, "user"))
    if person is None:
        raise Refused("user_not_found")
    return {
        "user": {
            "id": person.id,
            "team_id": TEAM_ID,
            "name": person.name,
            "real_name": person.real_name,
            "is_bot": False,
        }
    }


FORM_ONLY = frozenset(
    {"auth.test", "conversations.list", "conversations.info", "conversations.history", "users.info"}
)
"""Reads: the real ones ignore a JSON body."""

METHODS: dict[str, Callable[[Workspace, Arguments], Answer]] = {
    "auth.test": auth_test,
    "chat.postMessage": post_message,
    "chat.update": update,
    "chat.postEphemeral": post_ephemeral,
    "views.open": views_open,
    "views.update": views_update,
    "conversations.list": conversations_list,
    "conversations.info": conversations_info,
    "conversations.history": conversations_history,
    "users.info": users_info,
}


def describe(message: Message) -> dict[str, Any]:
    """A message as the API and the callbacks show it."""
    described: dict[str, Any] = {
        "type": "message",
        "user": BOT_USER_ID,
        "bot_id": BOT_ID,
        "app_id": APP_ID,
        "team": TEAM_ID,
        "ts": message.ts,
        "text": message.text,
        "blocks": message.blocks,
    }
    if message.thread_ts:
        described["thread_ts"] = message.thread_ts
    if message.metadata is not None:
        described["metadata"] = message.metadata
    return described


def describe_view(view: View, values: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A modal as the API and the callbacks show it; ``values`` are what was filled in."""
    return {
        **view.content,
        "id": view.id,
        "team_id": TEAM_ID,
        "app_id": APP_ID,
        "app_installed_team_id": TEAM_ID,
        "bot_id": BOT_ID,
        "hash": view.hash,
        "root_view_id": view.id,
        "previous_view_id": None,
        "private_metadata": view.content.get("private_metadata", ""),
        "state": {"values": dict(values or {})},
    }


def _describe_channel(channel: Channel) -> dict[str, Any]:
    return {
        "id": channel.id,
        "name": channel.name,
        "is_channel": True,
        "is_member": True,
        "is_archived": False,
        "topic": {"value": channel.topic},
    }


def _required(arguments: Arguments, name: str) -> str:
    value = arguments.get(name)
    if not isinstance(value, str) or not value:
        raise Refused("invalid_arguments", [f"[ERROR] missing required field: {name}"])
    return value


def _channel(workspace: Workspace, arguments: Arguments) -> Channel:
    channel = workspace.channel(_required(arguments, "channel"))
    if channel is None:
        raise Refused("channel_not_found")
    return channel


def _structured(arguments: Arguments, name: str, default: object) -> Any:
    """An argument that is JSON: as a value in a JSON body, as text in a form."""
    value = arguments.get(name, default)
    if isinstance(value, str):
        try:
            return json.loads(value or "null")
        except ValueError:
            raise Refused("invalid_json") from None
    return value


def _content(arguments: Arguments) -> tuple[str, list[dict[str, Any]]]:
    text = str(arguments.get("text") or "")
    blocks = _structured(arguments, "blocks", []) or []
    if not text and not blocks:
        raise Refused("no_text")
    if len(text) > MAX_MESSAGE_TEXT:
        raise Refused("msg_too_long")
    found = problems_of_blocks(blocks)
    if found:
        raise Refused("invalid_blocks", [f"[ERROR] {problem}" for problem in found])
    return text, [{"block_id": f"b{n}", **block} for n, block in enumerate(blocks)]


def _view(arguments: Arguments) -> dict[str, Any]:
    view = _structured(arguments, "view", None)
    found = problems_of_view(view)
    if found:
        raise Refused("invalid_arguments", [f"[ERROR] {problem}" for problem in found])
    content: dict[str, Any] = dict(view)
    content["blocks"] = [{"block_id": f"b{n}", **block} for n, block in enumerate(view["blocks"])]
    return content


def _hash(workspace: Workspace) -> str:
    return f"{int(workspace.clock())}.{secrets.token_hex(4)}"
