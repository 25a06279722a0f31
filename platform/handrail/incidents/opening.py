"""Opens incidents: the row with its number, the first event, the hook, the audit entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction

from handrail.accounts.models import Project
from handrail.alerts.models import Alert
from handrail.audit.actions import record
from handrail.catalog.models import Environment, Service
from handrail.incidents import timeline
from handrail.incidents.lifecycle import Status
from handrail.incidents.models import Incident
from handrail.incidents.numbering import next_number
from handrail.shared.actors import Actor
from handrail.shared.statements.writing import insert

MAX_TITLE = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What is known of an incident when it is opened. ``why`` says in words what opened it."""

    title: str
    severity: str
    started_at: datetime
    detected_at: datetime
    why: str
    key: str = ""
    service: Service | None = None
    environment: Environment | None = None
    alert: Alert | None = None
    related_to: Incident | None = None
    trace_id: str = ""
    data: Mapping[str, object] = field(default_factory=dict)


@transaction.atomic(savepoint=False)
def create(project: Project, opening: Opening, *, actor: Actor) -> Incident:
    """The new incident's row and its first timeline event; the caller has the project's lock.

    The caller tells the hook and then calls :func:`audited`, so that the audit head is locked last.
    """
    incident = Incident(
        project=project,
        number=next_number(project),
        title=timeline.shortened(opening.title, MAX_TITLE),
        severity=opening.severity,
        status=Status.TRIAGE,
        key=opening.key,
        service=opening.service,
        environment=opening.environment,
        started_at=opening.started_at,
        detected_at=opening.detected_at,
        related_to=opening.related_to,
        trace_id=opening.trace_id,
    )
    insert(incident)
    timeline.opened_here(incident)
    timeline.add(
        incident,
        "incident.opened",
        f"{incident} opened as {incident.severity}: {opening.why}",
        actor=actor,
        at=opening.detected_at,
        data={
            "severity": incident.severity,
            "title": incident.title,
            "service": opening.service.slug if opening.service else "",
            "environment": opening.environment.slug if opening.environment else "",
            "started_at": opening.started_at.isoformat(),
            "related_to": str(opening.related_to or ""),
            **opening.data,
        },
        subject=opening.alert,
    )
    return incident


def audited(incident: Incident, *, actor: Actor, why: str) -> None:
    """Write the audit entry of an opening: the last thing in its transaction."""
    record(
        actor,
        "incident.opened",
        incident,
        data={"number": incident.number, "severity": incident.severity, "why": why},
    )
