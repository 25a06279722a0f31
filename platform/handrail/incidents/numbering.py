"""Numbers an incident within its project: INC-1, INC-2, ... without gaps or races."""

from __future__ import annotations

from django.db import connection

from handrail.accounts.models import Project
from handrail.incidents.models import Incident
from handrail.shared.statements.reading import fetch
from handrail.shared.statements.shapes import table


def lock_project(project: Project) -> None:
    """Serialise the opening and reopening of the project's incidents until the transaction ends.

    In the lock order it comes after alerts and before incidents. Whoever has the lock may take it again.
    """
    lock = "FOR NO KEY UPDATE" if connection.vendor == "postgresql" else ""
    if not fetch(" ".join(["SELECT id FROM", table(Project), "WHERE id = %s", lock]), [project.pk]):
        raise Project.DoesNotExist


def next_number(project: Project) -> int:
    """The next free number; call it only under :func:`lock_project`."""
    text = " ".join(["SELECT max(number) FROM", table(Incident), "WHERE project_id = %s"])
    return int(fetch(text, [project.pk])[0][0] or 0) + 1
