"""The page of the fake Slack: pick who you are, read the channel, press its buttons. Works without its script."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode

from handrail.demo.slack.markup import clock, mrkdwn_html, text_html
from handrail.demo.slack.workspace import Channel, Message, Note, Person, View, Workspace

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)

_HERE = files("handrail.demo.slack")

ASSETS: dict[str, tuple[str, str]] = {
    "/fake-slack.css": ((_HERE / "fake-slack.css").read_text(), "text/css; charset=utf-8"),
    "/fake-slack.js": ((_HERE / "fake-slack.js").read_text(), "text/javascript; charset=utf-8"),
}


def render(workspace: Workspace, channel_name: str, user_id: str) -> str:
    """The whole page, for a channel and for whoever is chosen. Call it with the workspace's lock."""
    channels = list(workspace.channels.values())
    channel = workspace.channel(channel_name) or _liveliest(workspace) or channels[0]
    person = workspace.people.get(user_id) or next(iter(workspace.people.values()))
    messages = [message for message in workspace.messages if message.channel == channel.id]
    notes = [n for n in workspace.notes if n.channel == channel.id and n.user == person.id]
    view = workspace.view_of(person.id)
    return _PAGE.format(
        channel=escape(channel.name),
        topic=escape(channel.topic),
        channels=_channels(channels, channel, person, workspace),
        people=_people(workspace.people.values(), person, channel),
        messages=_stream(messages, notes, person),
        modal=_modal(view, person, channel) if view else "",
        version=workspace.version,
        inert=" inert" if view else "",
    )


def _liveliest(workspace: Workspace) -> Channel | None:
    return workspace.channels.get(workspace.messages[-1].channel) if workspace.messages else None


def _channels(channels: Iterable[Channel], chosen: Channel, person: Person, workspace: Workspace) -> str:
    items = []
    for channel in channels:
        here = ' aria-current="page"' if channel.id == chosen.id else ""
        count = sum(message.channel == channel.id for message in workspace.messages)
        shown = f' <span class="count">{count}<span class="unseen"> messages</span></span>' if count else ""
        where = urlencode({"channel": channel.name, "user": person.id})
        items.append(f'<li><a href="/?{escape(where)}"{here}># {escape(channel.name)}{shown}</a></li>')
    return "".join(items)


def _people(people: Iterable[Person], chosen: Person, channel: Channel) -> str:
    items = []
    for person in people:
        here = ' aria-current="true"' if person.id == chosen.id else ""
        where = urlencode({"channel": channel.name, "user": person.id})
        name = f'<span class="face" aria-hidden="true">{escape(person.name[:1].upper())}</span>'
        items.append(f'<li><a href="/?{escape(where)}"{here}>{name}{escape(person.real_name)}</a></li>')
    return "".join(items)


def _stream(messages: list[Message], notes: list[Note], person: Person) -> str:
    """Messages and the chosen person's private notes, oldest first."""
    parts: list[tuple[str, str]] = [(m.ts, _message(m, person)) for m in messages]
    parts += [(n.ts, _note(n)) for n in notes]
    parts.sort(key=lambda part: float(part[0]))
    shown = "".join(html for _, html in parts)
    return shown or '<p class="empty">Nothing has been said here yet.</p>'


def _message(message: Message, person: Person) -> str:
    blocks = "".join(_block(block, message, person) for block in message.blocks)
    body = blocks or f"<p>{mrkdwn_html(message.text)}</p>"
    edited = '<span class="edited">(edited)</span>' if message.edited else ""
    classes = "message threaded" if message.thread_ts else "message"
    return (
        f'<article class="{classes}" aria-label="Message of Handrail"><div class="face bot" aria-hidden="true">H</div>'
        f'<div class="said"><p class="by"><strong>Handrail</strong> <span class="badge">APP</span> '
        f"{_time(message.ts)} {edited}</p>{body}</div></article>"
    )


def _note(note: Note) -> str:
    text = "".join(_block(block, None, None) for block in note.blocks) or f"<p>{mrkdwn_html(note.text)}</p>"
    return (
        '<article class="message private" aria-label="Private message of Handrail">'
        '<div class="face bot" aria-hidden="true">H</div><div class="said">'
        f'<p class="by">Only visible to you · {_time(note.ts)}</p>{text}</div></article>'
    )


def _block(block: dict[str, Any], message: Message | None, person: Person | None) -> str:
    kind = block["type"]
    if kind == "header":
        return f"<h2>{escape(block['text']['text'])}</h2>"
    if kind == "section":
        texts = [block["text"]] if "text" in block else []
        return "".join(
            f'<div class="section">{text_html(text)}</div>' for text in [*texts, *block.get("fields", [])]
        )
    if kind == "context":
        return f'<div class="context">{" ".join(text_html(element) for element in block["elements"])}</div>'
    if kind == "divider":
        return "<hr>"
    if kind == "actions" and message is not None and person is not None:
        buttons = "".join(_button(element, message, person) for element in block["elements"])
        return f'<div class="actions">{buttons}</div>'
    return ""


def _button(element: dict[str, Any], message: Message, person: Person) -> str:
    label, style = escape(element["text"]["text"]), escape(element.get("style", "plain"))
    if "url" in element:
        return f'<a class="button {style}" href="{escape(element["url"])}" target="_blank" rel="noopener">{label}</a>'
    fields = {
        "user": person.id,
        "channel": message.channel,
        "ts": message.ts,
        "action_id": element["action_id"],
    }
    button = f'<button class="button {style}">{label}</button>'
    return f'<form method="post" action="/do/click">{_hidden(fields)}{button}</form>'


def _hidden(fields: dict[str, str]) -> str:
    return "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in fields.items()
    )


def _modal(view: View, person: Person, channel: Channel) -> str:
    hidden = _hidden({"user": person.id, "channel": channel.name})
    content = view.content
    inside = "".join(
        _input(block, view.errors) if block["type"] == "input" else _block(block, None, None)
        for block in content["blocks"]
    )
    general = f'<p class="error" role="alert">{escape(view.errors[""])}</p>' if "" in view.errors else ""
    submit = ""
    if "submit" in content:
        submit = (
            f'<button class="button primary" form="modal-form">{escape(content["submit"]["text"])}</button>'
        )
    close = escape(content.get("close", {}).get("text", "Close"))
    return (
        '<div class="veil"><section class="modal" role="dialog" aria-modal="true" aria-labelledby="modal-title">'
        f'<h2 id="modal-title">{escape(content["title"]["text"])}</h2>{general}'
        f'<form id="modal-form" method="post" action="/do/submit">{hidden}{inside}</form>'
        f'<div class="foot"><form method="post" action="/do/close">{hidden}'
        f'<button class="button plain">{close}</button></form>{submit}</div></section></div>'
    )


def _input(block: dict[str, Any], errors: dict[str, str]) -> str:
    element, block_id = block["element"], str(block["block_id"])
    name, key = escape(element["action_id"]), f"f-{escape(block_id)}"
    optional = "" if not block.get("optional") else ' <span class="optional">(optional)</span>'
    error = ""
    described = ""
    if block_id in errors:
        error = f'<p class="error" id="{key}-error" role="alert">{escape(errors[block_id])}</p>'
        described = f' aria-describedby="{key}-error" aria-invalid="true"'
    hint = f'<p class="hint">{escape(block["hint"]["text"])}</p>' if "hint" in block else ""
    label = f'<label for="{key}">{escape(block["label"]["text"])}{optional}</label>'
    if element["type"] in ("static_select", "radio_buttons"):
        options = "".join(
            f'<option value="{escape(o["value"])}">{escape(o["text"]["text"])}</option>'
            for o in element["options"]
        )
        field = f'<select id="{key}" name="{name}"{described}><option value=""></option>{options}</select>'
    elif element.get("multiline"):
        field = f'<textarea id="{key}" name="{name}" rows="3"{described}></textarea>'
    else:
        field = f'<input id="{key}" name="{name}"{described}>'
    return f'<div class="field">{label}{field}{hint}{error}</div>'


def _time(ts: str) -> str:
    return f"<time>{clock(int(float(ts)))}</time>"


_PAGE = (_HERE / "fake-slack.html").read_text()
