"""Reads a delivery's raw bytes into a JSON document, within limits that hold before any parser runs."""

from __future__ import annotations

import codecs
import json
import re
import urllib.parse
from collections.abc import Mapping
from email.message import Message
from typing import TypeAlias

from handrail.alerts.errors import BodyTooLarge, UnreadableBody
from handrail.alerts.text import shown
from handrail.shared import strict_json

JsonValue: TypeAlias = strict_json.JsonDocument

MAX_BODY_BYTES = 1024 * 1024
MAX_FORM_FIELDS = 1_000

_COMPRESSED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"PK\x03\x04": "zip"}
"""How a body begins that was compressed: JSON never does."""
_CHARSETS = {"utf-8", "ascii", "iso8859-1", "cp1252", "utf-16", "utf-16-le", "utf-16-be", "utf-32"}


def read_json(body: bytes, headers: Mapping[str, str] | None = None) -> JsonValue:
    """The JSON document in `body`.

    Read as UTF-8, UTF-16 or UTF-32 (with or without a byte order mark), or in the charset that Content-Type
    names where that is Latin-1 or Windows-1252. Refused: more than 1 MiB, more than 64 levels, a key twice
    in one object (two readers would disagree about it), NaN and Infinity, numbers of more than 100 digits.

    Raises BodyTooLarge or UnreadableBody.
    """
    text = read_text(body, headers)
    if not text.strip():
        raise UnreadableBody("the body is empty: a JSON document was expected")
    try:
        return strict_json.read(text)
    except strict_json.Refused as refused:
        found = "" if refused.place is None else _found(text, refused.place)
        raise UnreadableBody(f"the body {refused}{found}") from None


def read_text(body: bytes, headers: Mapping[str, str] | None = None) -> str:
    """The body as text, under the size limit. Raises BodyTooLarge or UnreadableBody."""
    if len(body) > MAX_BODY_BYTES:
        raise BodyTooLarge(size=len(body), limit=MAX_BODY_BYTES)
    for magic, name in _COMPRESSED.items():
        if body.startswith(magic):
            raise UnreadableBody(f"the body is compressed ({name}): send it uncompressed")
    encoding = _encoding(body, headers or {})
    try:
        return body.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise UnreadableBody(
            f"the body is not valid {encoding.upper()} (at byte {error.start}): send JSON as UTF-8, "
            "or name the charset in Content-Type"
        ) from None


def read_form(body: bytes, headers: Mapping[str, str] | None = None) -> dict[str, JsonValue]:
    """The fields of an `application/x-www-form-urlencoded` body; of a field given twice the last counts."""
    text = read_text(body, headers)
    try:
        pairs = urllib.parse.parse_qsl(
            text.strip(), keep_blank_values=True, max_num_fields=MAX_FORM_FIELDS, errors="strict"
        )
    except UnicodeDecodeError:
        raise UnreadableBody("the form's fields are not valid UTF-8 after percent-decoding") from None
    except ValueError:
        raise UnreadableBody(f"the form has more than {MAX_FORM_FIELDS} fields") from None
    return dict(pairs)


def header(headers: Mapping[str, str], name: str) -> str:
    """A header's value, whatever the case of its name; "" when it is absent."""
    wanted = name.lower()
    return next((value for key, value in headers.items() if key.lower() == wanted), "")


def media_type(headers: Mapping[str, str]) -> str:
    """`application/json` out of `Application/JSON; charset=utf-8`; "" when the header is absent."""
    return header(headers, "Content-Type").partition(";")[0].strip().lower()


def _found(text: str, place: int) -> str:
    """What stands where the body ends to be JSON, and what to do where a form was sent in place of it."""
    found = shown(text[place : place + 20]) if place < len(text) else "the end of the body"
    looks_like_a_form = re.match(r"[\w%.+-]{1,100}=", text)
    advice = ": this looks like a form: send the JSON itself as the body" if looks_like_a_form else ""
    return f", found {found}{advice}"


def _encoding(body: bytes, headers: Mapping[str, str]) -> str:
    detected = json.detect_encoding(body)  # by byte order mark, or by where the NULs of ASCII punctuation are
    if detected not in {"utf-8", "utf-8-sig"}:
        return detected
    named = _named_charset(headers)
    if not named or body.startswith(codecs.BOM_UTF8):
        return "utf-8"
    try:
        charset = codecs.lookup(named).name
    except (LookupError, ValueError, UnicodeError):
        charset = ""
    if charset not in _CHARSETS:
        raise UnreadableBody(f"Content-Type names the charset {shown(named)}, which is not read: send UTF-8")
    return charset


def _named_charset(headers: Mapping[str, str]) -> str:
    content_type = header(headers, "Content-Type")
    if "charset" not in content_type.lower() or len(content_type) > 500:
        return ""
    message = Message()
    message["Content-Type"] = " ".join(content_type.split())
    named = message.get_param("charset", "")
    return named.strip() if isinstance(named, str) else ""
