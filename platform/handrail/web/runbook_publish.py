"""Publishing: what would change, step by step and line by line, before anybody presses the button."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse

from handrail.accounts.permissions import Permission, allows
from handrail.shared.actors import Actor
from handrail.shared.errors import Conflict, HandrailError
from handrail.web.pages import after, page, shown
from handrail.web.runbook_editor import problems_in_words
from handrail.web.runbook_version import changes_between, definition_or_none
from handrail.web.source_diff import source_diff
from runbooks import queries, versions
from runbooks.models import Run, Runbook


@page("GET", "POST")
def publish(request: HttpRequest, actor: Actor, project: str, slug: str) -> HttpResponse:
    """GET shows what would be published; POST publishes exactly the revision that was shown."""
    found = queries.runbook_visible_to(actor, project, slug)
    if request.method != "POST":
        return shown(request, "web/runbooks/publish.html", _context(actor, found))
    message = request.POST.get("message", "")
    given = request.POST.get("revision", "")
    try:
        if not (given.isascii() and given.isdigit() and len(given) < 10):
            raise Conflict("Read what you would publish first: open this page again.")
        version = versions.publish(found, actor=actor, message=message, expected_revision=int(given))
    except HandrailError as error:
        context = {**_context(actor, found), "message": message}
        return shown(request, "web/runbooks/publish.html", context, refusal=error)
    messages.success(request, f"{version} is live. Runs that are under way stay on their version.")
    return after(request, f"/runbooks/{project}/{slug}/")


def _context(actor: Actor, found: Runbook) -> dict[str, Any]:
    draft = versions.draft_of(found)
    parsed = versions.check(draft.source, found.project) if draft is not None else None
    live = found.live
    newest = found.versions.exclude(number=None).order_by("-number").values_list("number", flat=True).first()
    return {
        "runbook": found,
        "draft": draft,
        "number": (newest or 0) + 1,
        "problems": problems_in_words(parsed.errors) if parsed is not None else [],
        "same": live is not None and parsed is not None and parsed.digest == live.digest,
        "changes": changes_between(definition_or_none(live), parsed.runbook if parsed is not None else None),
        "lines": source_diff(live.source if live is not None else "", draft.source)
        if draft is not None
        else (),
        "open_runs": Run.objects.filter(runbook=found, is_open=True).count(),
        "may_publish": allows(actor, Permission.PUBLISH, found),
        "may_author": allows(actor, Permission.AUTHOR, found),
    }
