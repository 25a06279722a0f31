"""Text for Slack: escaped, made visible where it could deceive, cut to a length. Pure.

Source: https://docs.slack.dev/messaging/formatting-message-text. Only ``&``, ``<`` and ``>`` are special enough
to need escapes; unescaped, ``<!channel>`` in an alert's label would wake everybody.
"""

from __future__ import annotations

import re
from datetime import datetime

from handrail.shared.printable import printable

ELLIPSIS = "…"

_MARK_AT_WORD_EDGE = re.compile(r"(?<![^\W_])[*_~`]|[*_~`](?![^\W_])")
"""Slack formats only at the edges of words: ``node_cpu`` stays as it is, also when somebody copies it."""


def escape(text: str) -> str:
    """``text`` as Slack shows it literally: no mention, no link, no markup of entities."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def literal(text: str, *, keep_lines: bool = False) -> str:
    """Printable, escaped, and without the power of ``*``, ``_``, ``~`` and backticks to change how it looks."""
    return escape(_MARK_AT_WORD_EDGE.sub("\\g<0>\u200b", printable(text, keep_lines=keep_lines)))


def code_block(lines: list[str]) -> str:
    """Preformatted lines, whose content cannot end the block."""
    safe = "\n".join(escape(printable(line)).replace("```", "`\u200b`\u200b`") for line in lines)
    return f"```\n{safe}\n```"


def cut(text: str, limit: int) -> str:
    """At most ``limit`` characters, the last one an ellipsis where something was left out."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + ELLIPSIS


def cut_escaped(text: str, limit: int, *, keep_lines: bool = False) -> str:
    """The literal form of as much of ``text`` as fits into ``limit`` characters after escaping."""
    shown = literal(text, keep_lines=keep_lines)
    if len(shown) <= limit:
        return shown
    kept: list[str] = []
    room = limit - len(ELLIPSIS)
    for char in text:
        piece = literal(char, keep_lines=keep_lines)
        room -= len(piece)
        if room < 0:
            break
        kept.append(piece)
    return "".join(kept) + ELLIPSIS


def link(url: str, text: str) -> str:
    """A link; ``url`` is ours."""
    return f"<{escape(url).replace('|', '%7C')}|{literal(text).replace('|', '¦')}>"


def moment(at: datetime) -> str:
    """A time that Slack shows in the reader's own time zone; UTC where it cannot."""
    return f"<!date^{int(at.timestamp())}^{{time}}|{at:%H:%M} UTC>"
