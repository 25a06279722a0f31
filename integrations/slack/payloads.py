"""What Slack sends to the interactivity address, read with suspicion. Pure.

Source: https://docs.slack.dev/reference/interaction-payloads. Every field that Slack leaves out for ephemeral
messages, organisation-wide installations or shared channels may be missing or null; what is not for Handrail
(shortcuts, selects, legacy attachments, other apps' buttons) is :class:`Irrelevant`.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from handrail.shared.jsonvalue import storable_text

_ID = re.compile(r"[A-Za-z0-9_-]{1,60}", re.ASCII)
_TRIGGER = re.compile(r"[A-Za-z0-9._-]{1,200}", re.ASCII)


class Malformed(Exception):
    """The body is not an interaction of Slack's; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Clicker:
    """Who acted: ``workspace`` is the team that the person belongs to, ``name`` only for people to read."""

    user_id: str
    workspace: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Click:
    """A button was pressed. ``approval_id`` is the button's value. Empty strings are what Slack left out."""

    who: Clicker
    action_id: str
    approval_id: uuid.UUID
    trigger_id: str = ""
    channel_id: str = ""
    response_url: str = ""


@dataclass(frozen=True, slots=True)
class Submission:
    """A modal was submitted. ``metadata`` is the modal's own, ``values`` what was filled in, by action id."""

    who: Clicker
    callback_id: str
    metadata: str
    values: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Irrelevant:
    """Nothing for Handrail: acknowledged, and that is all."""

    kind: str


@dataclass(frozen=True, slots=True)
class Challenge:
    """Slack asks whether the address is ours: the text goes back as it came."""

    text: str


Interaction = Click | Submission | Irrelevant | Challenge


def read(body: bytes, actions: frozenset[str]) -> Interaction:
    """The interaction in a form body; ``actions`` are the buttons that Handrail answers to.

    Raises :class:`Malformed` for what Slack would never send.
    """
    if body.startswith(b"{"):
        return _event(_parsed(body.decode()))
    payload = _payload(body)
    kind = payload.get("type")
    if kind == "block_actions":
        return _click(payload, actions)
    if kind == "view_submission":
        return _submission(payload)
    return Irrelevant(kind if isinstance(kind, str) else "")


def _payload(body: bytes) -> dict[str, Any]:
    try:
        form = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=20)
    except ValueError:
        raise Malformed("the body is not a form in UTF-8") from None
    texts = form.get("payload")
    if texts:
        return _parsed(texts[0])
    if "command" in form:
        return {"type": "command"}
    raise Malformed("the form has no payload")


def _parsed(text: str) -> dict[str, Any]:
    try:
        payload = json.loads(text)
    except RecursionError:
        raise Malformed("the payload is nested too deeply") from None
    except ValueError:
        raise Malformed("the payload is not JSON") from None
    if not isinstance(payload, dict):
        raise Malformed("the payload is not an object")
    return payload


def _event(payload: Mapping[str, Any]) -> Challenge | Irrelevant:
    """The Events API's JSON bodies: Handrail asks for none, but answers the check of the address."""
    if payload.get("type") == "url_verification":
        return Challenge(_text(payload, "challenge")[:500])
    return Irrelevant("event")


def _click(payload: Mapping[str, Any], actions: frozenset[str]) -> Click | Irrelevant:
    pressed = payload.get("actions")
    action = pressed[0] if isinstance(pressed, list) and pressed else None
    if not isinstance(action, dict) or _text(action, "action_id") not in actions:
        return Irrelevant("block_actions")
    try:
        approval_id = uuid.UUID(_text(action, "value"))
    except ValueError:
        raise Malformed("the button's value is not an approval") from None
    channel = _text(_inside(payload, "channel"), "id") or _text(_inside(payload, "container"), "channel_id")
    trigger_id = _text(payload, "trigger_id")
    return Click(
        who=_clicker(payload),
        action_id=str(action["action_id"]),
        approval_id=approval_id,
        trigger_id=trigger_id if _TRIGGER.fullmatch(trigger_id) else "",
        channel_id=channel if _ID.fullmatch(channel) else "",
        response_url=_text(payload, "response_url"),
    )


def _submission(payload: Mapping[str, Any]) -> Submission:
    view = _inside(payload, "view")
    state = _inside(view, "state")
    values: dict[str, object] = {}
    for block in _inside(state, "values").values():
        if isinstance(block, dict):
            for action_id, element in block.items():
                if isinstance(element, dict):
                    values[action_id] = _filled(element)
    return Submission(
        who=_clicker(payload),
        callback_id=_text(view, "callback_id"),
        metadata=_text(view, "private_metadata"),
        values=values,
    )


def _filled(element: Mapping[str, Any]) -> object:
    """What was filled into an input: text, the value of the chosen option, or None."""
    chosen = element.get("selected_option")
    if isinstance(chosen, dict):
        return _text(chosen, "value") or None
    value = element.get("value")
    return storable_text(value) if isinstance(value, str) else None


def _clicker(payload: Mapping[str, Any]) -> Clicker:
    """The person, in the workspace to which their account belongs.

    In an Enterprise Grid ``team`` may be null, and in a shared channel it is the channel's, not the person's:
    ``user.team_id`` is right where it is given.
    """
    user = _inside(payload, "user")
    user_id = _text(user, "id")
    workspace = _text(user, "team_id") or _text(_inside(payload, "team"), "id")
    if not workspace:
        workspace = _text(_inside(payload, "view"), "app_installed_team_id")
    if not _ID.fullmatch(user_id) or not _ID.fullmatch(workspace):
        raise Malformed("the payload does not say who acted")
    return Clicker(user_id, workspace, _text(user, "name") or _text(user, "username"))


def _inside(container: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = container.get(name)
    return value if isinstance(value, dict) else {}


def _text(container: Mapping[str, Any], name: str) -> str:
    value = container.get(name)
    return storable_text(value) if isinstance(value, str) else ""
