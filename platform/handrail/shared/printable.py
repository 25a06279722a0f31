"""Text whose every character can be seen: what people approve must be what they read."""

from __future__ import annotations

import unicodedata


def printable(text: str, *, keep_lines: bool = False) -> str:
    r"""Line breaks, control and direction characters as visible escapes such as ``\n`` or ``\u202e``.

    A plan with a hidden line break could show a second, harmless step that does not exist; one with a
    direction override could show its words in another order. Lone surrogates are not text and are escaped too.
    """
    return "".join(_visible(char, keep_lines=keep_lines) for char in text)


def _visible(char: str, *, keep_lines: bool) -> str:
    if char == "\n" and keep_lines:
        return char
    if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(char) or f"\\u{ord(char):04x}"
    return char
