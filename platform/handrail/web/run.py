"""One run: its state in words, what needs a person, the graph, the chosen step, and how to stop it."""

from __future__ import annotations

import json
import shlex
import uuid
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from handrail.accounts.permissions import Permission, allows
from handrail.shared.actors import Actor
from handrail.shared.artifacts import ArtifactMissing, expand
from handrail.shared.errors import HandrailError, NotFound
from handrail.shared.jsonvalue import JsonValue
from handrail.web.approval import question
from handrail.web.live import identity
from handrail.web.pages import page, shown
from handrail.web.run_live import marks_of
from handrail.web.run_steered import checklist_page, steering_of
from handrail.web.typed_inputs import empty_form
from runbooks import queries, stopping
from runbooks.engine.events import SUPPORTED_SCHEMAS
from runbooks.engine.state import key_of
from runbooks.engine.steering import HAND_OVER
from runbooks.execution.live import LiveRun, look_into
from runbooks.execution.switching import CODE, Reach, switches_on
from runbooks.models import Approval, KillSwitch, LogLine, Run, StepRun
from runbooks.queries import StepView
from runbooks.queries.files import LARGEST_SHOWN
from runbooks.queries.manual import asked_of_people
from runbooks.removed import file_removed, log_removed, value_removed
from runbooks.retrying import Offer, all_refused, offers

HIDDEN = "(secret)"
MOST_FILES = 50
"""Files of a step on the page: two or three an attempt at most."""
NOT_UNDERSTOOD = (
    "This run was started by a newer Handrail. Workers of that version go on with it; this web process can show it, "
    "but not stop it or decide about it: upgrade it, too."
)


@page("GET")
def run(request: HttpRequest, actor: Actor, run_id: uuid.UUID) -> HttpResponse:
    """The page; ``?step=NODE`` chooses a step, else it is the one that matters now."""
    found = queries.run_visible_to(actor, run_id)
    return shown(
        request, "web/runs/run.html", run_context(request, actor, found, request.GET.get("step", ""))
    )


@page("GET")
def run_step(request: HttpRequest, actor: Actor, run_id: uuid.UUID, step_id: uuid.UUID) -> HttpResponse:
    """The page of the run with this step chosen: the address that timelines and messages use."""
    found = queries.run_visible_to(actor, run_id)
    return shown(request, "web/runs/run.html", run_context(request, actor, found, step_id))


def run_context(
    request: HttpRequest, actor: Actor, found: Run, chosen: str | uuid.UUID = ""
) -> dict[str, Any]:
    """What the page shows; ``?page=`` is that of the checklist. ``chosen``: the name of a step, or the id of its row.

    NotFound for an id that no step of the run has.
    """
    steps = queries.steps_of(found)
    current = queries.current_node(steps, found.error)
    every = list(queries.every_view(steps))
    by_node = {view.node: view for view in every}
    name = chosen if isinstance(chosen, str) else _name_of(found, every, chosen)
    view = by_node.get(name) or by_node.get(current)
    no_worker = queries.no_worker(found.pk, found.engine_schema) if found.is_open else ""
    may_respond = allows(actor, Permission.RESPOND, found)
    live = _read(found) if may_respond or found.stop_how == HAND_OVER else None
    stoppable = found.is_open and not found.cancel_requested and found.stop_how != HAND_OVER
    return {
        "run": found,
        "words": queries.state_in_words(found, steps),
        "steps": steps,
        "graph": queries.graph(found, steps),
        "current": view.node.partition("[")[0] if view is not None else "",
        "chosen": _details(found, view) if view is not None else None,
        "switch": _switch(found, every),
        "questions": [
            question(actor, each.approval, steps)
            for each in every
            if each.approval is not None and each.approval.state == Approval.State.PENDING
        ],
        **_doubts(found, live, every),
        "manual": _manual_questions(actor, every),
        "may_respond": may_respond,
        "stop": _stop_preview(live) if may_respond and stoppable else None,
        "steer": {
            **steering_of(found, live if may_respond else None, view, may_respond=may_respond),
            **checklist_page(request, found, live),
        },
        "is_live_version": found.runbook.live_id == found.version_id,
        "inputs": {name: _as_text(value) for name, value in _inputs(found).items()},
        "advice": queries.what_to_do(found.error),
        "no_worker": no_worker,
        "not_understood": "" if found.engine_schema in SUPPORTED_SCHEMAS else NOT_UNDERSTOOD,
        "curl": _curl(found),
        "place": identity(lambda: marks_of(found.pk, found.revision, no_worker, is_open=found.is_open)),
    }


def _doubts(found: Run, live: LiveRun | None, every: list[StepView]) -> dict[str, Any]:
    """What is in doubt: steps, and undoings; what is to be said of trying each again, and whether any may be."""
    uncertain = [
        (each, row)
        for each in every
        if not each.iterations
        for row in (each.row, each.compensation)
        if row is not None and row.state == StepRun.State.UNCERTAIN
    ]
    queries.read_inputs(row for _, row in uncertain)
    told = offers([row for _, row in uncertain], {found.pk: live.state} if live is not None else {})
    return {
        "uncertain": [_doubt(each, row, told[row.pk]) for each, row in uncertain],
        "may_retry": not all_refused(told.values()),
        "owner_may_act": any(offer.owner_may_act for offer in told.values()),
    }


def _doubt(view: StepView, row: StepRun, offer: Offer) -> dict[str, Any]:
    """One step, or its undoing, of which nobody knows whether it happened."""
    is_undoing = row is view.compensation
    return {
        "row": row,
        "title": f"the undoing of {view.title}" if is_undoing else view.title,
        "cannot_be_undone": view.effect == "irreversible" and not is_undoing,
        "offer": offer,
    }


def _name_of(found: Run, every: Iterable[StepView], step_id: uuid.UUID) -> str:
    """The name of the step that has this row: of its own, of its undoing or of its probe."""
    for view in every:
        if step_id in (row.pk for row in view.rows):
            return view.node
    # Of a version that this process cannot read, not every row is shown.
    row = StepRun.objects.filter(run=found, pk=step_id).first()
    if row is None:
        raise NotFound("This run has no such step.")
    return key_of(row.node, row.iteration)


def _switch(found: Run, every: Iterable[StepView]) -> KillSwitch | None:
    """The kill switch that is on for the run, or for a call of it that waits at the gate."""
    if not found.is_open:
        return None
    reach = Reach.of_run(found)
    if (switch := switches_on([reach]).get(reach)) is not None:
        return switch
    ready = (row for view in every for row in view.rows if row.state == StepRun.State.READY)
    held = next((row.held for row in ready if row.held.startswith(CODE)), "")
    if not held:
        return None
    known = KillSwitch.objects.filter(pk=held.removeprefix(CODE), off_at__isnull=True)
    return known.select_related("project", "runbook").first()


def _manual_questions(actor: Actor, every: Iterable[StepView]) -> list[dict[str, Any]]:
    """What people are asked to do: the words, the form, and whether this person may answer."""
    rows = [view.row for view in every if view.state == StepRun.State.AWAITING_HUMAN and view.row is not None]
    queries.read_inputs(rows)
    asked = asked_of_people(rows, actor) if rows else {}
    return [
        {
            "row": row,
            "prompt": (row.inputs or {}).get("prompt", ""),
            "form": empty_form(asked[row.pk].inputs),
            "verdict": asked[row.pk].verdict,
        }
        for row in rows
    ]


def _details(found: Run, view: StepView) -> dict[str, Any]:
    """The chosen step: inputs, outputs, error with advice, attempts, history, log."""
    row = view.row
    lines = queries.log_of(row) if row is not None else []
    history = queries.history_of(found, view.node) if row is not None else []
    return {
        "view": view,
        "row": row,
        "attempts": view.attempts
        or (list(row.attempts.order_by("number", "fence")) if row is not None and view.item else []),
        "children": row.children.select_related("runbook", "version") if row is not None else (),
        "inputs": _shown(found, row, "inputs") if row is not None else None,
        "outputs": _shown(found, row, "outputs") if row is not None else None,
        "files": _files(found, row) if row is not None else [],
        "log_removed": log_removed(found, row) if row is not None else "",
        "error": row.error if row is not None else None,
        "advice": queries.what_to_do(row.error) if row is not None else "",
        "skipped": queries.why_skipped(view),
        "history": history,
        "target": next((event.target for event in reversed(history) if event.target), ""),
        "lines": _lines(lines),
        "undoing_lines": _lines(queries.log_of(view.compensation)) if view.compensation is not None else [],
    }


def _lines(lines: Iterable[LogLine]) -> list[dict[str, Any]]:
    return [
        {"n": line.n, "text": line.text, "tone": "error" if line.stream == "stderr" else ""} for line in lines
    ]


def _files(found: Run, row: StepRun) -> list[dict[str, Any]]:
    """The files of a step, and the words about those that are not kept any more."""
    return [{"file": file, "removed": file_removed(found, file)} for file in row.artifacts.all()[:MOST_FILES]]


def _shown(found: Run, row: StepRun, name: str) -> dict[str, str] | None:
    """A value as text, its beginning where it is large: ``text``, ``note``, and the address of the ``whole``."""
    held: JsonValue = getattr(row, name)
    if not held:
        return None
    if gone := value_removed(found, held):
        return {"text": "", "note": gone, "whole": ""}
    whole = f"/runs/{row.run_id}/steps/{row.pk}/{name}.json"
    try:
        text = json.dumps(expand(held), indent=2, ensure_ascii=False)
    except ArtifactMissing as error:
        return {"text": "", "note": error.message, "whole": ""}
    if len(text) <= LARGEST_SHOWN:
        return {"text": text, "note": "", "whole": ""}
    note = f"These are the first {LARGEST_SHOWN:,} of {len(text):,} characters."
    return {"text": text[:LARGEST_SHOWN], "note": note, "whole": whole}


def _read(found: Run) -> LiveRun | None:
    """The run with its history, which is replayed once for the whole page; None where this process cannot read it."""
    try:
        return look_into(found)
    except HandrailError:
        return None


def _stop_preview(live: LiveRun | None) -> stopping.StopPreview:
    # A version that this process cannot read: it is stopped without the preview.
    return stopping.preview_of(live) if live is not None else stopping.StopPreview()


def _inputs(found: Run) -> dict[str, JsonValue]:
    """The inputs, without the values of those that are secret."""
    definition = queries.definition_or_none(found)
    secret = {spec.name for spec in definition.inputs if spec.secret} if definition is not None else set()
    return {name: HIDDEN if name in secret else value for name, value in found.inputs.items()}


def _as_text(value: JsonValue) -> str | None:
    """A value as people write it in a runbook and in JSON: ``true``, not ``True``."""
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _curl(found: Run) -> str:
    """The command that starts the same again over the API."""
    body = {"inputs": {name: value for name, value in _inputs(found).items() if value is not None}}
    return " ".join(
        [
            f"curl -X POST {settings.BASE_URL}/api/v1/runbooks/{found.runbook_id}/runs/",
            '-H "Authorization: Bearer $HANDRAIL_TOKEN"',
            '-H "Idempotency-Key: $(uuidgen)"',
            "-H 'Content-Type: application/json'",
            f"-d {shlex.quote(json.dumps(body, ensure_ascii=False))}",
        ]
    )
