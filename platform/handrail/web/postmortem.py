"""A postmortem to read and to edit in place: what was generated with its evidence, what people wrote instead."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from handrail.accounts.permissions import Permission, allows
from handrail.incidents import postmortems
from handrail.incidents.models import Incident, Postmortem, PostmortemSection
from handrail.incidents.postmortems.compose import PROSE
from handrail.incidents.queries import durations_of, postmortem_of
from handrail.shared.actors import Actor
from handrail.shared.errors import HandrailError, NotFound
from handrail.web.incident import incident_visible_to
from handrail.web.pages import page, shown
from handrail.web.source_diff import DiffLine

MOST_MARKS = 5
"""Links to events behind one sentence; more are counted."""

STEPS: Mapping[str, tuple[tuple[str, str], ...]] = {
    Postmortem.Status.DRAFT: (("in_review", "Ask for review"),),
    Postmortem.Status.IN_REVIEW: (("published", "Publish"), ("draft", "Back to draft")),
    Postmortem.Status.PUBLISHED: (),
    Postmortem.Status.AMENDED: (("published", "Publish again"),),
}
"""Status -> the next ones and their buttons."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """One generated sentence: ``html`` is sanitised, ``marks`` are (number, address) of the events behind it."""

    html: SafeString
    marks: Sequence[tuple[str, str]]
    more: int
    asks: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """One section as the page shows it. ``tried`` is the reader's own text when it could not be saved."""

    row: PostmortemSection
    prose: bool
    sentences: Sequence[Sentence]
    edited: SafeString
    text: str
    revision: int
    diff: Sequence[DiffLine] = field(default_factory=tuple)
    tried: bool = False
    theirs: str = ""

    @property
    def rows(self) -> int:
        """The height of the editor, in lines."""
        return min(24, max(6, self.text.count("\n") + len(self.text) // 90 + 2))


@page("GET")
def postmortem(request: HttpRequest, actor: Actor, incident_id: uuid.UUID) -> HttpResponse:
    """The page; before there is a draft, when there will be one."""
    found = incident_visible_to(actor, incident_id)
    return shown(request, "web/postmortems/postmortem.html", postmortem_context(actor, found))


@page("GET")
def postmortem_markdown(request: HttpRequest, actor: Actor, incident_id: uuid.UUID) -> HttpResponse:
    """The whole document as a Markdown file."""
    found = incident_visible_to(actor, incident_id)
    document = postmortem_of_or_404(found)
    response = HttpResponse(postmortems.markdown(document), content_type="text/markdown; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{found}-postmortem.md"'
    return response


@page("GET")
def postmortem_revisions(
    request: HttpRequest, actor: Actor, incident_id: uuid.UUID, key: str
) -> HttpResponse:
    """Every text that a section ever had, the newest first."""
    found = incident_visible_to(actor, incident_id)
    row = section_of(postmortem_of_or_404(found), key)
    context = {
        "incident": found,
        "section": row,
        "revisions": [
            {"row": revision, "html": as_html(revision.text)}
            for revision in row.revisions.order_by("-n")[:100]
        ],
    }
    return shown(request, "web/postmortems/revisions.html", context)


def postmortem_of_or_404(found: Incident) -> Postmortem:
    """The incident's postmortem, or NotFound that says when there will be one."""
    document = postmortem_of(found)
    if document is None:
        raise NotFound(f"{found} has no postmortem yet: it is drafted when the incident is resolved.")
    return document


def section_of(document: Postmortem, key: str) -> PostmortemSection:
    """The section of that key, or NotFound."""
    row = document.sections.filter(key=key).first()
    if row is None:
        raise NotFound("The postmortem has no such section.")
    return row


def postmortem_context(
    actor: Actor,
    found: Incident,
    *,
    tried: tuple[str, str] | None = None,
    refusal: HandrailError | None = None,
) -> dict[str, Any]:
    """What the page shows; ``tried`` is the (section, text) that was refused: nobody's words are lost."""
    document = postmortem_of(found)
    places = _places(document) if document is not None else {}
    sections = [_shown(row, places, tried, refusal) for row in (document.sections.all() if document else ())]
    return {
        "incident": found,
        "here": f"/incidents/{found.pk}/postmortem/",
        "postmortem": document,
        "sections": sections,
        "steps": STEPS.get(document.status, ()) if document is not None else (),
        "may_respond": allows(actor, Permission.RESPOND, found),
        "durations": durations_of(found),
        "open_questions": sum(
            sentence.asks for each in sections if not each.edited for sentence in each.sentences
        ),
        "newer": [each for each in sections if each.diff],
        "stale": document is not None
        and document.status not in postmortems.FINISHED
        and document.events_n < found.timeline_n,
        "tried": tried,
    }


def as_html(text: str) -> SafeString:
    """People's Markdown as HTML; sanitised where it is made."""
    return SafeString(postmortems.html(text))


def _places(document: Postmortem) -> dict[str, str]:
    """Event id -> its place on the incident's page, as a path of this site."""
    base: str = settings.BASE_URL
    return {key: url.removeprefix(base) for key, url in postmortems.evidence(document).items()}


def _shown(
    row: PostmortemSection,
    places: Mapping[str, str],
    tried: tuple[str, str] | None,
    refusal: HandrailError | None,
) -> Shown:
    mine = tried is not None and tried[0] == row.key
    details = refusal.details if mine and refusal is not None else {}
    revision = details.get("revision")
    return Shown(
        row=row,
        prose=row.key in PROSE,
        sentences=[_sentence(line, places) for line in row.lines],
        edited=as_html(row.edited) if row.edited is not None else SafeString(""),
        text=tried[1] if tried is not None and mine else postmortems.starting_text(row),
        revision=revision if isinstance(revision, int) else row.revision,
        diff=_diff(postmortems.newer_facts(row)),
        tried=mine,
        theirs=str(details.get("theirs", "")),
    )


def _sentence(line: Mapping[str, Any], places: Mapping[str, str]) -> Sentence:
    found = [places[event] for event in line["events"] if event in places]
    rendered = as_html(str(line["text"])).strip()
    if rendered.startswith("<p>") and rendered.count("<p>") == 1 and rendered.endswith("</p>"):
        rendered = rendered[3:-4]
    marks = [(url.rsplit("-", 1)[-1], url) for url in found[:MOST_MARKS]]
    return Sentence(SafeString(rendered), marks, max(0, len(found) - MOST_MARKS), bool(line.get("prompt")))


def _diff(text: str) -> Sequence[DiffLine]:
    css = {"+": "diff-add", "-": "diff-del", "@": "diff-at"}
    return [DiffLine(line, css.get(line[:1], "")) for line in text.splitlines()[2:]]
