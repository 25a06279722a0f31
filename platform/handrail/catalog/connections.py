"""Finding a connection by the name that a runbook uses."""

from __future__ import annotations

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
