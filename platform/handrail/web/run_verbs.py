"""What people do to runs: start one, say what became of a step. How they steer one: `run_steering`."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse

from handrail.shared.actors import Actor
from handrail.shared.errors import Conflict, HandrailError, Invalid, NotFound
from handrail.web.pages import after, page, shown
from handrail.web.run import run_context
from handrail.web.runbook import runbook_context
from handrail.web.typed_inputs import filled_form, refused_form
from runbooks import manual, queries, runs, versions
from runbooks.models import StepRun

_DONE = {
    "done": "Taken as done. The run goes on.",
    "retry": "It is tried again.",
    "fail": "Taken as failed.",
}


@page("POST")
def start(request: HttpRequest, actor: Actor, project: str, slug: str) -> HttpResponse:
    """Start a run of the live version with the form's inputs."""
    found = queries.runbook_visible_to(actor, project, slug)
    try:
        if found.live is None:
            raise Conflict("This runbook was never published: there is no version that could run.")
        form = filled_form(versions.definition_of(found.live).inputs, request.POST)
        if not form.is_valid:
            raise Invalid("Some inputs are missing or do not fit.")
        started = runs.start(
            found,
            inputs=dict(form.values),
            actor=actor,
            dedupe_key=_once(request),
            start_at=_moment(_text(request, "start_at")),
        )
    except HandrailError as error:
        context = runbook_context(request, actor, found, refusal=error)
        return shown(request, "web/runbooks/runbook.html", context, refusal=error)
    if not started.created:
        messages.info(request, f"No second run was started: {started.reason}")
    return after(request, f"/runs/{started.run.pk}/")


@page("POST")
def decide_step(request: HttpRequest, actor: Actor, run_id: uuid.UUID, step_id: uuid.UUID) -> HttpResponse:
    """Say what became of a step whose outcome nobody knows."""
    found = queries.run_visible_to(actor, run_id)
    if not StepRun.objects.filter(run=found, pk=step_id).exists():
        raise NotFound("This run has no such step.")
    choice = request.POST.get("choice", "")
    try:
        runs.decide_step(
            step_id,
            actor=actor,
            choice=choice,
            reason=_text(request, "reason"),
            override=request.POST.get("override") == "yes",
        )
    except HandrailError as error:
        return _told(request, actor, run_id, error)
    messages.success(request, _DONE[choice])
    return after(request, f"/runs/{run_id}/")


@page("POST")
def answer_step(request: HttpRequest, actor: Actor, run_id: uuid.UUID, step_id: uuid.UUID) -> HttpResponse:
    """Say that a manual step is done, with the form's answers, or that it cannot be."""
    found = queries.run_visible_to(actor, run_id)
    row = StepRun.objects.select_related("run__version").filter(run=found, pk=step_id).first()
    if row is None:
        raise NotFound("This run has no such step.")
    step = manual.step_or_none(row)
    form = filled_form(step.inputs if step is not None else (), request.POST)
    choice = request.POST.get("choice", "")
    try:
        if choice == "done" and not form.is_valid:
            raise Invalid("Some answers are missing or do not fit.")
        manual.answer(
            step_id,
            actor=actor,
            choice=choice,
            reason=_text(request, "reason"),
            inputs=dict(form.values),
        )
    except HandrailError as error:
        asked = refused_form(step.inputs, request.POST, error) if step is not None else None
        return _told(request, actor, run_id, error, answered={"row": step_id, "form": asked})
    messages.success(request, "Confirmed. The run goes on." if choice == "done" else "Taken as not done.")
    return after(request, f"/runs/{run_id}/")


def _told(
    request: HttpRequest,
    actor: Actor,
    run_id: uuid.UUID,
    error: HandrailError,
    answered: dict[str, Any] | None = None,
) -> HttpResponse:
    """The run as it is now, with what was refused, and the form of a manual step as it was filled in."""
    found = queries.run_visible_to(actor, run_id)
    context = {**run_context(request, actor, found), "reason": _text(request, "reason")}
    for asked in context["manual"]:
        if answered is not None and asked["row"].pk == answered["row"]:
            asked["form"] = answered["form"]
    return shown(request, "web/runs/run.html", context, refusal=error)


def _text(request: HttpRequest, name: str) -> str:
    return request.POST.get(name, "").replace("\x00", "")


def _moment(text: str) -> datetime | None:
    """The time in UTC that a form's field gives; None for none. Raises Invalid."""
    if not text.strip():
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise Invalid("The time to start at is not a date with a time, such as 2030-01-31T09:00.") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _once(request: HttpRequest) -> str:
    """A key of the form as it was rendered: sent twice, it starts one run."""
    given = request.POST.get("once", "")
    return f"form:{given}" if given.isalnum() and len(given) == 32 else ""
