"""Hostile text made safe to store and to show: bounded, and without what PostgreSQL refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# PostgreSQL's text and jsonb refuse U+0000; UTF-8 cannot carry half of a surrogate pair.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
SHOWN_LENGTH = 80


def storable(text: str) -> str:
    """`text` with NUL and lone surrogates replaced by U+FFFD, its length unchanged."""
    return _UNSTORABLE.sub(REPLACEMENT, text)


def bounded(text: str, limit: int) -> str:
    """`text` made storable and cut to `limit` characters, the last of which is then an ellipsis."""
    clean = storable(text[: limit + 1])
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def shown(value: object) -> str:
    """A short, one-line description of a value for an error message, in the words of JSON."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return bounded(json.dumps(storable(value[: SHOWN_LENGTH + 1]), ensure_ascii=False), SHOWN_LENGTH)
        case int() | float():
            return bounded(repr(value), SHOWN_LENGTH)
        case Mapping():
            keys = ", ".join(bounded(str(key), 20) for key in list(value)[:6])
            return f"an object with the keys {keys}" if keys else "an empty object"
        case Sequence():
            return f"an array of {len(value)}" if value else "an empty array"
        case _:
            return f"a {type(value).__name__}"
