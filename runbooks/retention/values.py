"""Large values of runs that ended long ago: the rows go on naming them, and are marked; nothing of them changes."""

from __future__ import annotations

from django.conf import settings
from django.db import transaction

from handrail.shared.clock import database_now
from handrail.shared.retention import cutoff, in_batches
from runbooks.models import Run
from runbooks.removed import VALUES, Removal, marked
from runbooks.retention.finished import runs_over
from runbooks.retention.references import sizes_in
from runbooks.retention.telling import tell

RUNS = 50


def remove_values() -> int:
    """The duty: how many batches it took. The files go when no row of another run names them either."""
    return in_batches(_batch)


@transaction.atomic
def _batch() -> bool:
    """Mark some; whether there may be more."""
    days: int = settings.KEEP_ARTIFACTS_DAYS
    before = cutoff(days)
    if before is None:
        return False
    waiting = runs_over(before).filter(values_over_at__isnull=True).order_by("ended_at")
    runs = list(waiting.select_for_update(skip_locked=True, of=("self",))[:RUNS])
    found = Removal(database_now(), days)
    named = {run.pk: sizes for run in runs if (sizes := sizes_in(run.pk))}
    for run in runs:
        if run.pk in named:
            Run.objects.filter(pk=run.pk).update(removed=marked(run, VALUES, found))
    Run.objects.filter(pk__in=[run.pk for run in runs]).update(values_over_at=found.at)
    if named:
        values = {digest: size for sizes in named.values() for digest, size in sizes.items()}
        told = {"days": days, "values": len(values), "bytes": sum(values.values())}
        tell("values", {**told, "runs": [str(run_id) for run_id in named]})
    return len(runs) == RUNS
