"""Says in words why a condition is true or false: ``3.1 % > 2 %``, ``steps.shift.status is "failed"``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeGuard

from runbooks.language.definition import Json
from runbooks.language.errors import ExpressionError
from runbooks.language.expressions import evaluate

_OPERATORS = ("==", "!=", "<=", ">=", "<", ">")
_LITERAL = re.compile(r"-?\d+(\.\d+)?|\"[^\"]*\"|'[^']*'|true|false|null")
_SHARE = re.compile(r"rate|ratio|fraction|percent|share|utili[sz]ation", re.IGNORECASE)
_LONGEST = 120


@dataclass(frozen=True, slots=True)
class Comparison:
    """``left operator right``, as written."""

    left: str
    operator: str
    right: str


def explain(expression: str, names: Mapping[str, object], *, hint: str = "") -> str:
    """The values behind a condition, part by part; empty when it is no plain comparison.

    ``hint`` is text in which a word such as `ratio` makes numbers between 0 and 1 read as percentages.
    """
    found: list[str] = []
    for part in split(expression, "&&"):
        comparison = compared(part)
        if comparison is None:
            continue
        try:
            left = evaluate(comparison.left, names)
            right = evaluate(comparison.right, names)
        except ExpressionError as error:
            found.append(error.message)
            continue
        found.append(_sentence(comparison, left, right, share=bool(_SHARE.search(f"{expression} {hint}"))))
    return ", ".join(found)[:500]


def split(expression: str, operator: str) -> list[str]:
    """The parts of an expression between ``operator`` outside of brackets and quotes."""
    parts: list[str] = []
    start = 0
    for position in _top_level(expression):
        if expression.startswith(operator, position):
            parts.append(expression[start:position].strip())
            start = position + len(operator)
    parts.append(expression[start:].strip())
    return parts


def compared(expression: str) -> Comparison | None:
    """The one comparison that the expression is, or None."""
    positions = list(_top_level(expression))
    if any(expression.startswith(("||", "&&", "?"), position) for position in positions):
        return None
    for position in positions:
        for operator in _OPERATORS:
            if expression.startswith(operator, position):
                left, right = expression[:position].strip(), expression[position + len(operator) :].strip()
                return Comparison(left, operator, right) if left and right else None
    return None


def _top_level(expression: str) -> list[int]:
    """The positions outside of brackets and quotes."""
    found: list[int] = []
    depth, quote, position = 0, "", 0
    while position < len(expression):
        char = expression[position]
        if quote:
            position += 2 if char == "\\" else 1
            quote = "" if char == quote else quote
            continue
        if char in "\"'":
            quote = char
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        elif depth == 0:
            found.append(position)
        position += 1
    return found


def _sentence(comparison: Comparison, left: Json, right: Json, *, share: bool) -> str:
    if _is_number(left) and _is_number(right):
        relation = ">" if left > right else "<" if left < right else "="
        as_share = share and abs(left) <= 1 and abs(right) <= 1
        return f"{number(left, share=as_share)} {relation} {number(right, share=as_share)}"
    if _LITERAL.fullmatch(comparison.right):
        return f"{comparison.left} is {_shown(left)}"
    if _LITERAL.fullmatch(comparison.left):
        return f"{comparison.right} is {_shown(right)}"
    return f"{comparison.left} is {_shown(left)}, {comparison.right} is {_shown(right)}"


def _is_number(value: Json) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def number(value: float, *, share: bool) -> str:
    """A number for people: three significant digits, as a percentage if it is a share of one."""
    if share:
        return f"{_digits(value * 100)} %"
    return _digits(value)


def _digits(value: float) -> str:
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _shown(value: Json) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
