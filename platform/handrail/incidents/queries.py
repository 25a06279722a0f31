"""What one may read of incidents, scoped by project."""

from __future__ import annotations

from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from handrail.accounts.permissions import visible_projects
from handrail.alerts.models import Alert
from handrail.incidents.metrics import Durations, Timestamps, durations
from handrail.incidents.models import Incident, IncidentAlert, Postmortem, TimelineEvent
from handrail.shared.actors import Actor


def incidents_visible_to(actor: Actor) -> QuerySet[Incident]:
    """Incidents, open ones first, worst first, newest first; each with ``alerts_open`` and ``alerts_seen``.

    ``alerts_open``: how many of its alerts still fire; ``alerts_total``: how many it has.
    """
    links = IncidentAlert.objects.filter(incident=OuterRef("pk")).order_by().values("incident")
    open_alerts = links.annotate(n=Count("pk", filter=Q(alert__is_open=True))).values("n")
    total = links.annotate(n=Count("pk")).values("n")
    return (
        Incident.objects.filter(project__in=visible_projects(actor))
        .select_related("project", "service", "environment", "commander", "merged_into", "related_to")
        .annotate(alerts_open=Coalesce(Subquery(open_alerts), 0), alerts_total=Coalesce(Subquery(total), 0))
        .order_by("-is_open", "severity", "-started_at")
    )


def timeline_of(incident: Incident, *, after: int = 0) -> QuerySet[TimelineEvent]:
    """The events after place ``after``, in their order: what a live page asks for next."""
    return TimelineEvent.objects.filter(incident=incident, n__gt=after).order_by("n")


def alerts_of(incident: Incident) -> QuerySet[IncidentAlert]:
    """The incident's alerts with the reasons why they are in it; those that still fire first."""
    return (
        IncidentAlert.objects.filter(incident=incident)
        .select_related("alert__source", "alert__service", "alert__environment")
        .order_by("-alert__is_open", "joined_at")
    )


def incidents_of(alert: Alert) -> QuerySet[IncidentAlert]:
    """The incidents that an alert belongs to, with the reasons."""
    return IncidentAlert.objects.filter(alert=alert).select_related("incident__project").order_by("joined_at")


def durations_of(incident: Incident) -> Durations:
    """How long the incident took to be detected, acknowledged, contained, mitigated, resolved."""
    return durations(
        Timestamps(
            started=incident.started_at,
            detected=incident.detected_at,
            acknowledged=incident.acknowledged_at,
            contained=incident.contained_at,
            mitigated=incident.mitigated_at,
            resolved=incident.resolved_at,
        )
    )


def postmortem_of(incident: Incident) -> Postmortem | None:
    """The incident's postmortem with its sections; None as long as there is none."""
    return (
        Postmortem.objects.filter(incident=incident)
        .select_related("incident__project")
        .prefetch_related("sections__edited_by")
        .first()
    )
