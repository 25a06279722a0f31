"""Jump anywhere: pages, incidents, runbooks and runs by a few letters of what they are called."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from operator import and_

from django.db.models import Q, QuerySet, TextField, Value
from django.db.models.functions import Cast, Replace
from django.http import HttpRequest, HttpResponse

from handrail.incidents.models import Incident
from handrail.incidents.queries import incidents_visible_to
from handrail.shared.actors import Actor
from handrail.shared.ids import short
from handrail.web.incident_list import words_filter
from handrail.web.navigation import PLACES
from handrail.web.pages import page, shown
from runbooks.models import Run, Runbook
from runbooks.queries import runbooks_visible_to, runs_visible_to

LONGEST_WORDS = 100
MOST_OF_A_KIND = 6
_SHORT_ID = re.compile(r"[0-9a-f]{4,32}")
_MORE_PAGES = (
    ("Declare an incident", "/incidents/new/", "plus"),
    ("All runs", "/runs/", "history"),
    ("New runbook", "/runbooks/new/", "plus"),
    ("Account and tokens", "/account/", "settings"),
)


@dataclass(frozen=True, slots=True)
class Result:
    """Somewhere to go."""

    url: str
    title: str
    kind: str
    icon: str


@page("GET")
def jump(request: HttpRequest, actor: Actor) -> HttpResponse:
    """``?q=``: the palette's list for its own request, else a page with the same."""
    words = request.GET.get("q", "").replace("\x00", "").strip()[:LONGEST_WORDS]
    context = {"words": words, "results": list(found(actor, words))}
    template = "web/components/jump_results.html" if "HX-Request" in request.headers else "web/jump.html"
    return shown(request, template, context)


def found(actor: Actor, words: str) -> Iterator[Result]:
    """The best places for the words; without words the pages and what is going on now."""
    yield from _pages(words)
    incidents = incidents_visible_to(actor).filter(words_filter(words))
    if not words:
        incidents = incidents.filter(is_open=True)
    yield from map(_incident, incidents[:MOST_OF_A_KIND])
    yield from map(_runbook, _runbooks(actor, words)[:MOST_OF_A_KIND])
    yield from map(_run, _runs(actor, words)[:MOST_OF_A_KIND])


def _pages(words: str) -> Iterator[Result]:
    places = [*((place.word, place.path, place.icon) for place in PLACES), *_MORE_PAGES]
    for title, path, icon in places:
        if all(word in title.lower() for word in words.lower().split()):
            yield Result(path, title, "page", icon)


def _runbooks(actor: Actor, words: str) -> QuerySet[Runbook]:
    each = [Q(title__icontains=word) | Q(slug__icontains=word) for word in words.split()]
    return runbooks_visible_to(actor).filter(reduce(and_, each, Q()))


def _runs(actor: Actor, words: str) -> QuerySet[Run]:
    """Runs by the end of their id, as it is shown; without words those that are going on."""
    runs = runs_visible_to(actor)
    if not words:
        return runs.filter(is_open=True)
    wanted = words.lower().removeprefix("run").strip().replace("-", "")
    if not _SHORT_ID.fullmatch(wanted):
        return runs.none()
    # PostgreSQL writes an id with hyphens, SQLite keeps it without.
    digits = Replace(Cast("pk", TextField()), Value("-"), Value(""), output_field=TextField())
    return runs.alias(digits=digits).filter(digits__endswith=wanted)


def _incident(row: Incident) -> Result:
    return Result(f"/incidents/{row.pk}/", f"{row}: {row.title}", f"incident, {row.status}", "siren")


def _runbook(row: Runbook) -> Result:
    return Result(f"/runbooks/{row.project.slug}/{row.slug}/", row.title, "runbook", "book-open")


def _run(row: Run) -> Result:
    return Result(f"/runs/{row.pk}/", f"{row.runbook.title} ({short(row.pk)})", f"run, {row.state}", "play")
