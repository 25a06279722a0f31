"""A run that belongs to no incident reports one: opened once, in the name of the runbook."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from django.db import transaction

from handrail.accounts.models import Project
from handrail.catalog.models import Environment, Service
from handrail.incidents import opening
from handrail.incidents.hooks import ChangeKind, IncidentChange, incident_changed
from handrail.incidents.models import Incident
from handrail.incidents.numbering import lock_project
from handrail.incidents.severities import Sev
from handrail.shared.actors import Actor
from handrail.shared.clock import now
from handrail.shared.errors import NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """What is wrong. ``step_key`` is the step's own; ``key`` joins the reports of several runs while one is open."""

    title: str
    severity: Sev
    step_key: str
    key: str = ""
    service: str = ""
    environment: str = ""


@transaction.atomic
def declare_by_run(
    project: Project, report: RunReport, *, actor: Actor, starter: Actor | None = None
) -> tuple[Incident, bool]:
    """The incident, and whether this call has opened it. Repeating the call finds the same one.

    ``starter`` of the run is who starts what the incident starts. It asks for no permission of its own: whoever
    started the run had it, and the runbook was reviewed. Raises NotFound for a service or an environment that the
    project does not have.
    """
    # Whoever declares under the same key waits here, and then finds the row.
    lock_project(project)
    digest = hashlib.sha256((report.key or report.step_key).encode()).hexdigest()
    key = f"declared={digest}" if report.key else f"step={digest}"
    same = Incident.objects.filter(project=project, key=key)
    found = (same.filter(is_open=True) if report.key else same).order_by("created_at").first()
    if found is not None:
        return found, False
    moment = now()
    why = f"reported by {actor.name}"
    told = opening.Opening(
        title=report.title,
        severity=report.severity,
        started_at=moment,
        detected_at=moment,
        why=why,
        key=key,
        service=_service(project, report.service),
        environment=_environment(project, report.environment),
        trace_id=actor.trace_id,
        data={"reported_by": actor.name, "human": False},
    )
    incident = opening.create(project, told, actor=actor)
    change = IncidentChange(incident=incident, kind=ChangeKind.OPENED, actor=actor, starter=starter)
    incident_changed(change)
    opening.audited(incident, actor=actor, why=why)
    return incident, True


def _service(project: Project, slug: str) -> Service | None:
    if not slug:
        return None
    found = Service.objects.filter(project=project, slug=slug).first()
    if found is None:
        raise NotFound(f"The project has no service {slug[:63]!r}. An operator can create it.")
    return found


def _environment(project: Project, slug: str) -> Environment | None:
    if not slug:
        return None
    found = Environment.objects.filter(project=project, slug=slug).first()
    if found is None:
        raise NotFound(f"The project has no environment {slug[:63]!r}. An operator can create it.")
    return found
