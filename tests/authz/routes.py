"""Every route of the URL configuration, however deeply included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.urls import URLPattern, URLResolver, get_resolver


@dataclass(frozen=True, slots=True)
class Route:
    """An address with its parameters unfilled; ``name`` is what ``reverse`` takes."""

    name: str
    path: str


def routes() -> list[Route]:
    """All routes, sorted by path. A route without a name cannot be spoken of: it is called by its path."""
    return sorted(_walk(get_resolver(), "/", ()), key=lambda route: route.path)


def _walk(resolver: URLResolver, prefix: str, namespaces: tuple[str, ...]) -> Iterator[Route]:
    for pattern in resolver.url_patterns:
        path = prefix + str(pattern.pattern).removeprefix("^")
        if isinstance(pattern, URLResolver):
            inner = (*namespaces, pattern.namespace) if pattern.namespace else namespaces
            yield from _walk(pattern, path, inner)
        elif isinstance(pattern, URLPattern):
            yield Route(":".join((*namespaces, pattern.name)) if pattern.name else path, path)
