"""What people do to a run as a whole: stop, pause, resume or restart it, skip a step, tick the rest off."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse

from handrail.accounts.permissions import Permission, authorize
from handrail.shared.actors import Actor
from handrail.shared.errors import Conflict, HandrailError, Invalid
from handrail.web.pages import after, page, shown
from handrail.web.run import run_context
from handrail.web.typed_inputs import TypedForm, empty_form, filled_form
from runbooks import checklist, queries, resuming, runs, skipping, stopping
from runbooks.engine import steering
from runbooks.language.definition import InputSpec
from runbooks.models import Run, RunbookVersion
from runbooks.versions import definition_of

_STOPPED = {
    steering.FREEZE: "Frozen: nothing new starts until the run is resumed or stopped.",
    steering.CANCEL: "The run is being stopped: nothing new starts, what always runs in the end still does.",
    "undo": "The run is being stopped, and what was done is undone, the last step first.",
    steering.HAND_OVER: "Handed over: the checklist has what is left.",
}
_DECIDED = {"done": "Taken as done.", "retry": "They are tried again.", "fail": "Taken as failed."}


@page("POST")
def stop(request: HttpRequest, actor: Actor, run_id: uuid.UUID) -> HttpResponse:
    """Stop the run in the chosen way, for a reason."""
    how = _text(request, "how") or steering.CANCEL
    return _done(
        request,
        actor,
        run_id,
        lambda: stopping.stop(run_id, actor=actor, how=how, reason=_text(request, "reason")),
        _STOPPED.get(how, ""),
    )


@page("POST")
def pause(request: HttpRequest, actor: Actor, run_id: uuid.UUID) -> HttpResponse:
    """Pause the run, for a reason."""
    told = "Paused: nothing new starts until somebody resumes the run."
    act = partial(resuming.pause, run_id, actor=actor, reason=_text(request, "reason"))
    return _done(request, actor, run_id, act, told)


@page("POST")
def resume(request: HttpRequest, actor: Actor, run_id: uuid.UUID) -> HttpResponse:
    """Let a paused run go on, or one that is over from where it ended."""
    act = partial(resuming.resume, run_id, actor=actor, reason=_text(request, "reason"))
    return _done(request, actor, run_id, act, "The run goes on.")


@page("POST")
def skip(request: HttpRequest, actor: Actor, run_id: uuid.UUID) -> HttpResponse:
    """Leave a step out, for a reason."""
    step = _text(request, "step")
    act = partial(skipping.skip_step, run_id, step, actor=actor, reason=_text(request, "reason"))
    return _done(request, actor, run_id, act, "Skipped.")


@page("POST")
def tick(request: HttpRequest, actor: Actor, run_id: uuid.UUID) -> HttpResponse:
    """Say of items of the checklist that they are done by hand, or left out."""
    choice = _text(request, "choice")
    items = [item.replace("\x00", "") for item in request.POST.getlist("items")]
    return _done(
        request,
        actor,
        run_id,
        lambda: checklist.tick(run_id, actor=actor, items=items, choice=choice, note=_text(request, "note")),
        "Noted as done by hand." if choice == "done" else "Noted as left out.",
    )


@page("POST")
def decide_steps(request: HttpRequest, actor: Actor, run_id: uuid.UUID) -> HttpResponse:
    """Say what became of several steps at once."""
    choice = _text(request, "choice")
    override = request.POST.get("override") == "yes"

    steps = _ids(request.POST.getlist("steps"))

    def act() -> object:
        reason = _text(request, "reason")
        return runs.decide_steps(run_id, steps, actor=actor, choice=choice, reason=reason, override=override)

    return _done(request, actor, run_id, act, _DECIDED.get(choice, ""))


@page("GET", "POST")
def restart(request: HttpRequest, actor: Actor, run_id: uuid.UUID) -> HttpResponse:
    """Ask for what a newer version needs, and start it anew there."""
    found = queries.run_visible_to(actor, run_id)
    authorize(actor, Permission.RESPOND, found)
    if request.method == "GET":
        preview = resuming.preview_restart(run_id, actor)
        if preview.refusal or preview.version is None:
            return shown(
                request,
                "web/runs/run.html",
                run_context(request, actor, found),
                refusal=Conflict(preview.refusal),
            )
        specs = _specs(preview.version)
        secret = {spec.name for spec in specs if spec.secret}
        known = {name: value for name, value in preview.inputs.items() if name not in secret}
        texts = {name: "" if value is None else _as_text(value) for name, value in known.items()}
        form = empty_form(specs, texts)
        return shown(request, "web/runs/restart.html", _restart_context(found, preview.version, form))
    return _restarted(request, actor, found)


def _restarted(request: HttpRequest, actor: Actor, found: Run) -> HttpResponse:
    number = _text(request, "version")
    version = RunbookVersion.objects.filter(
        runbook=found.runbook, number=int(number) if number.isdecimal() and len(number) < 9 else None
    ).first()
    form = filled_form(_specs(version) if version is not None else (), request.POST)
    reason = _text(request, "reason")
    try:
        if version is None:
            raise Conflict("There is no such version any more: choose again.")
        if not form.is_valid:
            raise Invalid("Some inputs are missing or do not fit.")
        new = resuming.restart(
            found.pk, actor=actor, reason=reason, version=version.number, inputs=dict(form.values)
        )
    except HandrailError as error:
        if version is None:
            return shown(request, "web/runs/run.html", run_context(request, actor, found), refusal=error)
        context = {**_restart_context(found, version, form), "reason": reason}
        return shown(request, "web/runs/restart.html", context, refusal=error)
    messages.success(request, f"Restarted on {new.version}.")
    return after(request, f"/runs/{new.pk}/")


def _restart_context(found: Run, version: RunbookVersion, form: TypedForm) -> dict[str, Any]:
    names = {spec.name for spec in _specs(version)}
    return {"run": found, "version": version, "form": form, "dropped": sorted(set(found.inputs) - names)}


def _specs(version: RunbookVersion) -> tuple[InputSpec, ...]:
    try:
        return definition_of(version).inputs
    except HandrailError:
        return ()


def _as_text(value: object) -> str:
    """A value as the form's field holds it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _done(
    request: HttpRequest, actor: Actor, run_id: uuid.UUID, act: Callable[[], object], told: str
) -> HttpResponse:
    """Do it and go back to the run; or show the run as it is now, with what was refused."""
    found = queries.run_visible_to(actor, run_id)
    try:
        act()
    except HandrailError as error:
        typed = _text(request, "reason") or _text(request, "note")
        ticked = [*request.POST.getlist("items"), *request.POST.getlist("steps")]
        shown_now = run_context(request, actor, queries.run_visible_to(actor, run_id))
        context = {**shown_now, "reason": typed, "ticked": ticked}
        return shown(request, "web/runs/run.html", context, refusal=error)
    messages.success(request, told)
    number = request.GET.get("page", "")
    back = f"?page={number}" if number.isascii() and number.isdigit() and len(number) < 6 else ""
    return after(request, f"/runs/{found.pk}/{back}")


def _text(request: HttpRequest, name: str) -> str:
    return request.POST.get(name, "").replace("\x00", "")


def _ids(texts: list[str]) -> list[uuid.UUID]:
    """What of these are ids; the others name nothing."""
    found: list[uuid.UUID] = []
    for text in texts:
        try:
            found.append(uuid.UUID(text))
        except ValueError:
            continue
    return found
