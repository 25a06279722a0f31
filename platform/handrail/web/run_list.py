"""The runs that one may see, newest first."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from handrail.accounts.permissions import visible_projects
from handrail.shared.actors import Actor
from handrail.web.cursors import by_birth
from handrail.web.pages import page, shown
from runbooks.models import Run
from runbooks.queries import runs_visible_to, states_in_words

STATES = {
    "open": "Going on",
    Run.State.SUCCEEDED.value: "Succeeded",
    Run.State.FAILED.value: "Failed",
    Run.State.CANCELLED.value: "Stopped",
}


@page("GET")
def run_list(request: HttpRequest, actor: Actor) -> HttpResponse:
    """All runs; ``?state=open|succeeded|failed|cancelled``, ``?runbook=project/slug``, ``?project=``."""
    state, runbook, project = (
        request.GET.get(name, "").replace("\x00", "")[:130] for name in ("state", "runbook", "project")
    )
    runs = runs_visible_to(actor)
    any_at_all = runs.exists()
    if state == "open":
        runs = runs.filter(is_open=True)
    elif state in STATES:
        runs = runs.filter(state=state)
    if project:
        runs = runs.filter(project__slug=project)
    of_project, _, slug = runbook.partition("/")
    if slug:
        runs = runs.filter(project__slug=of_project, runbook__slug=slug)
    listed = by_birth(request, runs)
    context = {
        "runs": listed.rows,
        "words": states_in_words(listed.rows),
        "previous_url": listed.newer_url,
        "next_url": listed.older_url,
        "any_at_all": any_at_all,
        "state": state,
        "states": STATES,
        "runbook": runbook,
        "project": project,
        "projects": visible_projects(actor),
    }
    return shown(request, "web/runs/list.html", context)
