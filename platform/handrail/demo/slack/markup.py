"""Slack's mrkdwn as HTML, as far as the app uses it. Pure; hostile text stays text."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import escape
from typing import Any

_LINK = re.compile(r"&lt;(https?://[^|&<>]*(?:&amp;[^|&<>]*)*)\|(.*?)&gt;")
_DATE = re.compile(r"&lt;!date\^(\d{1,12})\^[^|]*?\|(.*?)&gt;")
_FENCE = re.compile(r"```\n?(.*?)\n?```", re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_BOLD = re.compile(r"(?<!\w)\*([^*\n]+)\*(?!\w)")
_EMOJI = {
    ":white_check_mark:": "\N{HEAVY CHECK MARK}",
    ":no_entry:": "\N{HEAVY MULTIPLICATION X}",
    ":hourglass:": "\N{HOURGLASS}",
    ":warning:": "\N{WARNING SIGN}",
    ":heavy_minus_sign:": "\N{EM DASH}",
    ":rotating_light:": "\N{BLACK UP-POINTING TRIANGLE}",
    ":large_green_circle:": "\N{HEAVY CHECK MARK}",
    ":large_yellow_circle:": "\N{CIRCLE WITH LEFT HALF BLACK}",
}
"""Signs that every system's text fonts have, unlike emoji."""


def text_html(text: dict[str, Any]) -> str:
    """A checked text object."""
    return mrkdwn_html(text["text"]) if text["type"] == "mrkdwn" else escape(text["text"])


def mrkdwn_html(text: str) -> str:
    """The little of Slack's markup that the app uses, as HTML. Slack's own escapes stay literal."""
    raw = text.replace("&lt;", "\ue000").replace("&gt;", "\ue001").replace("&amp;", "\ue002")
    pieces = _FENCE.split(escape(raw, quote=False))
    html = "".join(
        f"<pre><code>{piece}</code></pre>" if n % 2 else _inline(piece) for n, piece in enumerate(pieces)
    )
    return html.replace("\ue000", "&lt;").replace("\ue001", "&gt;").replace("\ue002", "&amp;")


def _inline(text: str) -> str:
    text = _DATE.sub(lambda found: f"<time>{clock(int(found.group(1)))}</time>", text)
    text = _LINK.sub(
        lambda found: (
            f'<a href="{escape(found.group(1).replace("&amp;", "&"))}" target="_blank" rel="noopener">'
            f"{found.group(2)}</a>"
        ),
        text,
    )
    text = _BOLD.sub(r"<strong>\1</strong>", _CODE.sub(r"<code>\1</code>", text))
    for name, sign in _EMOJI.items():
        text = text.replace(name, f'<span aria-hidden="true">{sign}</span>')
    return text.strip("\n").replace("\n", "<br>")


def clock(seconds: int) -> str:
    """A moment as people read it."""
    return f"{datetime.fromtimestamp(seconds, UTC):%H:%M} UTC"
