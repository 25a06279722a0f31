"""CEL expressions over a body, with limits on what they can cost: the library has none of its own."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import cel

from handrail.alerts.bodies import JsonValue
from handrail.alerts.errors import MappingError
from handrail.alerts.text import shown, storable

MAX_EXPRESSION_LENGTH = 1_000
MAX_MACRO_NESTING = 2
MAX_STEPS = 2_000_000
MAX_BYTES = 1 << 28
_INT64 = range(-(2**63), 2**63)

_STRING = re.compile(r"""[rRbB]*(?:"(?:[^"\\]++|\\.)*+"|'(?:[^'\\]++|\\.)*+')""", re.DOTALL)
_TOKEN = re.compile(r"\.\s*(?P<macro>map|filter|all|exists|exists_one)\s*\(|[()+]")


class MissingKey(MappingError):
    """The expression reads a key or an index that this body does not have; a `default` may stand in."""


@dataclass(frozen=True, slots=True)
class Cost:
    """How an expression's work grows with its input, read off its text; an upper bound, not a measure."""

    nesting: int
    mapping: int
    growth: int

    def check(self, place: str, *, values: int, size: int) -> None:
        """Raise MappingError when `values` values of `size` characters in all could cost too much."""
        if not self.nesting and self.growth == 1:
            return
        elements = max(values, 1) * self.growth
        if self.nesting and elements**self.nesting > MAX_STEPS:
            raise MappingError(
                f"{place}: nested macros could take too long over this body of {values:,} values"
            )
        if elements**self.mapping * max(size, 1) * self.growth > MAX_BYTES:
            raise MappingError(
                f"{place}: map() and + could build too large a result from this body of {size:,} characters"
            )


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression; `place` says where it stands in its document ("title", "labels.env")."""

    source: str
    place: str
    program: cel.Program
    roots: frozenset[str]
    cost: Cost

    def evaluate(self, scope: Scope) -> object:
        """The value over `scope`.

        Raises MissingKey for a key that is not there, with the nearest one that is, else MappingError.
        """
        self.cost.check(self.described, values=scope.values, size=scope.size)
        try:
            return cast("object", self.program.execute(scope.context))
        except KeyError as error:
            missing = str(error.args[0]) if error.args else ""
            raise MissingKey(
                f"{self.described}: the body has no key {shown(missing)}{_nearest(missing, scope)}"
            ) from None
        except IndexError as error:
            raise MissingKey(f"{self.described}: {storable(str(error))}") from None
        except (ValueError, TypeError, RuntimeError, ArithmeticError) as error:
            raise MappingError(f"{self.described}: {storable(str(error))[:400]}") from None

    @property
    def described(self) -> str:
        """Where it stands and what it says, for messages."""
        return f"{self.place}: expression {shown(self.source)}"


class Scope:
    """The variables of one evaluation, with the figures that bound its cost."""

    def __init__(self, variables: Mapping[str, JsonValue]) -> None:
        self.variables = {name: _exact(value) for name, value in variables.items()}
        self.context = cel.Context(variables=dict(self.variables))
        self.values, self.size = _extent(self.variables)

    def every_key(self) -> Iterator[str]:
        """Every key of every object in the variables, and the variables themselves."""
        pending: list[JsonValue] = [dict(self.variables)]
        while pending:
            match pending.pop():
                case dict() as entries:
                    yield from entries
                    pending.extend(entries.values())
                case list() as entries:
                    pending.extend(entries)


def compile_expression(source: object, place: str, variables: frozenset[str]) -> Expression:
    """Check and compile one expression. Raises MappingError naming its place."""
    if not isinstance(source, str) or not source.strip():
        raise MappingError(f"{place}: should be a CEL expression as text, found {shown(source)}")
    if len(source) > MAX_EXPRESSION_LENGTH:
        raise MappingError(f"{place}: the expression is longer than {MAX_EXPRESSION_LENGTH:,} characters")
    cost = _cost(source)
    if cost.nesting > MAX_MACRO_NESTING:
        raise MappingError(
            f"{place}: macros (map, filter, ...) are nested deeper than {MAX_MACRO_NESTING} levels"
        )
    try:
        program = cel.compile(source)
    except ValueError as error:
        reason = storable(str(error)).split("ERROR: <input>:", 1)[-1].split("\n", 1)[0]
        raise MappingError(f"{place}: expression {shown(source)} cannot be read at {reason[:300]}") from None
    roots = frozenset(program.variables())
    return Expression(source=source, place=place, program=program, roots=roots & variables, cost=cost)


def _cost(source: str) -> Cost:
    """Macros count by how deep they nest, `map` and `+` by what they multiply: each `+` may double a text."""
    stack: list[str] = []
    nesting = mapping = 0
    pluses = [0]
    chained: list[int] = []
    for token in _TOKEN.finditer(_STRING.sub("''", source)):
        text = token[0]
        if text == "+":
            pluses[-1] += 1
        elif text == ")":
            if stack and stack.pop():
                chained.append(pluses.pop())
        else:
            macro = token["macro"] or ""
            stack.append(macro)
            if macro:
                pluses.append(0)
                nesting = max(nesting, sum(1 for name in stack if name))
                mapping = max(mapping, sum(1 for name in stack if name == "map"))
    growth = 1
    for count in [*pluses, *chained]:
        growth *= count + 1
    return Cost(nesting=nesting, mapping=mapping, growth=growth)


def _exact(value: JsonValue) -> JsonValue:
    """The library turns integers beyond 64 bits into floats, losing digits: they become text instead."""
    match value:
        case bool():
            return value
        case int():
            return value if value in _INT64 else str(value)
        case str():
            return storable(value)
        case list():
            return [_exact(entry) for entry in value]
        case dict():
            return {storable(key): _exact(entry) for key, entry in value.items()}
        case _:
            return value


def _extent(variables: Mapping[str, JsonValue]) -> tuple[int, int]:
    values = size = 0
    pending: list[JsonValue] = list(variables.values())
    while pending:
        value = pending.pop()
        values += 1
        match value:
            case str():
                size += len(value)
            case list():
                pending.extend(value)
            case dict():
                size += sum(map(len, value))
                pending.extend(value.values())
            case _:
                size += 8
    return values, size


def _nearest(missing: str, scope: Scope) -> str:
    candidates: dict[str, None] = {}
    for key in scope.every_key():
        if len(candidates) >= 2_000:
            break
        if len(key) <= 100:
            candidates[key] = None
    plain = {key.lower(): key for key in candidates}
    near = difflib.get_close_matches(missing.lower()[:100], plain, n=1, cutoff=0.5)
    return f"; the nearest one is {shown(plain[near[0]])}" if near else ""
