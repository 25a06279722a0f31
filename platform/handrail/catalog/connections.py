"""Finding a connection by the name that a runbook uses."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection

from handrail.accounts.models import Project
from handrail.catalog.models import Connection
from handrail.shared.errors import NotFound


def get(project: Project, name: str) -> Connection:
    """The project's connection of this name, with its project loaded; or NotFound with the names there are."""
    found = (
        Connection.objects.select_related("project", "environment").filter(project=project, name=name).first()
    )
    if found is not None:
        return found
    known = list(Connection.objects.filter(project=project).values_list("name", flat=True)[:10])
    there_are = f"There are: {', '.join(known)}." if known else "There are none yet."
    raise NotFound(
        f"The project has no connection called {name[:63]!r}. {there_are}", code="connection_not_found"
    )


_PLACE = ("kind", "base_url", "authentication", "header_name", "secret_reference", "options")
"""What says where a connection leads, and as whom. Its limits (timeout, allow lists) only ever refuse."""


def places(project: Project, names: Collection[str]) -> dict[str, str]:
    """A digest (SHA-256 in hex) of where each connection leads, by name; empty for a name that there is not.

    A secret's new value changes nothing: the reference is part of the digest, the value is not.
    """
    found = dict.fromkeys(names, "")
    for row in Connection.objects.filter(project=project, name__in=found).values("name", *_PLACE):
        name = row.pop("name")
        text = json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        found[name] = hashlib.sha256(text.encode()).hexdigest()
    return found
