"""The source kinds of this installation: told by the wiring, so that alerts need not know any vendor."""

from __future__ import annotations

from collections.abc import Mapping

from handrail.alerts.sources import SourceKind, SourceRegistry

_places: dict[str, str] = {}


def install(places: Mapping[str, str]) -> None:
    """Make these kinds known: the kind's name -> ``package.module:ATTRIBUTE``."""
    _places.update(places)


def names() -> list[str]:
    """All kinds, sorted."""
    return SourceRegistry(_places).names()


def get(name: str) -> SourceKind:
    """The kind called ``name``; raises UnknownSource with the nearest name."""
    return SourceRegistry(_places).get(name)
