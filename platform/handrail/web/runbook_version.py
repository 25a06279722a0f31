"""One published version: its text, what it changes against the live one, and making it live again."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse

from handrail.accounts.permissions import Permission, allows
from handrail.shared.actors import Actor
from handrail.shared.errors import HandrailError, Invalid, NotFound
from handrail.web.pages import after, page, shown
from handrail.web.source_diff import source_diff
from runbooks import queries, versions
from runbooks.language.definition import Runbook as Definition
from runbooks.language.diff import Change, compare
from runbooks.models import Runbook, RunbookVersion


@page("GET")
def runbook_version(request: HttpRequest, actor: Actor, project: str, slug: str, number: int) -> HttpResponse:
    """The page of version ``number``."""
    found = queries.runbook_visible_to(actor, project, slug)
    return shown(request, "web/runbooks/version.html", _context(actor, found, _published(found, number)))


@page("POST")
def roll_back(request: HttpRequest, actor: Actor, project: str, slug: str, number: int) -> HttpResponse:
    """Make version ``number`` live again, for a reason."""
    found = queries.runbook_visible_to(actor, project, slug)
    try:
        versions.roll_back(found, number=number, actor=actor, reason=request.POST.get("reason", ""))
    except HandrailError as error:
        context = _context(actor, found, _published(found, number))
        return shown(request, "web/runbooks/version.html", context, refusal=error)
    messages.success(request, f"v{number} is live again. Running runs stay on their version.")
    return after(request, f"/runbooks/{project}/{slug}/")


def changes_between(old: Definition | None, new: Definition | None) -> tuple[Change, ...]:
    """What differs step by step; nothing when one of the two cannot be read."""
    return compare(old, new) if old is not None and new is not None else ()


def definition_or_none(version: RunbookVersion | None) -> Definition | None:
    """The definition of a published version that this installation can read."""
    if version is None:
        return None
    try:
        return versions.definition_of(version)
    except Invalid:
        return None


def _published(found: Runbook, number: int) -> RunbookVersion:
    version = (
        RunbookVersion.objects.filter(runbook=found, number=number)
        .select_related("author", "publisher")
        .first()
    )
    if version is None:
        raise NotFound(f"There is no version {number} of this runbook.")
    return version


def _context(actor: Actor, found: Runbook, version: RunbookVersion) -> dict[str, Any]:
    live = found.live
    is_live = live is not None and live.pk == version.pk
    definition = definition_or_none(version)
    return {
        "runbook": found,
        "version": version,
        "is_live": is_live,
        "definition": definition,
        "graph": queries.definition_graph(definition) if definition is not None else None,
        "changes": () if is_live else changes_between(definition_or_none(live), definition),
        "lines": source_diff(live.source, version.source) if live is not None and not is_live else (),
        "may_publish": allows(actor, Permission.PUBLISH, found),
    }
