"""What of its runs speaks against resolving an incident by itself."""

from __future__ import annotations

from handrail.incidents.merging import merged_into
from handrail.incidents.models import Incident
from runbooks.models import Approval, Run


def active_run(incident: Incident) -> str | None:
    """In words which run of the incident, or of one merged into it, still goes on or waits; None when none does."""
    mine = {incident.pk, *merged_into(incident)}
    run = Run.objects.filter(incident__in=mine, is_open=True).select_related("runbook").first()
    if run is None:
        return None
    waits = Approval.objects.filter(run=run, state=Approval.State.PENDING).exists()
    return f"{run.runbook.title} " + ("waits for an approval" if waits else "still runs")
