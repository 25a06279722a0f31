"""Reading rendered inputs into types: each problem is an :class:`InvalidInputs` that names its input."""

from __future__ import annotations

from collections.abc import Mapping

from runbooks.language.definition import Json
from runbooks.steps.base import InvalidInputs


class Reader:
    """Takes inputs one by one; what nobody took is a problem of its own."""

    def __init__(self, rendered: Mapping[str, Json]) -> None:
        """``rendered`` is the step's ``with``, every expression replaced by its value."""
        self._left = dict(rendered)

    def text(self, name: str, default: str | None = None) -> str:
        """A string; required when there is no default."""
        value = self._left.pop(name, None)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            raise InvalidInputs(
                f"`{name}` must be a text" + ("." if value is not None else ": it is missing.")
            )
        return value

    def optional_text(self, name: str) -> str | None:
        """A string, or None when it is missing."""
        if self._left.get(name) is None:
            self._left.pop(name, None)
            return None
        return self.text(name)

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts; numbers are written out, as argv wants them."""
        value = self._left.pop(name, None)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise InvalidInputs(f"`{name}` must be a list.")
        return tuple(written(item, f"{name}[{at}]") for at, item in enumerate(value))

    def text_mapping(self, name: str) -> dict[str, str]:
        """Names to texts; numbers and truth values are written out."""
        return {key: written(value, f"{name}.{key}") for key, value in self.mapping(name).items()}

    def mapping(self, name: str) -> dict[str, Json]:
        """A mapping; empty when it is missing."""
        value = self._left.pop(name, None)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise InvalidInputs(f"`{name}` must be a mapping.")
        return value

    def statuses(self, name: str) -> frozenset[int]:
        """One HTTP status or a list of them."""
        value = self._left.pop(name, None)
        items = value if isinstance(value, list) else [] if value is None else [value]
        found: set[int] = set()
        for item in items:
            if not isinstance(item, int) or isinstance(item, bool) or not 100 <= item <= 599:
                raise InvalidInputs(f"`{name}` must be an HTTP status, or a list of them.")
            found.add(item)
        return frozenset(found)

    def given(self, name: str) -> bool:
        """Whether the input is there at all, be it null."""
        return name in self._left

    def raw(self, name: str) -> Json:
        """Whatever was given."""
        return self._left.pop(name, None)

    def done(self) -> None:
        """Refuse what is not an input of the action."""
        if self._left:
            raise InvalidInputs(f"There is no input called {', '.join(sorted(map(repr, self._left)))}.")


def written(value: Json, place: str) -> str:
    """A text, or a number or truth value written as JSON writes it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    raise InvalidInputs(f"`{place}` must be a text or a number.")
