"""Reading incidents: lists, one, its timeline, its postmortem."""

from __future__ import annotations

import uuid

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from handrail.incidents.api.shapes import (
    EventShape,
    IncidentFilters,
    IncidentShape,
    TimelineFilters,
)
from handrail.incidents.models import Incident
from handrail.incidents.queries import incidents_visible_to, timeline_of
from handrail.shared.actors import Actor
from handrail.shared.errors import NotFound
from handrail.shared.rest.schema import PAGING
from handrail.shared.rest.views import Endpoint

_COLUMNS = {
    "open": "is_open",
    "project": "project__slug",
    "severity": "severity",
    "status": "status",
    "service": "service__slug",
}


def incident_of(actor: Actor, incident_id: uuid.UUID) -> Incident:
    """The incident, or NotFound for one that the actor may not see."""
    incident = incidents_visible_to(actor).filter(pk=incident_id).first()
    if incident is None:
        raise NotFound("There is no such incident, or you may not see it.")
    return incident


class Incidents(Endpoint):
    """Incidents."""

    @extend_schema(
        operation_id="list_incidents",
        parameters=[IncidentFilters, *PAGING],
        responses=IncidentShape(many=True),
    )
    def get(self, request: Request) -> Response:
        """The incidents that you may see, newest first."""
        filters = self.filters(IncidentFilters)
        where = {_COLUMNS[name]: value for name, value in filters.items()}
        return self.page(incidents_visible_to(self.actor).filter(**where), IncidentShape)


class OneIncident(Endpoint):
    """One incident."""

    @extend_schema(operation_id="get_incident", responses=IncidentShape)
    def get(self, request: Request, incident_id: uuid.UUID) -> Response:
        """One incident."""
        return Response(IncidentShape(incident_of(self.actor, incident_id)).data)


class Timeline(Endpoint):
    """What happened in an incident."""

    @extend_schema(
        operation_id="list_timeline", parameters=[TimelineFilters, *PAGING], responses=EventShape(many=True)
    )
    def get(self, request: Request, incident_id: uuid.UUID) -> Response:
        """The events of an incident in their order; `after` goes on where one has read to."""
        after = self.filters(TimelineFilters).get("after", 0)
        incident = incident_of(self.actor, incident_id)
        return self.page(timeline_of(incident, after=after), EventShape, by="n")
