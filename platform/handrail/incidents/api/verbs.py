"""Opening incidents and steering them: one address for each verb."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, Protocol

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from handrail.accounts.idempotency import answer_once
from handrail.accounts.permissions import visible_projects
from handrail.catalog.queries import environments_visible_to, services_visible_to
from handrail.incidents import actions
from handrail.incidents.api import reads
from handrail.incidents.api.shapes import (
    AutoResolveBody,
    EventShape,
    IncidentBody,
    IncidentShape,
    MergeBody,
    NoteBody,
    ReasonBody,
    SeverityBody,
)
from handrail.incidents.models import Incident
from handrail.incidents.queries import incidents_visible_to
from handrail.shared.actors import Actor
from handrail.shared.rest.fields import Body
from handrail.shared.rest.schema import IDEMPOTENCY_KEY
from handrail.shared.rest.views import Endpoint, one_of


class Incidents(reads.Incidents):
    """Incidents: the list, and a new one."""

    @extend_schema(
        operation_id="open_incident",
        parameters=[IDEMPOTENCY_KEY],
        request=IncidentBody,
        responses={201: IncidentShape},
    )
    def post(self, request: Request) -> Response:
        """Open an incident. Needs `respond`."""
        given = self.body(IncidentBody)
        return answer_once(request, self.actor, lambda: self._open(given))

    def _open(self, given: dict[str, Any]) -> Response:
        project = one_of(visible_projects(self.actor), "project", slug=given["project"])
        service, environment = given.get("service"), given.get("environment")
        services = services_visible_to(self.actor).filter(project=project)
        environments = environments_visible_to(self.actor).filter(project=project)
        made = actions.open_incident(
            project,
            title=given["title"],
            severity=given["severity"],
            service=one_of(services, "service", slug=service) if service else None,
            environment=one_of(environments, "environment", slug=environment) if environment else None,
            actor=self.actor,
        )
        return Response(IncidentShape(reads.incident_of(self.actor, made.pk)).data, status=201)


class Act(Protocol):
    """What a verb does."""

    def __call__(self, incident: Incident, given: dict[str, Any], actor: Actor) -> object:
        """Act on the incident with what the body gave."""


def verb(name: str, body: type[Body], words: str, act: Act) -> Callable[..., Any]:
    """The view of ``POST /incidents/{id}/<name>/``, which answers with the incident as it is now."""

    class Verb(Endpoint):
        @extend_schema(
            operation_id=f"{name.replace('-', '_')}_incident",
            description=f"{words} Needs `respond`.",
            request=body,
            responses=IncidentShape,
        )
        def post(self, request: Request, incident_id: uuid.UUID) -> Response:
            incident = reads.incident_of(self.actor, incident_id)
            act(incident, self.body(body), self.actor)
            return Response(IncidentShape(reads.incident_of(self.actor, incident_id)).data)

    return Verb.as_view()


def _merge(incident: Incident, given: dict[str, Any], actor: Actor) -> object:
    into = one_of(incidents_visible_to(actor), "incident", field="into", pk=given["into"])
    return actions.merge(incident, into=into, actor=actor, reason=given["reason"])


VERBS: dict[str, Callable[..., Any]] = {
    "acknowledge": verb(
        "acknowledge", Body, "Say that you look at it.",
        lambda incident, given, actor: actions.acknowledge(incident, actor=actor, **given),
    ),
    "investigate": verb(
        "investigate", ReasonBody, "Look for the cause (again).",
        lambda incident, given, actor: actions.investigate(incident, actor=actor, **given),
    ),
    "identify": verb(
        "identify", ReasonBody, "Say that the cause is known.",
        lambda incident, given, actor: actions.identify(incident, actor=actor, **given),
    ),
    "mitigate": verb(
        "mitigate", ReasonBody, "Say that customers are well again.",
        lambda incident, given, actor: actions.mitigate(incident, actor=actor, **given),
    ),
    "resolve": verb(
        "resolve", ReasonBody, "Say that it is over; a postmortem's draft follows.",
        lambda incident, given, actor: actions.resolve(incident, actor=actor, **given),
    ),
    "close": verb(
        "close", ReasonBody, "Put a resolved incident to rest.",
        lambda incident, given, actor: actions.close(incident, actor=actor, **given),
    ),
    "cancel": verb(
        "cancel", ReasonBody, "Say that it never was an incident; needs a reason.",
        lambda incident, given, actor: actions.cancel(incident, actor=actor, **given),
    ),
    "reopen": verb(
        "reopen", ReasonBody, "Take it up again.",
        lambda incident, given, actor: actions.reopen(incident, actor=actor, **given),
    ),
    "take-command": verb(
        "take-command", Body, "Become its commander.",
        lambda incident, given, actor: actions.take_command(incident, actor=actor, **given),
    ),
    "merge": verb("merge", MergeBody, "Merge it into another open incident of its project.", _merge),
    "severity": verb(
        "set-severity-of", SeverityBody, "Correct how bad it is.",
        lambda incident, given, actor: actions.set_severity(
            incident, given["severity"], actor=actor, reason=given["reason"]
        ),
    ),
    "auto-resolve": verb(
        "set-auto-resolve-of", AutoResolveBody, "Hold it open whatever its alerts do, or let them resolve it.",
        lambda incident, given, actor: actions.set_auto_resolve(incident, given["mode"], actor=actor),
    ),
}  # fmt: skip
"""Last part of the address -> its view."""


class Notes(Endpoint):
    """People's words on the timeline."""

    @extend_schema(operation_id="add_note", request=NoteBody, responses={201: EventShape})
    def post(self, request: Request, incident_id: uuid.UUID) -> Response:
        """Put a note on the timeline. Needs `respond`."""
        incident = reads.incident_of(self.actor, incident_id)
        event = actions.add_note(incident, self.body(NoteBody)["text"], actor=self.actor)
        return Response(EventShape(event).data, status=201)
