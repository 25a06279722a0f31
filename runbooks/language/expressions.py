"""Evaluates CEL expressions and renders the ``${{ }}`` in strings.

At the gate, for conditions, and for triggers.

Only what an expression reads is handed to the evaluator: converting a whole state costs more than evaluating.
The library has no limit of its own, so length, macros and the size of what is read are bounded here.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import cel

from runbooks.language.definition import Json, Template
from runbooks.language.encodings import CannotEncode, Encoded, encode
from runbooks.language.errors import UNSAFE_VALUE, ExpressionError
from runbooks.language.problems import nearest
from runbooks.language.tokens import Reads, bound, closing, reads, tested_safely

MAX_LENGTH = 2_000
"""Characters of one expression."""
MAX_MACRO_DEPTH = 2
"""``map`` within ``map`` is allowed, a third level is not."""
MAX_VALUES = 100_000
"""Values that one evaluation may read."""
MAX_DATA_DEPTH = 64
"""Levels of nesting in what is read or returned."""
MAX_RESULT = 1_000_000
"""Characters of a rendered string."""
MAX_WORK = 25_000_000
"""Bound for macros: about two seconds at worst. A ``map`` over n values copies its result n times."""

OPEN = "${{"
_ESCAPED = "$${{"


class _Program(Protocol):
    def execute(self, context: dict[str, object]) -> object: ...


@dataclass(frozen=True, slots=True)
class Compiled:
    """An expression, ready to be evaluated."""

    source: str
    program: _Program
    reads: Reads


@dataclass(frozen=True, slots=True)
class Hole:
    """One ``${{ expression }}`` in a string: the source without the braces, and its offset in the string."""

    source: str
    start: int


Parts = tuple["str | Hole", ...]


@lru_cache(maxsize=4096)
def compile_expression(source: str) -> Compiled:
    """Compile; the result is cached.

    Raises :class:`ExpressionError` (``invalid_expression``, ``expression_limit``).
    """
    if len(source) > MAX_LENGTH:
        raise ExpressionError(
            "expression_limit",
            f"The expression has {len(source)} characters; {MAX_LENGTH} are allowed.",
            source,
        )
    if not source.strip():
        raise ExpressionError("invalid_expression", "The expression is empty.", source)
    found = reads(source)
    if found.depth > MAX_MACRO_DEPTH:
        raise ExpressionError(
            "expression_limit",
            f"map, filter, all and exists may be nested {MAX_MACRO_DEPTH} deep, not {found.depth}.",
            source,
        )
    try:
        program: _Program = cel.compile(source)
        if found.tested and (safe := tested_safely(source)) != source:
            program = cel.compile(safe)
    except (ValueError, UnicodeError) as error:
        raise ExpressionError("invalid_expression", _syntax_words(str(error)), source) from None
    return Compiled(source, program, found)


def evaluate(expression: str, context: Mapping[str, object], *, path: str = "") -> Json:
    """The value of an expression. ``context`` maps root names to data and may be lazy; it is only read.

    Timestamps become RFC 3339 strings and durations seconds. Raises :class:`ExpressionError`.
    """
    try:
        compiled = compile_expression(expression)
        values = _selected(compiled, context)
        return to_json(_executed(compiled, values, context), expression)
    except ExpressionError as error:
        if path and not error.path:
            raise error.at(path) from None
        raise


def condition(expression: str, context: Mapping[str, object], *, path: str = "") -> bool:
    """The value of a condition.

    Anything but true or false is an :class:`ExpressionError` (``wrong_type``).
    """
    value = evaluate(expression, context, path=path)
    if not isinstance(value, bool):
        raise ExpressionError(
            "wrong_type", f"A condition must be true or false, not {kind_of(value)}.", expression, path=path
        )
    return value


def render(template: Template, context: Mapping[str, object], *, path: str = "") -> Json:
    """Fill every ``${{ }}`` in JSON data.

    A string that is one lone expression keeps the expression's type. Values in a string that is
    :class:`runbooks.language.encodings.Encoded` are encoded for the program that will read it.
    """
    if isinstance(template, str):
        return _rendered_text(template, context, path) if OPEN in template else template
    if isinstance(template, dict):
        return {
            key: render(value, context, path=f"{path}.{key}" if path else key)
            for key, value in template.items()
        }
    if isinstance(template, list):
        return [render(value, context, path=f"{path}[{n}]") for n, value in enumerate(template)]
    return template


def render_text(template: Template, context: Mapping[str, object], *, path: str = "") -> str:
    """The same for what people read: a lone expression becomes text, too, as if other text stood around it."""
    return as_text(render(template, context, path=path), str(template), path)


@lru_cache(maxsize=4096)
def parts(text: str) -> Parts:
    """Split a string into text and holes. ``$${{`` stands for a literal ``${{``. Raises ExpressionError."""
    found: list[str | Hole] = []
    literal: list[str] = []
    position = 0
    while (at := text.find(OPEN, position)) >= 0:
        if at > position - 1 and text.startswith(_ESCAPED, max(at - 1, position)) and at - 1 >= position:
            literal += [text[position : at - 1], OPEN]
            position = at + len(OPEN)
            continue
        literal.append(text[position:at])
        end = closing(text, at + len(OPEN))
        if end is None:
            raise ExpressionError(
                "invalid_expression", "This '${{' is not closed with '}}'.", text[at : at + 60]
            )
        if "".join(literal):
            found.append("".join(literal))
        literal.clear()
        inside = text[at + len(OPEN) : end]
        source = inside.strip()
        found.append(Hole(source, at + len(OPEN) + len(inside) - len(inside.lstrip())))
        position = end + 2
    literal.append(text[position:])
    if "".join(literal):
        found.append("".join(literal))
    return tuple(found)


def _rendered_text(text: str, context: Mapping[str, object], path: str) -> Json:
    try:
        pieces = parts(text)
    except ExpressionError as error:
        raise error.at(path) from None
    encoding = text.encoding if isinstance(text, Encoded) else None
    if len(pieces) == 1 and isinstance(pieces[0], Hole) and encoding is None:
        return evaluate(pieces[0].source, context, path=path)
    out: list[str] = []
    length = 0
    for piece in pieces:
        if isinstance(piece, str):
            out.append(piece)
        else:
            value = as_text(evaluate(piece.source, context, path=path), piece.source, path)
            out.append(value if encoding is None else _encoded(encoding, value, out, piece, path))
        length += len(out[-1])
        if length > MAX_RESULT:
            raise ExpressionError(
                "expression_limit", f"The text is longer than {MAX_RESULT} characters.", text, path=path
            )
    return "".join(out)


def _encoded(encoding: str, value: str, before: list[str], hole: Hole, path: str) -> str:
    try:
        return encode(encoding, value, "".join(before))
    except CannotEncode as error:
        raise ExpressionError(UNSAFE_VALUE, str(error), hole.source, path=path) from None


def as_text(value: Json, expression: str, path: str = "") -> str:
    """How a value stands inside text.

    Numbers as JSON (whole ones without ``.0``), lists and mappings as JSON.
    """
    if isinstance(value, str):
        return value
    if value is None:
        raise ExpressionError(
            "null_value",
            "The value is null and cannot stand inside text: test it first (a != null ? a : '').",
            expression,
            path=path,
        )
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _selected(compiled: Compiled, context: Mapping[str, object]) -> dict[str, object]:
    """The part of the context that the expression reads.

    What is missing is left for the evaluator to miss.
    """
    found = compiled.reads
    chosen: dict[str, object] = {}
    values = 0
    for path in found.paths:
        if path[0] not in context:
            continue
        if path in found.tested and _nothing_at(path, context):
            _test_false(path, chosen)
            continue
        value, into, name = context[path[0]], chosen, path[0]
        for part in path[1:]:
            if not isinstance(value, Mapping):
                break
            below = into.setdefault(name, {})
            if not isinstance(below, dict):  # a shorter path has brought the whole value already
                break
            into, name = below, part
            if part not in value:
                break
            value = value[part]
        else:
            into[name] = _plain(value, compiled.source)
            values += _size(into[name])
            continue
        if not isinstance(value, Mapping) and not isinstance(into.get(name), dict):
            into[name] = value
    _check_work(compiled, values)
    return chosen


def _nothing_at(path: tuple[str, ...], context: Mapping[str, object]) -> bool:
    """Whether something on the way to a tested field is null or missing.

    Then ``has()`` is false, not an error.
    """
    value: object = context
    for part in path[:-1]:
        value = value.get(part) if isinstance(value, Mapping) else None
        if value is None:
            return True
    return False


def _test_false(path: tuple[str, ...], chosen: dict[str, object]) -> None:
    into = chosen
    for part in path[:-1]:
        below = into.setdefault(part, {})
        if below is None:  # another path came to this null on its way
            below = into[part] = {}
        if not isinstance(below, dict):
            return
        into = below


def _check_work(compiled: Compiled, values: int) -> None:
    found = compiled.reads
    if values > MAX_VALUES:
        raise ExpressionError(
            "expression_limit", f"The expression reads more than {MAX_VALUES} values.", compiled.source
        )
    breadth = values + found.elements
    if found.macros and found.macros * breadth ** (found.depth + 1) > MAX_WORK:
        raise ExpressionError(
            "expression_limit",
            f"map, filter, all and exists over {breadth} values are too much work here: read a smaller part.",
            compiled.source,
        )


def _plain(value: object, source: str) -> object:
    """The value as the evaluator takes it; too deep data is refused before the evaluator recurses into it."""
    if isinstance(value, (dict, list, tuple)) and _too_deep(value):
        raise ExpressionError(
            "expression_limit", f"A value is nested deeper than {MAX_DATA_DEPTH} levels.", source
        )
    if isinstance(value, Mapping) and not isinstance(value, dict):
        return {key: _plain(inner, source) for key, inner in value.items()}
    return value


def _too_deep(value: object) -> bool:
    level: list[object] = [value]
    for _ in range(MAX_DATA_DEPTH):
        level = [
            inner for outer in level for inner in _inside(outer) if isinstance(inner, (Mapping, list, tuple))
        ]
        if not level:
            return False
    return True


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, (list, tuple)) else ()


def _size(value: object) -> int:
    total, stack = 0, [value]
    while stack and total <= MAX_VALUES:
        inside = _inside(stack.pop())
        total += 1
        stack.extend(inside)
    return total


def _executed(compiled: Compiled, values: dict[str, object], context: Mapping[str, object]) -> object:
    try:
        return compiled.program.execute(values)
    except (KeyError, IndexError, TypeError, RuntimeError, ValueError, ArithmeticError) as error:
        raise _explained(error, compiled, context) from None


def _explained(error: Exception, compiled: Compiled, context: Mapping[str, object]) -> ExpressionError:
    """The evaluator's error in words that name what is missing and what was probably meant."""
    source = compiled.source
    guarded, inner = compiled.reads.tested, bound(source)
    for path in (path for path in compiled.reads.paths if path not in guarded and path[0] not in inner):
        missing = _first_missing(path, context)
        if missing is not None:
            return ExpressionError(missing[0], missing[1], source, suggestion=missing[2])
    if isinstance(error, KeyError):
        key = str(error.args[0]) if error.args else ""
        return ExpressionError("unknown_name", f"There is no '{key}' in what is read here.", source)
    if isinstance(error, IndexError):
        return ExpressionError("unknown_name", f"The list is too short: {error}.", source)
    if isinstance(error, TypeError):
        return ExpressionError("wrong_type", _type_words(str(error)), source)
    if isinstance(error, ZeroDivisionError):
        return ExpressionError("evaluation_failed", "Division by zero.", source)
    return ExpressionError("evaluation_failed", _first_sentence(str(error)), source)


def _first_missing(
    path: tuple[str, ...], context: Mapping[str, object]
) -> tuple[str, str, str | None] | None:
    value: object = context
    for depth, part in enumerate(path):
        if value is None:
            whole = ".".join(path[:depth])
            why = " (the step has not run)" if path[0] == "steps" and path[depth - 1] == "outputs" else ""
            return "null_value", f"'{whole}' is null{why}, so '{part}' cannot be read from it.", None
        if not isinstance(value, Mapping):
            return None
        if part not in value:
            if depth == 0:
                return "unknown_name", f"The name '{part}' is not known here.", nearest(part, value)
            whole = ".".join(path[:depth])
            return "unknown_name", f"There is no '{part}' in '{whole}'.", nearest(part, map(str, value))
        value = value[part]
    return None


def to_json(value: object, expression: str) -> Json:
    """An evaluator's value as JSON data. Raises :class:`ExpressionError` (``wrong_type``)."""
    return _to_json(value, expression, 0)


def _to_json(value: object, expression: str, depth: int) -> Json:
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        return _storable(value, expression)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ExpressionError("evaluation_failed", "The result is not a finite number.", expression)
        return value
    if isinstance(value, dt.datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if depth < MAX_DATA_DEPTH:
        if isinstance(value, list):
            return [_to_json(item, expression, depth + 1) for item in value]
        if isinstance(value, dict):
            if not all(isinstance(key, str) for key in value):
                raise ExpressionError("wrong_type", "The keys of a result must be text.", expression)
            return {
                _storable(key, expression): _to_json(item, expression, depth + 1)
                for key, item in value.items()
            }
    raise ExpressionError(
        "wrong_type",
        f"The result ({type(value).__name__}) is not text, a number, a list or a mapping.",
        expression,
    )


def _storable(text: str, expression: str) -> str:
    if "\0" in text:
        raise ExpressionError(
            "wrong_type",
            "The result holds a NUL: no database, argument or file name can hold it in a text.",
            expression,
        )
    return text


def kind_of(value: Json) -> str:
    """What a value is, for a sentence: ``text``, ``a list``."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    return {str: "text", list: "a list", dict: "a mapping"}[type(value)]


def _type_words(message: str) -> str:
    if message.startswith("Unsupported operation:"):
        return (
            message.split(". ", maxsplit=1)[0]
            + ": both sides must have the same type; use int(x), double(x) or string(x)."
        )
    return (
        "The types do not fit: both sides of an operator must have the same type "
        "(use int(x), double(x) or string(x)), conditions must be true or false, fields are read from mappings, and "
        "map, filter, all and exists go through lists."
    )


_FAILED_PARSE = re.compile(r"ERROR: <input>:(\d+):(\d+): ([^\n]*)")


def _syntax_words(message: str) -> str:
    match = _FAILED_PARSE.search(message)
    if not match:
        return "This is not a CEL expression."
    if "Recursion limit" in match.group(3):
        return "The expression is nested too deep."
    what = match.group(3).removeprefix("Syntax error: ").split(" expecting ")[0]
    what = what.replace("mismatched input", "unexpected").replace("extraneous input", "unexpected")
    what = what.replace("'<EOF>'", "end of the expression")
    return f"This is not a CEL expression: {what} (line {match.group(1)}, character {match.group(2)})."


_NO_OVERLOAD = re.compile(r"Undefined variable or function: '(\w+)'")


def _first_sentence(message: str) -> str:
    match = _NO_OVERLOAD.match(message)
    if match:
        return f"'{match.group(1)}' is not known here, or as a function takes no value of this type."
    return message.split(". Check ", maxsplit=1)[0].replace("\n", " ")[:300].rstrip(".") + "."
