"""Splits CEL source into tokens: enough to find where a ``${{ }}`` ends and which paths an expression reads.

The grammar itself belongs to the evaluator and, at validation, to :mod:`runbooks.language.syntax`. This scan
is for the hot path: it lets an evaluation convert only the values that it reads, and bounds what macros may
cost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

MACROS = frozenset({"all", "exists", "exists_one", "map", "filter"})
WORDS = frozenset({"true", "false", "null", "in"})
"""What looks like a name and is none."""

_TOKEN = re.compile(
    r"""
      (?P<space>[\s\f]+|//[^\n]*)
    | (?P<string>[bB]?[rR](?:\"\"\"[\s\S]*?\"\"\"|'''[\s\S]*?'''|"[^"\n]*"|'[^'\n]*')
              |  [bB]?(?:\"\"\"(?:\\[\s\S]|[^\\])*?\"\"\"|'''(?:\\[\s\S]|[^\\])*?'''
                         |"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
    | (?P<number>0[xX][0-9a-fA-F]+[uU]?|(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?[uU]?)
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<other>\|\||&&|==|!=|<=|>=|[\s\S])
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Token:
    """One token: ``kind`` is space, string, number, name or other; ``start`` is its offset."""

    kind: str
    text: str
    start: int


def tokens(source: str, start: int = 0) -> Iterator[Token]:
    """All tokens from ``start``; every character belongs to exactly one."""
    for match in _TOKEN.finditer(source, start):
        yield Token(match.lastgroup or "other", match.group(), match.start())


def closing(source: str, start: int) -> int | None:
    """Where the ``}}`` of an expression that begins at ``start`` stands, or None.

    Braces of maps are counted.
    """
    depth = 0
    for token in tokens(source, start):
        if token.text == "{":
            depth += 1
        elif token.text == "}":
            if depth == 0:
                return token.start if source.startswith("}}", token.start) else None
            depth -= 1
    return None


@dataclass(frozen=True, slots=True)
class Reads:
    """What an expression reads: its paths (``("steps", "a", "status")``), and what bounds its cost.

    ``tested`` are the paths within ``has()``.
    """

    paths: tuple[tuple[str, ...], ...]
    tested: frozenset[tuple[str, ...]]
    macros: int
    depth: int
    elements: int


def reads(source: str) -> Reads:
    """Scan an expression. Names bound by macros appear as paths as well: they are simply not found."""
    paths: dict[tuple[str, ...], None] = {}
    tested: set[tuple[str, ...]] = set()
    current: list[str] = []
    opened: list[bool] = []
    macros = depth = elements = 0
    found = [token for token in tokens(source) if token.kind != "space"]
    for index, token in enumerate(found):
        before = found[index - 1].text if index else ""
        after = found[index + 1].text if index + 1 < len(found) else ""
        if token.kind == "name":
            if before == "." and current:
                if after == "(":
                    macros += token.text in MACROS
                    _keep(paths, current)
                else:
                    current.append(token.text)
            elif before != ".":
                _keep(paths, current)
                current = [token.text] if after != "(" and token.text not in WORDS else []
            elif after == "(":
                macros += token.text in MACROS
        elif token.text != ".":
            if token.text == ")" and current and _in_has(found, index, current):
                tested.add(tuple(current))
            _keep(paths, current)
        if token.text == "(":
            opened.append(before in MACROS and index > 1 and found[index - 2].text == ".")
            depth = max(depth, sum(opened))
        elif token.text == ")" and opened:
            opened.pop()
        elif token.text == ",":
            elements += 1
    _keep(paths, current)
    return Reads(_shortest(paths), frozenset(tested), macros, depth, elements)


def bound(source: str) -> frozenset[str]:
    """The names that the macros of an expression give to what they go through: ``x`` in ``a.map(x, x + 1)``."""
    found = [token.text for token in tokens(source) if token.kind != "space"]
    return frozenset(
        found[at + 3]
        for at in range(len(found) - 4)
        if found[at] == "." and found[at + 1] in MACROS and found[at + 2] == "(" and found[at + 4] == ","
    )


def tested_safely(source: str) -> str:
    """The same expression, in which ``has(a.b.c)`` is false where ``a`` or ``a.b`` is null, or has no such field."""
    found = [token for token in tokens(source) if token.kind != "space"]
    out, at = "", 0
    for index, token in enumerate(found):
        method = index > 0 and found[index - 1].text == "."
        if token.text != "has" or method or [one.text for one in found[index + 1 : index + 2]] != ["("]:
            continue
        end = index + 2
        while end + 1 < len(found) and found[end].kind == "name" and found[end + 1].text == ".":
            end += 2
        if end + 1 >= len(found) or found[end].kind != "name" or found[end + 1].text != ")":
            continue
        names = [one.text for one in found[index + 2 : end + 1 : 2]]
        paths = [".".join(names[:n]) for n in range(1, len(names) + 1)]
        known = [f"has({path}) && {path} != null" for path in paths[1:-1]]
        tests = [f"{paths[0]} != null", *known, f"has({paths[-1]})"]
        out += source[at : token.start] + f"({' && '.join(tests)})"
        at = found[end + 1].start + 1
    return out + source[at:]


def _in_has(found: list[Token], end: int, current: list[str]) -> bool:
    """Whether the path that ends before the token ``end`` is the whole argument of ``has()``."""
    begin = end - (2 * len(current) - 1)
    return begin >= 2 and found[begin - 1].text == "(" and found[begin - 2].text == "has"


def _keep(paths: dict[tuple[str, ...], None], current: list[str]) -> None:
    if current:
        paths[tuple(current)] = None
        current.clear()


def _shortest(paths: dict[tuple[str, ...], None]) -> tuple[tuple[str, ...], ...]:
    """Without paths that lie inside another: reading ``a`` reads ``a.b``."""
    kept = [path for path in paths if not any(path[:n] in paths for n in range(1, len(path)))]
    return tuple(kept)
