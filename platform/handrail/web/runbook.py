"""One runbook: what it does, how it has done, whether it could run now, and the form that starts it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest, HttpResponse

from handrail.accounts.permissions import Permission, allows
from handrail.shared.actors import Actor
from handrail.shared.errors import HandrailError, Invalid, NotFound
from handrail.web.pages import page, shown
from handrail.web.typed_inputs import PREFIX, TypedForm, empty_form, refused_form
from runbooks import queries, versions
from runbooks.language.definition import ApprovalStep, InputSpec
from runbooks.language.definition import Runbook as Definition
from runbooks.language.inputs import form_texts
from runbooks.models import Runbook, RunbookVersion
from runbooks.queries.steps import titled


@page("GET")
def runbook(request: HttpRequest, actor: Actor, project: str, slug: str) -> HttpResponse:
    """The page; ``?input.NAME=`` fills in the start form, so that a start can be linked to.

    ``?again=RUN`` fills it in with what that run was given. A link never fills in a secret.
    """
    found = queries.runbook_visible_to(actor, project, slug)
    return shown(request, "web/runbooks/runbook.html", runbook_context(request, actor, found))


def runbook_context(
    request: HttpRequest, actor: Actor, found: Runbook, *, refusal: HandrailError | None = None
) -> dict[str, Any]:
    """What the page shows; ``refusal`` is what the start form met, told at its place."""
    definition = _definition(found)
    published = RunbookVersion.objects.filter(runbook=found).exclude(number=None)
    checks = queries.readiness_of(found)
    figures = queries.runbook_figures(found)
    return {
        "runbook": found,
        # Whole addresses: after a refused start the browser shows the form's own.
        "here": f"/runbooks/{found.project.slug}/{found.slug}/",
        "definition": definition,
        "graph": queries.definition_graph(definition) if definition is not None else None,
        "versions": published.select_related("author", "publisher").order_by("-number")[:20],
        "draft": versions.draft_of(found),
        "figures": figures,
        "words": queries.states_in_words(figures.last_runs),
        "schedules": queries.schedules_of(found),
        "checks": checks,
        "ready": sum(check.ok for check in checks),
        "form": _form(request, actor, found, definition)
        if refusal is None
        else _refused(request, definition, refusal),
        "once": uuid.uuid4().hex,
        "start_at": request.POST.get("start_at", ""),
        "asks": _asks(definition),
        "may_start": allows(actor, Permission.RESPOND, found),
        "may_author": allows(actor, Permission.AUTHOR, found),
        "may_publish": allows(actor, Permission.PUBLISH, found),
    }


def _refused(request: HttpRequest, definition: Definition | None, refusal: HandrailError) -> TypedForm:
    return refused_form(definition.inputs if definition is not None else (), request.POST, refusal)


def _form(request: HttpRequest, actor: Actor, found: Runbook, definition: Definition | None) -> TypedForm:
    specs = definition.inputs if definition is not None else ()
    secret = {spec.name for spec in specs if spec.secret}
    linked = {
        name.removeprefix(PREFIX): str(value)
        for name, value in request.GET.items()
        if name.startswith(PREFIX) and name.removeprefix(PREFIX) not in secret
    }
    return empty_form(specs, _of_run(actor, found, specs, request.GET.get("again", "")) | linked)


def _asks(definition: Definition | None) -> str:
    """The steps before which a run asks for an approval, by their titles."""
    if definition is None:
        return ""
    asking = (step for step in definition.walk() if isinstance(step, ApprovalStep))
    guarded = dict.fromkeys(step_id for step in asking for step_id in step.guards)
    return ", ".join(titled(definition.step(step_id)) for step_id in guarded)


def _of_run(actor: Actor, found: Runbook, specs: Sequence[InputSpec], run_id: str) -> dict[str, str]:
    """What a run of this runbook was given, for whoever may see it; nothing for what is no such run."""
    try:
        run = queries.run_visible_to(actor, uuid.UUID(run_id))
    except (ValueError, NotFound):
        return {}
    return form_texts(specs, run.inputs) if run.runbook_id == found.pk else {}


def _definition(found: Runbook) -> Definition | None:
    if found.live is None:
        draft = versions.draft_of(found)
        return versions.check(draft.source).runbook if draft is not None else None
    try:
        return versions.definition_of(found.live)
    except Invalid:
        return None
