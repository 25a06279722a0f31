"""The editor: a draft's text, what is wrong with it in place, and keeping it without losing anybody's work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.loader import render_to_string

from handrail.accounts.models import Project
from handrail.accounts.permissions import Permission, allows, authorize, visible_projects
from handrail.shared.actors import Actor
from handrail.shared.errors import Conflict, Forbidden, HandrailError, Invalid, NotFound
from handrail.web.completions import completions
from handrail.web.pages import after, page, shown
from handrail.web.source_diff import source_diff
from runbooks import queries, versions
from runbooks.language.problems import Problem
from runbooks.models import Runbook

STARTER = """\
apiVersion: handrail/v1
kind: Runbook
metadata:
  id: my-runbook
  title: What it does, in a few words
  owner: team:your-team
inputs:
  service: {type: string, required: true, description: The service it is about.}
steps:
  - id: look
    title: See that the runbook works
    uses: noop
"""


@page("GET", "POST")
def new_runbook(request: HttpRequest, actor: Actor) -> HttpResponse:
    """A new runbook: GET is the editor with a first text, POST keeps it as a draft (or only checks it)."""
    projects = list(visible_projects(actor, Permission.AUTHOR).order_by("slug"))
    if not projects:
        raise Forbidden("Runbooks are written by authors: ask an admin of your project for the author role.")
    source = _posted_source(request) or STARTER
    chosen = request.POST.get("project", "") or request.GET.get("project", "")
    context = {**_editor(source), "projects": projects, "chosen": chosen, "revision": 0}
    if request.method != "POST" or request.POST.get("do") == "check":
        return shown(request, "web/runbooks/editor.html", {**context, "checked": request.method == "POST"})
    try:
        made = versions.create(_project(projects, chosen), source, actor=actor)
    except HandrailError as error:
        return shown(request, "web/runbooks/editor.html", context, refusal=error)
    messages.success(request, "The draft is kept. It runs when it is published.")
    address = f"/runbooks/{made.project.slug}/{made.slug}/"
    return HttpResponseRedirect(f"{address}{_next_page(request)}", status=303)


@page("GET", "POST")
def edit_runbook(request: HttpRequest, actor: Actor, project: str, slug: str) -> HttpResponse:
    """The draft: GET is the editor, POST saves, checks, or saves and goes on to publishing."""
    found = queries.runbook_visible_to(actor, project, slug)
    authorize(actor, Permission.AUTHOR, found)
    if request.method != "POST":
        return shown(request, "web/runbooks/editor.html", _draft_context(actor, found))
    source = _posted_source(request)
    revision = _revision(request)
    if request.POST.get("do") == "check":
        context = {**_draft_context(actor, found, source, revision), "checked": True}
        return shown(request, "web/runbooks/editor.html", context)
    try:
        versions.save_draft(found, source, actor=actor, expected_revision=revision)
    except Conflict as error:
        return shown(request, "web/runbooks/editor.html", _conflict(actor, found, source), refusal=error)
    except HandrailError as error:
        context = _draft_context(actor, found, source, revision)
        return shown(request, "web/runbooks/editor.html", context, refusal=error)
    messages.success(request, "Saved.")
    return HttpResponseRedirect(f"/runbooks/{project}/{slug}/{_next_page(request)}", status=303)


@page("POST")
def validate(request: HttpRequest, actor: Actor, project: str = "", slug: str = "") -> JsonResponse:
    """What is wrong with a text, for the editor: ``{"problems": [...], "graph_html": "..."}``."""
    where: Project | None = None
    if project:
        found = queries.runbook_visible_to(actor, project, slug)
        authorize(actor, Permission.AUTHOR, found)
        where = found.project
    elif not visible_projects(actor, Permission.AUTHOR).exists():
        raise Forbidden("Runbooks are written by authors.")
    source = _posted_source(request)
    if len(source.encode("utf-8", "surrogatepass")) > versions.LARGEST_SOURCE:
        raise Invalid(f"A runbook may have {versions.LARGEST_SOURCE // 1024} KiB.")
    parsed = versions.check(source, where)
    graph_html = ""
    if parsed.runbook is not None:
        graph_html = render_to_string(
            "web/runbooks/live_graph.html", {"graph": queries.definition_graph(parsed.runbook)}
        )
    return JsonResponse({"problems": problems_in_words(parsed.problems), "graph_html": graph_html})


@page("POST")
def discard(request: HttpRequest, actor: Actor, project: str, slug: str) -> HttpResponse:
    """Throw the draft away."""
    found = queries.runbook_visible_to(actor, project, slug)
    try:
        versions.discard_draft(found, actor=actor)
    except Conflict as error:
        messages.error(request, error.message)
        return after(request, f"/runbooks/{project}/{slug}/edit/")
    messages.success(request, "The draft is gone; the live version stays as it was.")
    return after(request, f"/runbooks/{project}/{slug}/")


def _posted_source(request: HttpRequest) -> str:
    # Browsers send a textarea with CRLF; the text itself never has them.
    return request.POST.get("source", "").replace("\r\n", "\n")


def _revision(request: HttpRequest) -> int:
    given = request.POST.get("revision", "")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 10 else 0


def _next_page(request: HttpRequest) -> str:
    return "publish/" if request.POST.get("do") == "publish" else "edit/"


def _project(projects: list[Project], slug: str) -> Project:
    if len(projects) == 1 and not slug:
        return projects[0]
    for project in projects:
        if project.slug == slug:
            return project
    raise NotFound("Choose one of your projects.")


def _editor(source: str, project: Project | None = None) -> dict[str, Any]:
    parsed = versions.check(source, project)
    return {
        "source": source,
        "problems": problems_in_words(parsed.problems),
        "graph": queries.definition_graph(parsed.runbook) if parsed.runbook is not None else None,
        "completions": completions(),
    }


def problems_in_words(problems: Sequence[Problem]) -> list[dict[str, Any]]:
    """Problems for ``web/runbooks/problems.html`` and the editor, with what was probably meant as a question."""
    return [
        {
            "line": problem.line,
            "column": problem.column,
            "end_line": problem.end_line,
            "end_column": problem.end_column,
            "path": problem.path,
            "message": problem.message,
            "suggestion": f"Did you mean {problem.suggestion!r}?" if problem.suggestion else "",
            "severity": problem.severity,
        }
        for problem in problems
    ]


def _draft_context(
    actor: Actor, found: Runbook, source: str | None = None, revision: int | None = None
) -> dict[str, Any]:
    """The editor of a runbook: with the given text, else the draft's, else the live version's."""
    draft = versions.draft_of(found)
    kept = draft.source if draft is not None else found.live.source if found.live is not None else STARTER
    return {
        **_editor(kept if source is None else source, found.project),
        "runbook": found,
        "draft": draft,
        "revision": revision if revision is not None else versions.revision_of(found),
        "lines": source_diff(found.live.source, kept) if found.live is not None else (),
        "may_publish": allows(actor, Permission.PUBLISH, found),
    }


def _conflict(actor: Actor, found: Runbook, source: str) -> dict[str, Any]:
    """The author's own text in the editor, and the other one's beside it: saving again then is a decision."""
    context = _draft_context(actor, found, source)
    draft = context["draft"]
    theirs = draft.source if draft is not None else ""
    return {**context, "theirs": theirs, "between": source_diff(theirs, source)}
