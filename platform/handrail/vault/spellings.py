"""The ways in which others write a value: what the redactor looks for."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

SHORTEST = 4
"""Characters of a spelling that is looked for; shorter ones would shred all text."""

LARGEST_TWICE = 4096
"""Characters of a value whose spellings are looked for inside of one another."""

_URL_SAFE = ("", "/", "!'()*", ";,/?:@&=+$!'()*#")
"""What is not escaped by a strict writer, by Python, by JavaScript for a component, and for a whole address."""


@dataclass(frozen=True, slots=True)
class Form:
    """One spelling of a secret. ``left``/``right``: neighbours that carry some of its bits (base64)."""

    text: str
    left: int = 0
    right: int = 0


def forms_of(value: str) -> Iterator[Form]:
    """Every spelling of ``value``: plain, JSON, URL, HTML, Python's own, one of these inside another, hex, base64."""
    raw = value.encode("utf-8", "surrogatepass")
    # Excerpts of answers are one line.
    spellings = {value, " ".join(value.split()), *_quoted(value)}
    if len(value) <= LARGEST_TWICE:
        # A body is quoted in a message, and the message in a page or an address.
        spellings |= {again for once in tuple(spellings) for again in _quoted(once)}
    yield from (Form(text) for text in spellings if len(text) >= SHORTEST)
    yield Form(raw.hex())
    yield Form(raw.hex().upper())
    yield from _base64_forms(raw)


def _quoted(text: str) -> Iterator[str]:
    """``text`` inside of JSON, of an address, of HTML, of a message of Python's."""
    yield repr(text)[1:-1]
    for ascii_only in (True, False):
        yield from _json_spellings(json.dumps(text, ensure_ascii=ascii_only)[1:-1])
    raw = text.encode("utf-8", "surrogatepass")
    for encoded in (*(quote(raw, safe=safe) for safe in _URL_SAFE), quote_plus(raw)):
        yield encoded
        yield _lower_escapes(encoded)
    escaped = html.escape(text)
    yield escaped
    yield escaped.replace("&#x27;", "&#39;")
    yield html.escape(text, quote=False)


def _json_spellings(escaped: str) -> Iterator[str]:
    """As Python writes it, as PHP does (slashes), and as Go does (what HTML would read)."""
    yield escaped
    yield escaped.replace("/", "\\/")
    for character in "<>&":
        escaped = escaped.replace(character, f"\\u{ord(character):04x}")
    yield escaped


def _lower_escapes(encoded: str) -> str:
    head, *rest = encoded.split("%")
    return head + "".join("%" + part[:2].lower() + part[2:] for part in rest)


def _base64_forms(raw: bytes) -> Iterator[Form]:
    """Standard and URL alphabets, padded or not, also inside of a larger text at any of three offsets."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        whole = encode(raw).decode("ascii")
        yield Form(whole)
        yield Form(whole.rstrip("="))
        for written in _quoted(whole):
            yield Form(written)
        for offset in range(3):
            bits_end = (offset + len(raw)) * 8
            skipped = -(-offset * 8 // 6)
            inner = encode(bytes(offset) + raw).decode("ascii")[skipped : bits_end // 6]
            if len(inner) >= SHORTEST:
                yield Form(inner, left=1 if offset else 0, right=1 if bits_end % 6 else 0)
