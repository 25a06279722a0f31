"""How a runbook has done lately: success rate, median duration, last runs."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median

from handrail.shared.clock import now
from runbooks.models import Run, Runbook

WINDOW = timedelta(days=90)
"""Figures are of the runs that were started within this time."""

MOST_RUNS = 5000
"""Runs that are looked at for one list of figures."""

_ENDED = (Run.State.SUCCEEDED, Run.State.FAILED, Run.State.CANCELLED)


@dataclass(frozen=True, slots=True)
class Figures:
    """Of the last 90 days. Stopped runs count as neither success nor failure.

    ``success_rate`` is a share between 0 and 1, ``median_duration`` of the runs that succeeded; None without any.
    """

    runs: int = 0
    open_runs: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    success_rate: float | None = None
    median_duration: timedelta | None = None
    last_run_at: datetime | None = None
    last_run_state: str = ""
    last_runs: Sequence[Run] = field(default_factory=tuple)

    @property
    def success_percent(self) -> int | None:
        """The success rate in whole percent, rounded down: 100 means that none failed."""
        return None if self.success_rate is None else int(self.success_rate * 100)


def runbook_figures(runbook: Runbook, *, last: int = 10) -> Figures:
    """The figures of one runbook, with its last runs. Two queries."""
    figures = figures_of([runbook]).get(runbook.pk, Figures())
    runs = list(
        Run.objects.filter(runbook=runbook)
        .select_related("version", "incident", "runbook", "project", "alert")
        .order_by("-created_at")[:last]
    )
    return Figures(
        **{name: getattr(figures, name) for name in Figures.__slots__ if name != "last_runs"}, last_runs=runs
    )


def figures_of(runbooks: Iterable[Runbook]) -> dict[uuid.UUID, Figures]:
    """The figures of several runbooks, without their last runs, in one query."""
    rows = (
        Run.objects.filter(runbook__in=list(runbooks), created_at__gte=now() - WINDOW)
        .order_by("-created_at")
        .values_list("runbook_id", "state", "created_at", "started_at", "ended_at")[:MOST_RUNS]
    )
    by_runbook: dict[uuid.UUID, list[_Row]] = defaultdict(list)
    for runbook_id, state, created_at, started_at, ended_at in rows:
        by_runbook[runbook_id].append(_Row(state, created_at, started_at, ended_at))
    return {runbook_id: _figures(found) for runbook_id, found in by_runbook.items()}


@dataclass(frozen=True, slots=True)
class _Row:
    state: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


def _figures(rows: Sequence[_Row]) -> Figures:
    states = [row.state for row in rows]
    succeeded, failed = states.count(Run.State.SUCCEEDED), states.count(Run.State.FAILED)
    durations = [
        (row.ended_at - row.started_at).total_seconds()
        for row in rows
        if row.state == Run.State.SUCCEEDED and row.ended_at is not None and row.started_at is not None
    ]
    return Figures(
        runs=len(rows),
        open_runs=sum(state not in _ENDED for state in states),
        succeeded=succeeded,
        failed=failed,
        cancelled=states.count(Run.State.CANCELLED),
        success_rate=succeeded / (succeeded + failed) if succeeded + failed else None,
        median_duration=timedelta(seconds=median(durations)) if durations else None,
        last_run_at=rows[0].created_at,
        last_run_state=rows[0].state,
    )
