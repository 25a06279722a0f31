"""What a JSON document may hold, as a type."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

JsonValue: TypeAlias = "bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
"""Read-only on purpose: a ``dict[str, str]`` is one too."""


def storable(value: JsonValue) -> JsonValue:
    """The same value without what no database holds: NUL and lone surrogates become U+FFFD.

    What is no finite number becomes null: Python reads 1e999 and NaN from JSON, and JSON cannot say them.
    """
    match value:
        case str():
            return storable_text(value)
        case Mapping():
            return {storable_text(key): storable(item) for key, item in value.items()}
        case list() | tuple():
            return [storable(item) for item in value]
        case float() if not math.isfinite(value):
            return None
    return value


def shallow(value: JsonValue, deepest: int) -> JsonValue:
    """The same value, in which whatever lies deeper than ``deepest`` mappings and lists is null."""
    match value:
        case str():
            return value
        case Mapping():
            return {key: shallow(item, deepest - 1) for key, item in value.items()} if deepest else None
        case list() | tuple():
            return [shallow(item, deepest - 1) for item in value] if deepest else None
    return value


def storable_text(text: str) -> str:
    """Text that PostgreSQL and SQLite both keep."""
    return (
        text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
        .encode("utf-16", "surrogatepass")
        .decode("utf-16", "replace")
    )
