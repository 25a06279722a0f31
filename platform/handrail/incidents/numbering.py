"""Numbers an incident within its project: INC-1, INC-2, ... without gaps or races."""

from __future__ import annotations

from django.db.models import Max

from handrail.accounts.models import Project
from handrail.incidents.models import Incident


def lock_project(project: Project) -> None:
    """Serialise the opening and reopening of the project's incidents until the transaction ends.

    In the lock order it comes after alerts and before incidents. Whoever has the lock may take it again.
    """
    Project.objects.select_for_update(no_key=True).values_list("pk").get(pk=project.pk)


def next_number(project: Project) -> int:
    """The next free number; call it only under :func:`lock_project`."""
    last = Incident.objects.filter(project=project).aggregate(last=Max("number"))["last"]
    return int(last or 0) + 1
