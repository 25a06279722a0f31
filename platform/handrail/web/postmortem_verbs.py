"""The forms of a postmortem's page: write a section, take an edit back, bring up to date, review, publish."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase

from handrail.incidents import postmortems
from handrail.incidents.models import Incident
from handrail.shared.actors import Actor
from handrail.shared.errors import Conflict, HandrailError
from handrail.web.incident import incident_visible_to
from handrail.web.pages import page, shown
from handrail.web.postmortem import (
    postmortem_context,
    postmortem_of_or_404,
    postmortem_revisions,
    section_of,
)

TEMPLATE = "web/postmortems/postmortem.html"


@page("POST")
def postmortem_generate(request: HttpRequest, actor: Actor, incident_id: uuid.UUID) -> HttpResponse:
    """Make the draft, or bring it up to date; edited sections keep their text."""
    found = incident_visible_to(actor, incident_id)
    try:
        postmortems.generate(found, actor)
    except HandrailError as error:
        return shown(request, TEMPLATE, postmortem_context(actor, found), refusal=error)
    messages.success(request, "The draft is up to date. Sections that people edited keep their text.")
    return _back(found)


@page("POST")
def postmortem_status(request: HttpRequest, actor: Actor, incident_id: uuid.UUID) -> HttpResponse:
    """Ask for review, publish, or go back to the draft."""
    found = incident_visible_to(actor, incident_id)
    document = postmortem_of_or_404(found)
    try:
        row = postmortems.set_status(document, request.POST.get("status", ""), actor=actor)
    except HandrailError as error:
        return shown(request, TEMPLATE, postmortem_context(actor, found), refusal=error)
    messages.success(request, f"The postmortem is {row.get_status_display().lower()}.")
    return _back(found)


@page("GET", "POST")
def postmortem_section(
    request: HttpRequest, actor: Actor, incident_id: uuid.UUID, key: str
) -> HttpResponseBase:
    """GET: the section's revisions. POST ``text`` and ``revision``: save it, if nobody was faster."""
    if request.method != "POST":
        return postmortem_revisions(request, incident_id=incident_id, key=key)
    found = incident_visible_to(actor, incident_id)
    row = section_of(postmortem_of_or_404(found), key)
    text = request.POST.get("text", "")
    try:
        postmortems.edit_section(row, text, actor, expected_revision=_revision(request))
    except HandrailError as error:
        context = postmortem_context(actor, found, tried=(key, text), refusal=error)
        return shown(request, TEMPLATE, context, refusal=error)
    messages.success(request, f"“{row.title}” is saved.")
    return _back(found, key)


@page("POST")
def postmortem_discard(request: HttpRequest, actor: Actor, incident_id: uuid.UUID, key: str) -> HttpResponse:
    """Take an edit back: the generated text returns with the newest facts, the edit stays a revision."""
    found = incident_visible_to(actor, incident_id)
    row = section_of(postmortem_of_or_404(found), key)
    try:
        postmortems.discard_edit(row, actor, expected_revision=_revision(request))
    except HandrailError as error:
        return shown(request, TEMPLATE, postmortem_context(actor, found), refusal=error)
    messages.success(request, f"“{row.title}” is generated again; the edit is kept among its revisions.")
    return _back(found, key)


def _revision(request: HttpRequest) -> int:
    """The revision that the person saw; Conflict when the form does not say."""
    given = request.POST.get("revision", "")
    if not (given.isascii() and given.isdigit() and len(given) < 10):
        raise Conflict("Read what you would replace first: open this page again.")
    return int(given)


def _back(found: Incident, key: str = "") -> HttpResponseRedirect:
    anchor = f"#section-{key}" if key else ""
    return HttpResponseRedirect(f"/incidents/{found.pk}/postmortem/{anchor}", status=303)
