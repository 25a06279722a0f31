"""The circuit breakers: which targets are let alone, why, since when, and until when; closed and kept open here."""

from __future__ import annotations

import uuid
from typing import Protocol

from django.contrib import messages
from django.http import HttpRequest, HttpResponse

from handrail.accounts.permissions import Permission, visible_projects
from handrail.shared.actors import Actor
from handrail.shared.errors import HandrailError, NotFound
from handrail.web.cursors import by_birth
from handrail.web.pages import after, page, shown
from runbooks import circuits
from runbooks.models import Circuit


class Verb(Protocol):
    """An action on a circuit."""

    def __call__(self, circuit_id: uuid.UUID, *, actor: Actor, reason: str) -> Circuit:
        """Do it."""


@page("GET")
def circuit_list(request: HttpRequest, actor: Actor) -> HttpResponse:
    """``?show=open`` (first): those that are not closed; ``all``."""
    return _listed(request, actor)


@page("POST")
def circuit_verb(request: HttpRequest, actor: Actor, circuit_id: uuid.UUID, verb: str) -> HttpResponse:
    """Close a circuit or keep it open. What is refused is told on the page itself, with its status."""
    found = circuits.circuit_visible_to(actor, circuit_id)
    known = VERBS.get(verb)
    if known is None:
        raise NotFound("A circuit has no such verb: use the buttons of its page.")
    act, said = known
    try:
        act(circuit_id, actor=actor, reason=request.POST.get("reason", ""))
    except HandrailError as error:
        return _listed(request, actor, refusal=error)
    messages.success(request, said.format(found.key))
    return after(request, "/circuits/")


def _listed(request: HttpRequest, actor: Actor, refusal: HandrailError | None = None) -> HttpResponse:
    show = "all" if request.GET.get("show") == "all" else "open"
    rows = circuits.circuits_visible_to(actor)
    not_closed = rows.exclude(state=Circuit.State.CLOSED)
    listed = by_birth(request, rows if show == "all" else not_closed, here="/circuits/")
    waiting = circuits.held_by(list(listed.rows))
    operated = set(visible_projects(actor, Permission.OPERATE).values_list("pk", flat=True))
    context = {
        "entries": [
            {
                "circuit": row,
                "name": str(row.pk),
                "waiting": waiting[row.pk],
                "may": row.project_id in operated,
            }
            for row in listed.rows
        ],
        "show": show,
        "open_count": not_closed.count(),
        "previous_url": listed.newer_url,
        "next_url": listed.older_url,
    }
    return shown(request, "web/circuits/list.html", context, refusal=refusal)


VERBS: dict[str, tuple[Verb, str]] = {
    "close": (circuits.close_now, "The circuit of {} is closed: steps pass again."),
    "keep-open": (circuits.keep_open, "The circuit of {} stays open until somebody closes it."),
}
"""The last part of the address -> the action, and what to say afterwards."""
