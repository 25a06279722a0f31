"""Reads validated JSON data by type: the bridge between the checked document and the typed definition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from runbooks.language.definition import Expression, Json, Template
from runbooks.language.durations import seconds


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of one mapping. The schema has been checked: a wrong type here is a defect of the schema."""

    data: Mapping[str, Json]

    def has(self, name: str) -> bool:
        """Whether the field is written."""
        return name in self.data

    def text(self, name: str, default: str = "") -> str:
        """A string."""
        return cast("str", self.data.get(name, default))

    def maybe_text(self, name: str) -> str | None:
        """A string, or None when it is not written."""
        return cast("str | None", self.data.get(name))

    def flag(self, name: str) -> bool:
        """A boolean; False when it is not written."""
        return cast("bool", self.data.get(name, False))

    def whole(self, name: str, default: int) -> int:
        """An integer."""
        return int(cast("float", self.data.get(name, default)))

    def maybe_whole(self, name: str) -> int | None:
        """An integer, or None."""
        return self.whole(name, 0) if name in self.data else None

    def number(self, name: str, default: float) -> float:
        """A number."""
        return float(cast("float", self.data.get(name, default)))

    def maybe_number(self, name: str) -> float | None:
        """A number, or None."""
        return self.number(name, 0) if name in self.data else None

    def seconds(self, name: str, default: float) -> float:
        """A duration in seconds."""
        return seconds(cast("str | float", self.data[name])) if name in self.data else default

    def maybe_seconds(self, name: str) -> float | None:
        """A duration in seconds, or None."""
        return self.seconds(name, 0) if name in self.data else None

    def expression(self, name: str) -> Expression:
        """A CEL expression; a YAML boolean is one, too."""
        value = self.data[name]
        return str(value).lower() if isinstance(value, bool) else cast("str", value)

    def maybe_expression(self, name: str) -> Expression | None:
        """A CEL expression, or None."""
        return self.expression(name) if name in self.data else None

    def template(self, name: str) -> Template:
        """Any JSON data with ``${{ }}`` in its strings."""
        return self.data[name]

    def mapping(self, name: str) -> Mapping[str, Json]:
        """A mapping; empty when it is not written."""
        return cast("Mapping[str, Json]", self.data.get(name, {}))

    def words(self, name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """A list of strings."""
        return tuple(cast("list[str]", self.data[name])) if name in self.data else default

    def texts(self, name: str) -> Mapping[str, str]:
        """A mapping of strings."""
        return {key: str(value) for key, value in self.mapping(name).items()}

    def below(self, name: str) -> Fields:
        """The fields of a mapping inside; none when it is not written."""
        return Fields(self.mapping(name))

    def maybe_below(self, name: str) -> Fields | None:
        """The fields of a mapping inside, or None."""
        return self.below(name) if name in self.data else None

    def each(self, name: str) -> list[Fields]:
        """The mappings of a list."""
        return [Fields(item) for item in cast("list[dict[str, Json]]", self.data.get(name, []))]

    def named(self, name: str) -> list[tuple[str, Fields]]:
        """The mappings of a mapping, by name."""
        return [(key, Fields(cast("dict[str, Json]", value))) for key, value in self.mapping(name).items()]
