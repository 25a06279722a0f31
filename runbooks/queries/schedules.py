"""What the page of a runbook tells of its schedules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from runbooks.models import Runbook, Schedule, ScheduleTick

LOOKED_AT = 100
"""So many of the newest ticks are looked at; a schedule that is rarer than that among others shows no last one."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One schedule: ``timezone`` is empty for UTC; ``last`` is the newest tick that was decided about."""

    cron: str
    timezone: str
    next_at: datetime | None
    last: ScheduleTick | None


def schedules_of(runbook: Runbook) -> dict[str, Plan]:
    """The schedules of the live version by their triggers' ids."""
    rows = list(Schedule.objects.filter(runbook=runbook))
    if not rows:
        return {}
    last: dict[str, ScheduleTick] = {}
    for tick in ScheduleTick.objects.filter(runbook=runbook).order_by("-due_at")[:LOOKED_AT]:
        last.setdefault(tick.trigger, tick)
    return {row.trigger: Plan(row.cron, row.timezone, row.next_at, last.get(row.trigger)) for row in rows}
