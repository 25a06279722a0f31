"""What nobody works on any more: incidents that are told to the end, and the runs and alerts that belong to them."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Exists, OuterRef, Q, QuerySet

from handrail.alerts.models import Alert, Delivery
from handrail.incidents.models import Incident, IncidentAlert, Postmortem
from handrail.letters.models import DeadLetter
from runbooks.models import Run

MERGED_DEEP = 3
"""So far it is followed into what an incident was merged; what was merged more often is kept."""

_Status = Incident.Status


def _told(prefix: str = "", deep: int = MERGED_DEEP) -> Q:
    """An incident is closed, or cancelled, or merged into one of which this is true; and its postmortem is complete.

    Complete: published, and not amended since. An incident without one needs none, unless a draft is still due.
    """

    def where(**conditions: object) -> Q:
        return Q(**{f"{prefix}{name}": value for name, value in conditions.items()})

    ended = where(status__in=[_Status.CLOSED, _Status.CANCELLED])
    if deep:
        ended |= where(status=_Status.MERGED) & _told(f"{prefix}merged_into__", deep - 1)
    complete = where(postmortem__isnull=True) | where(postmortem__status=Postmortem.Status.PUBLISHED)
    return ended & complete & where(draft_due_at__isnull=True)


def _untold() -> QuerySet[Incident]:
    """The incident of a row with an ``incident_id``, unless it is told to the end."""
    told = Incident.objects.filter(_told(), pk=OuterRef("pk"))
    return Incident.objects.filter(pk=OuterRef("incident_id")).exclude(pk__in=told)


def runs_over(before: datetime) -> QuerySet[Run]:
    """Runs that ended before then and of which nobody needs more than their history."""
    asking = Run.objects.filter(is_open=True, pk=OuterRef("parent_step__run_id"))
    letters = DeadLetter.objects.filter(state=DeadLetter.State.OPEN, run_id=OuterRef("pk"))
    return Run.objects.filter(
        ~Exists(_untold()), ~Exists(asking), ~Exists(letters), is_open=False, ended_at__lt=before
    )


def deliveries_over(before: datetime) -> QuerySet[Delivery]:
    """Deliveries that were last seen before then, and are no evidence for an alert or incident that goes on."""
    running = Run.objects.filter(is_open=True, alert=OuterRef("pk"))
    joined = IncidentAlert.objects.filter(Exists(_untold()), alert=OuterRef("pk"))
    going_on = Alert.objects.filter(Q(is_open=True) | Exists(joined) | Exists(running))
    letters = DeadLetter.objects.filter(
        state=DeadLetter.State.OPEN, kind=DeadLetter.Kind.DELIVERY, ref=OuterRef("pk")
    )
    return Delivery.objects.filter(
        ~Exists(going_on.filter(first_delivery=OuterRef("pk"))),
        ~Exists(going_on.filter(last_delivery=OuterRef("pk"))),
        ~Exists(letters),
        received_at__lt=before,
        last_seen_at__lt=before,
        body_removed_at__isnull=True,
    ).exclude(verdict=Delivery.Verdict.RECEIVED)
