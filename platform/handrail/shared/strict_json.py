"""JSON as strangers send it, read strictly: limits that hold before the parser runs, and nothing ambiguous."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import NoReturn, TypeAlias

JsonDocument: TypeAlias = "bool | int | float | str | list[JsonDocument] | dict[str, JsonDocument] | None"
"""What a parser made: it may be changed by whoever asked for it."""

MAX_DEPTH = 64
MAX_DIGITS = 100
SHOWN_LENGTH = 80

# A whole string (or one that never ends, which the parser then refuses), or one bracket. Possessive, so
# that hostile text cannot make it backtrack.
_BRACKETS = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[{]|[\]}]', re.DOTALL)


class Refused(ValueError):
    """``str`` of it goes on after "the body": ``is nested deeper than 64 levels``.

    ``place`` is the index in the text where its syntax ends to be JSON; None for every other reason.
    """

    def __init__(self, words: str, place: int | None = None) -> None:
        super().__init__(words)
        self.place = place


def read(text: str) -> JsonDocument:
    """The document in ``text``.

    Refused: more than 64 levels, a key twice in one object (two readers would disagree about it), NaN and
    Infinity, numbers of more than 100 digits or beyond a float. Raises Refused.
    """
    _refuse_depth(text)
    try:
        document: JsonDocument = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_number,
            parse_constant=_constant,
        )
    except json.JSONDecodeError as error:
        words = f"is not JSON: {error.msg.removesuffix(' at')} at line {error.lineno}, column {error.colno}"
        raise Refused(words, error.pos) from None
    return document


def _refuse_depth(text: str) -> None:
    depth = 0
    for match in _BRACKETS.finditer(text):
        character = text[match.start()]
        if character in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise Refused(f"is nested deeper than {MAX_DEPTH} levels")
        elif character in "]}":
            depth -= 1


def _object(pairs: list[tuple[str, JsonDocument]]) -> dict[str, JsonDocument]:
    document = dict(pairs)
    if len(document) != len(pairs):
        # Counted in one pass: an object may have a hundred thousand keys.
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise Refused(f"holds the key {_quoted(twice)} twice in one object: send it once")
    return document


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise Refused(f"holds a number of {len(digits)} digits: send long ids as text")
    return int(digits)


def _number(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise Refused(f"holds {_quoted(digits)}, a number too large to be read")
    return number


def _constant(word: str) -> NoReturn:
    raise Refused(f"holds {word}, which is not JSON: send null or a text instead")


def _quoted(text: str) -> str:
    """In the words of JSON, in ASCII, so that half a character shows too."""
    quoted = json.dumps(text[:SHOWN_LENGTH])
    return quoted if len(quoted) <= SHOWN_LENGTH else f"{quoted[: SHOWN_LENGTH - 1]}…"
