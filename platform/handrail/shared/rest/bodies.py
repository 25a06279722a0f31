"""Reads a request's JSON strictly, within limits that hold before the parser runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import IO, Any

from rest_framework import parsers, status
from rest_framework.exceptions import APIException, ParseError

from handrail.shared import strict_json

MAX_BODY_BYTES = 1024 * 1024

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class BodyTooLarge(APIException):
    """The body has more bytes than an endpoint takes."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = f"The body has more than {MAX_BODY_BYTES:,} bytes: send less at a time."
    default_code = "too_large"


class StrictJSONParser(parsers.BaseParser):
    """UTF-8 JSON of at most 1 MiB and 64 levels.

    Refused: a key twice in one object (two readers would disagree about it), NaN and Infinity, numbers of
    more than 100 digits, NUL and lone surrogates, which no database keeps.
    """

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """The document; an empty body is an empty object. Raises ParseError or BodyTooLarge."""
        raw = stream.read(MAX_BODY_BYTES + 1)
        if len(raw) > MAX_BODY_BYTES:
            raise BodyTooLarge
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ParseError(f"The body is not UTF-8 (at byte {error.start}).") from None
        return read(text) if text.strip() else {}


def read(text: str) -> Any:
    """The JSON document in ``text``. Raises ParseError."""
    try:
        return strict_json.read(text)
    except strict_json.Refused as refused:
        raise ParseError(f"The body {refused}.") from None


def refuse_unstorable(value: Any) -> None:
    """Raise ParseError for text that no database keeps, however deep it lies."""
    match value:
        case str():
            if _UNSTORABLE.search(value):
                raise ParseError(
                    "The request holds NUL or half a character (a lone surrogate): leave it out."
                )
        case dict():
            for key, item in value.items():
                refuse_unstorable(key)
                refuse_unstorable(item)
        case list():
            for item in value:
                refuse_unstorable(item)
