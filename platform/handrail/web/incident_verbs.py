"""The buttons of an incident's page: each POST calls one action and comes back."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import TypeAlias

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict

from handrail.incidents import actions
from handrail.incidents.models import Incident
from handrail.incidents.queries import incidents_visible_to
from handrail.shared.actors import Actor
from handrail.shared.errors import HandrailError, Invalid, NotFound
from handrail.web.incident import incident_context, incident_visible_to
from handrail.web.pages import after, page, shown

Act: TypeAlias = Callable[[Incident, QueryDict, Actor], str]
"""Does the verb with the form's fields and returns what to say afterwards."""


@page("POST")
def incident_verb(request: HttpRequest, actor: Actor, incident_id: uuid.UUID, verb: str) -> HttpResponse:
    """Do ``verb`` (of :data:`VERBS`). What is refused is told on the page itself, with its status."""
    found = incident_visible_to(actor, incident_id)
    act = VERBS.get(verb)
    if act is None:
        raise NotFound("An incident has no such verb: use the buttons of its page.")
    try:
        said = act(found, request.POST, actor)
    except HandrailError as error:
        fresh = incident_visible_to(actor, incident_id)
        context = {
            **incident_context(request, actor, fresh, refusal=error),
            "tried": verb,
            "given": request.POST,
        }
        return shown(request, "web/incidents/incident.html", context, refusal=error)
    messages.success(request, said)
    return after(request, f"/incidents/{found.pk}/")


def _acknowledge(found: Incident, given: QueryDict, actor: Actor) -> str:
    return f"You have acknowledged {actions.acknowledge(found, actor=actor)}."


def _mover(action: Callable[..., Incident], said: str) -> Act:
    def move(found: Incident, given: QueryDict, actor: Actor) -> str:
        return said.format(action(found, actor=actor, reason=given.get("reason", "")))

    return move


def _merge(found: Incident, given: QueryDict, actor: Actor) -> str:
    into = _target(incidents_visible_to(actor).filter(project=found.project_id), given.get("into", ""))
    actions.merge(found, into=into, actor=actor, reason=given.get("reason", ""))
    return f"{found} is merged into {into}."


def _target(incidents: QuerySet[Incident], text: str) -> Incident:
    """The incident of the same project that is called ``INC-7`` or ``7``."""
    number = text.strip().upper().removeprefix("INC-")
    if not (number.isascii() and number.isdigit() and len(number) < 9):
        raise Invalid("Choose the incident to merge into: its number, like INC-7.")
    target = incidents.filter(number=int(number)).first()
    if target is None:
        raise NotFound(f"There is no INC-{int(number)} in this project.")
    return target


def _take_command(found: Incident, given: QueryDict, actor: Actor) -> str:
    return f"You command {actions.take_command(found, actor=actor)}."


def _note(found: Incident, given: QueryDict, actor: Actor) -> str:
    actions.add_note(found, given.get("text", ""), actor=actor)
    return "Your note is on the timeline."


def _severity(found: Incident, given: QueryDict, actor: Actor) -> str:
    row = actions.set_severity(
        found, given.get("severity", ""), actor=actor, reason=given.get("reason", "").strip()[:500]
    )
    return f"{row} is {row.severity}."


def _auto_resolve(found: Incident, given: QueryDict, actor: Actor) -> str:
    row = actions.set_auto_resolve(found, given.get("mode", ""), actor=actor)
    held = row.auto_resolve == Incident.AutoResolve.NEVER
    return f"{row} stays open until a person resolves it." if held else f"Its alerts may resolve {row} again."


VERBS: dict[str, Act] = {
    "acknowledge": _acknowledge,
    "investigate": _mover(actions.investigate, "{} is under investigation."),
    "identify": _mover(actions.identify, "The cause of {} is found."),
    "mitigate": _mover(actions.mitigate, "{} is mitigated. It stays open until somebody resolves it."),
    "resolve": _mover(actions.resolve, "{} is resolved. Its postmortem draft is being written."),
    "close": _mover(actions.close, "{} is closed."),
    "cancel": _mover(actions.cancel, "{} is cancelled."),
    "reopen": _mover(actions.reopen, "{} is open again."),
    "merge": _merge,
    "take-command": _take_command,
    "note": _note,
    "severity": _severity,
    "auto-resolve": _auto_resolve,
}
"""The last part of the address -> what it does."""
