"""Runs over REST: listed, looked into; uncertain steps decided. How they are steered: `steering`."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import FileResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from handrail.incidents.queries import incidents_visible_to
from handrail.shared.actors import Actor
from handrail.shared.errors import NotFound
from handrail.shared.rest.fields import NoFilters
from handrail.shared.rest.schema import PAGING
from handrail.shared.rest.views import Endpoint, one_of
from runbooks import manual, runs
from runbooks.api.shapes import (
    AnswerBody,
    ArtifactShape,
    LogFilters,
    LogShape,
    RunFilters,
    RunShape,
    RunWithStepsShape,
    StepDecisionBody,
    StepFilters,
    StepRunShape,
)
from runbooks.models import LogLine, Run, StepRun
from runbooks.queries import run_visible_to, runs_visible_to, states_in_words, steps_of
from runbooks.queries.files import content_of_file, file_of_run, files_of_run
from runbooks.removed import log_removed, refuse_if

_COLUMNS = {"project": "project__slug", "runbook": "runbook__slug", "state": "state"}


def words_of(rows: list[Run]) -> dict[str, Any]:
    """The serializer's context: each run's sentence."""
    return {"words": states_in_words(rows)}


def run_shown(run: Run) -> dict[str, Any]:
    """A run with its steps."""
    context = {**words_of([run]), "steps": steps_of(run)}
    return dict(RunWithStepsShape(run, context=context).data)


class Runs(Endpoint):
    """Runs."""

    @extend_schema(operation_id="list_runs", parameters=[RunFilters, *PAGING], responses=RunShape(many=True))
    def get(self, request: Request) -> Response:
        """The runs that you may see, newest first."""
        filters = self.filters(RunFilters)
        rows = runs_visible_to(self.actor)
        if (incident_id := filters.pop("incident", None)) is not None:
            rows = rows.filter(incident=one_of(incidents_visible_to(self.actor), "incident", pk=incident_id))
        if (parent_id := filters.pop("parent_run", None)) is not None:
            rows = rows.filter(parent_step__run=one_of(runs_visible_to(self.actor), "run", pk=parent_id))
        rows = rows.filter(**{_COLUMNS[name]: value for name, value in filters.items()})
        return self.page(rows, RunShape, context=words_of)


class OneRun(Endpoint):
    """One run."""

    @extend_schema(operation_id="get_run", responses=RunWithStepsShape)
    def get(self, request: Request, run_id: uuid.UUID) -> Response:
        """One run with every step: as written, and what became of it."""
        return Response(run_shown(run_visible_to(self.actor, run_id)))


class Steps(Endpoint):
    """The steps of a run, as they are for each item of a loop."""

    @extend_schema(
        operation_id="list_run_steps", parameters=[StepFilters, *PAGING], responses=StepRunShape(many=True)
    )
    def get(self, request: Request, run_id: uuid.UUID) -> Response:
        """What became of each step that was begun, items and undoing included, oldest first."""
        rows = StepRun.objects.filter(run=run_visible_to(self.actor, run_id), **self.filters(StepFilters))
        return self.page(rows, StepRunShape, by="id")


class Log(Endpoint):
    """What a step said."""

    @extend_schema(operation_id="list_log", parameters=[LogFilters, *PAGING], responses=LogShape(many=True))
    def get(self, request: Request, run_id: uuid.UUID, step_id: uuid.UUID) -> Response:
        """The lines of a step's log, redacted, in their order; `after` goes on where one has read to.

        410 when retention has removed them all.
        """
        after = self.filters(LogFilters).get("after", 0)
        step = _step(self.actor, run_id, step_id)
        lines = LogLine.objects.filter(step=step)
        if (gone := log_removed(step.run, step)) and not lines.exists():
            refuse_if(gone)
        return self.page(lines.filter(n__gt=after), LogShape, by="n")


class Artifacts(Endpoint):
    """The files of a run."""

    @extend_schema(operation_id="list_artifacts", parameters=[*PAGING], responses=ArtifactShape(many=True))
    def get(self, request: Request, run_id: uuid.UUID) -> Response:
        """What the steps of a run left behind as files, redacted: the rest of a log that was too long for rows."""
        self.filters(NoFilters)
        return self.page(files_of_run(self.actor, run_id), ArtifactShape, by="id")


class ArtifactContent(Endpoint):
    """A file of a run."""

    @extend_schema(operation_id="get_artifact", responses={(200, "application/octet-stream"): bytes})
    def get(self, request: Request, run_id: uuid.UUID, artifact_id: uuid.UUID) -> FileResponse:
        """The bytes of a file, as an attachment; 410 when retention has removed them, 503 when they are missing."""
        found = file_of_run(self.actor, run_id, artifact_id)
        response = FileResponse(
            content_of_file(found), as_attachment=True, filename=found.name, content_type=found.media_type
        )
        response["Content-Length"] = str(found.size)
        response["X-Content-Type-Options"] = "nosniff"
        return response


class Answer(Endpoint):
    """A manual step."""

    @extend_schema(operation_id="answer_step", request=AnswerBody, responses=StepRunShape)
    def post(self, request: Request, run_id: uuid.UUID, step_id: uuid.UUID) -> Response:
        """Say that a manual step is done, or cannot be. Needs `respond`, and to be among those it is assigned to."""
        step = _step(self.actor, run_id, step_id)
        answered = manual.answer(step.pk, actor=self.actor, **self.body(AnswerBody))
        return Response(StepRunShape(answered).data)


class Decide(Endpoint):
    """An uncertain step."""

    @extend_schema(operation_id="decide_step", request=StepDecisionBody, responses=StepRunShape)
    def post(self, request: Request, run_id: uuid.UUID, step_id: uuid.UUID) -> Response:
        """Say what became of a step that nobody knows the fate of. Needs `respond`."""
        step = _step(self.actor, run_id, step_id)
        decided = runs.decide_step(step.pk, actor=self.actor, **self.body(StepDecisionBody))
        return Response(StepRunShape(decided).data)


def _step(actor: Actor, run_id: uuid.UUID, step_id: uuid.UUID) -> StepRun:
    run = run_visible_to(actor, run_id)
    step = StepRun.objects.filter(run=run, pk=step_id).first()
    if step is None:
        raise NotFound("This run has no such step.")
    step.run = run
    return step
