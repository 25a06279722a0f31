"""The runbooks that one may see, with how they have done lately."""

from __future__ import annotations

from django.db.models import Q
from django.http import HttpRequest, HttpResponse

from handrail.accounts.permissions import Permission, visible_projects
from handrail.shared.actors import Actor
from handrail.web.cursors import by_number
from handrail.web.pages import page, shown
from runbooks.models import RunbookVersion
from runbooks.queries import Figures, figures_of, runbooks_visible_to

PAGE_SIZE = 25


@page("GET")
def runbook_list(request: HttpRequest, actor: Actor) -> HttpResponse:
    """All runbooks by title; ``?q=`` words of title, slug or owner; ``?project=``; ``?show=live|draft``."""
    words, project, show = (request.GET.get(name, "").strip()[:100] for name in ("q", "project", "show"))
    runbooks = runbooks_visible_to(actor)
    any_at_all = runbooks.exists()
    for word in words.replace("\x00", "").split():
        runbooks = runbooks.filter(
            Q(title__icontains=word) | Q(slug__icontains=word) | Q(owner__icontains=word)
        )
    if project:
        runbooks = runbooks.filter(project__slug=project.replace("\x00", ""))
    if show == "live":
        runbooks = runbooks.exclude(live=None)
    elif show == "draft":
        runbooks = runbooks.filter(versions__state__in=_UNPUBLISHED)
    total = runbooks.count()
    offset, newer, older = by_number(request, total, PAGE_SIZE)
    listed = list(runbooks[offset : offset + PAGE_SIZE])
    figures = figures_of(listed)
    drafts = set(
        RunbookVersion.objects.filter(runbook__in=listed, state__in=_UNPUBLISHED).values_list(
            "runbook_id", flat=True
        )
    )
    entries = [
        {
            "runbook": runbook,
            "figures": figures.get(runbook.pk, Figures()),
            "has_draft": runbook.pk in drafts,
        }
        for runbook in listed
    ]
    context = {
        "entries": entries,
        "total": total,
        "any_at_all": any_at_all,
        "words": words,
        "project": project,
        "show": show,
        "projects": visible_projects(actor),
        "may_author": visible_projects(actor, Permission.AUTHOR).exists(),
        "previous_url": newer,
        "next_url": older,
    }
    return shown(request, "web/runbooks/list.html", context)


_UNPUBLISHED = (RunbookVersion.State.DRAFT, RunbookVersion.State.IN_REVIEW)
