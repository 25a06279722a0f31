"""Logs of runs that ended long ago: their lines, and the files in which the rest of a long log stands."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Sum

from handrail.shared.clock import database_now
from handrail.shared.retention import cutoff, in_batches
from runbooks.models import Artifact, LogLine, Run
from runbooks.removed import LOG, Removal, marked
from runbooks.retention.finished import runs_over
from runbooks.retention.telling import tell

RUNS = 50
LINES = 5_000
"""Of one transaction at most. A run with more lines is marked with its first batch, and over with its last."""


def remove_logs() -> int:
    """The duty: how many batches it took."""
    return in_batches(_batch)


@transaction.atomic
def _batch() -> bool:
    """Remove some; whether there may be more."""
    days: int = settings.KEEP_LOGS_DAYS
    before = cutoff(days)
    if before is None:
        return False
    waiting = runs_over(before).filter(log_over_at__isnull=True).order_by("ended_at")
    runs = list(waiting.select_for_update(skip_locked=True, of=("self",))[:RUNS])
    if not runs:
        return False
    said = LogLine.objects.filter(step__run__in=runs).order_by("step", "n")
    lines = list(said.values_list("pk", "step__run_id")[:LINES])
    files = Artifact.objects.filter(run__in=runs, removed_at__isnull=True)
    kept: dict[str, Any] = files.aggregate(count=Count("pk"), size=Sum("size"))
    had = Counter(run_id for _, run_id in lines)
    had.update(files.values_list("run_id", flat=True))
    found = Removal(database_now(), days)
    LogLine.objects.filter(pk__in=[pk for pk, _ in lines]).delete()
    files.update(removed_at=found.at)
    for run in runs:
        if had[run.pk]:
            Run.objects.filter(pk=run.pk).update(removed=marked(run, LOG, found))
    complete = len(lines) < LINES
    if complete:
        Run.objects.filter(pk__in=[run.pk for run in runs]).update(log_over_at=found.at)
    if had:
        told = {"days": days, "lines": len(lines), "files": kept["count"], "bytes": kept["size"] or 0}
        tell("logs", {**told, "runs": [str(run_id) for run_id in had]})
    return len(runs) == RUNS or not complete
