"""How a value is written into a text that another program reads: a URL, a PromQL query, an argument. Pure.

Rendering knows where in the text a value goes, the action does not any more: so it is here that a value from
an alert is kept from becoming a path segment, a query parameter or a piece of PromQL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from typing import Self
from urllib.parse import quote

from runbooks.language.definition import Template

URL_PATH = "url_path"
PROMQL = "promql"
ARGUMENT = "argument"
NAMES = frozenset({URL_PATH, PROMQL, ARGUMENT})
"""The encodings that an :class:`runbooks.language.actions.ActionSpec` may name."""

STATIC = "static"
PROGRAM = "program"
_REFUSALS = {
    STATIC: "This input is static text: no value can be written into it.",
    PROGRAM: (
        "The program, and program text after an option such as `-c`, must be written in the runbook: "
        "give the value as a further argument of the list, or as `env`."
    ),
}
"""Places where no value may be written at all."""

_BARE_PROMQL = re.compile(
    r"[A-Za-z_:][A-Za-z0-9_:]*\Z|[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+|[a-z]+[0-9a-z]*)?\Z"
)
_PLAIN_IN_QUOTES = re.compile(r"[A-Za-z0-9 _./:@,;=<>!&#%*+?()\[\]{}|^$~-]")
_REGEX_SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$]")
_REGEX_MATCHER = re.compile(r"[=!]~\s*\Z")
_INTERPRETER = re.compile(
    r"(?:.*/)?(?:(?:ba|da|k|z|fi|c|tc|a)?sh|busybox|python[0-9.]*|perl|ruby|node|php|lua|awk)\Z"
)
_CODE_FOLLOWS = re.compile(r"-[A-Za-z]*[ce]\Z|--(?:command|eval|print)\Z|-r\Z")


def refusal(place: str) -> str:
    """Why no value may be written at :data:`STATIC` or :data:`PROGRAM`, and what to do instead."""
    return _REFUSALS[place]


class CannotEncode(Exception):
    """The value may not stand at this place; the message says what to change."""


def encode(encoding: str, value: str, before: str) -> str:
    """``value`` as it may be written after the text ``before`` (literal text and values written already)."""
    if encoding == URL_PATH:
        return quote(value, safe="", errors="surrogatepass")
    if encoding == PROMQL:
        return _promql(value, before)
    if encoding == ARGUMENT:
        return _argument(value, before)
    if encoding in _REFUSALS:
        raise CannotEncode(refusal(encoding))
    raise CannotEncode(f"There is no encoding {encoding!r}.")


class Encoded(str):
    """A template whose values are encoded when it is rendered: marked once, at parsing, so nobody can forget."""

    __slots__ = ("encoding",)
    encoding: str

    def __new__(cls, text: str, encoding: str) -> Self:
        """``encoding`` is one of :data:`NAMES`, or :data:`STATIC`, or :data:`PROGRAM`."""
        made = super().__new__(cls, text)
        made.encoding = encoding
        return made


def marked(
    with_: Mapping[str, Template], encodings: Mapping[str, str], static: Set[str]
) -> dict[str, Template]:
    """The inputs of a call, every text that needs an encoding being an :class:`Encoded`."""
    return {
        name: _marked(value, STATIC if name in static else encodings.get(name))
        for name, value in with_.items()
    }


def _marked(value: Template, encoding: str | None) -> Template:
    if encoding is None:
        return value
    if encoding == ARGUMENT:
        return _marked_argv(value)
    if isinstance(value, str):
        return Encoded(value, encoding)
    if isinstance(value, list):
        return [_marked(item, encoding) for item in value]
    if isinstance(value, dict):
        return {key: _marked(item, encoding) for key, item in value.items()}
    return value


def _marked_argv(value: Template) -> Template:
    """Whether an element may be data depends on its place: program, code, option, or after ``--``."""
    if isinstance(value, str):
        return Encoded(value, PROGRAM)
    if not isinstance(value, list):
        return value
    words = [item if isinstance(item, str) else "" for item in value]
    ends = words.index("--") if "--" in words else len(words)
    return [
        Encoded(item, _place(words, at)) if isinstance(item, str) and at <= ends else item
        for at, item in enumerate(value)
    ]


def _place(words: Sequence[str], at: int) -> str:
    if at == 0:
        return PROGRAM
    code = at > 1 and _CODE_FOLLOWS.match(words[at - 1])
    if code and any(_INTERPRETER.match(word) for word in words[: at - 1]):
        return PROGRAM
    return ARGUMENT


def _argument(value: str, before: str) -> str:
    """One element of an argv: data cannot become an option."""
    if not before and value.startswith("-"):
        raise CannotEncode(
            "A value that begins with `-` would be taken for an option: write `--` before it in `argv`, "
            "if the program understands that, or put it into `env`."
        )
    return value


def _promql(value: str, before: str) -> str:
    """Inside quotes every special character is escaped; outside only a name, a number or a duration may stand."""
    opened = _open_quote(before)
    if opened is None:
        if _BARE_PROMQL.match(value):
            return value
        raise CannotEncode(
            "Outside of quotes only a name, a number or a duration can be written into a query: "
            "put the label's value in quotes, like {service='${{ inputs.service }}'}."
        )
    if before[opened] == "`":
        raise CannotEncode("Backquotes know no escapes: use ' or \" around a value in a query.")
    if _REGEX_MATCHER.search(before[:opened]):
        value = _REGEX_SPECIAL.sub(lambda match: "\\" + match.group(), value)
    return "".join(_escaped(character) for character in value)


def _escaped(character: str) -> str:
    """PromQL takes Go's escapes; ``\\x27`` works in both kinds of quotes, where ``\\'`` works in one only."""
    if _PLAIN_IN_QUOTES.match(character) or ord(character) > 0x9F:
        return character
    return f"\\x{ord(character):02x}" if ord(character) < 0x80 else f"\\u{ord(character):04x}"


def _open_quote(before: str) -> int | None:
    """Where the string literal begins that is still open at the end of ``before``; None outside of one."""
    opened: int | None = None
    escaped = False
    comment = False
    for at, character in enumerate(before):
        if comment:
            comment = character != "\n"
        elif opened is None:
            if character in "'\"`":
                opened = at
            comment = character == "#"
        elif escaped:
            escaped = False
        elif character == "\\" and before[opened] != "`":
            escaped = True
        elif character == before[opened]:
            opened = None
    return opened
