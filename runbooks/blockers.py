"""What of its runs speaks against resolving an incident by itself."""

from __future__ import annotations

from handrail.incidents.models import Incident
from runbooks.models import Approval, Run


def active_run(incident: Incident) -> str | None:
    """In words which run of the incident still goes on, or waits for people; None when none does."""
    run = Run.objects.filter(incident=incident, is_open=True).select_related("runbook").first()
    if run is None:
        return None
    waits = Approval.objects.filter(run=run, state=Approval.State.PENDING).exists()
    return f"{run.runbook.title} " + ("waits for an approval" if waits else "still runs")
