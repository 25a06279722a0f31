"""Steering runs over REST: stopped, paused, resumed, restarted, handed over; steps skipped and decided."""

from __future__ import annotations

import uuid

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from handrail.accounts.idempotency import answer_once
from handrail.shared.rest.fields import NoFilters
from handrail.shared.rest.schema import IDEMPOTENCY_KEY, PAGING
from handrail.shared.rest.views import Endpoint
from runbooks import checklist, resuming, runs, skipping, stopping
from runbooks.api.runs import run_shown
from runbooks.api.shapes import (
    ChecklistItemShape,
    ItemsBody,
    PauseBody,
    RestartBody,
    RestartPreviewShape,
    ResumeBody,
    ResumePreviewShape,
    RunWithStepsShape,
    SkipBody,
    StepDecisionsBody,
    StepRunShape,
    StopBody,
    StopPreviewShape,
)
from runbooks.queries import run_visible_to
from runbooks.refusals import NotAdmitted


class _OneRun(Endpoint):
    """What acts on a run and shows it afterwards."""

    def shown(self, run_id: uuid.UUID, status: int = 200) -> Response:
        """The run as it is now."""
        return Response(run_shown(run_visible_to(self.actor, run_id)), status=status)


class Stop(_OneRun):
    """Stopping a run."""

    @extend_schema(operation_id="preview_stop", responses=StopPreviewShape)
    def get(self, request: Request, run_id: uuid.UUID) -> Response:
        """What a stop would find now, and what each of the four ways to stop would do."""
        return Response(StopPreviewShape(stopping.preview_stop(run_id, self.actor)).data)

    @extend_schema(operation_id="stop_run", request=StopBody, responses=RunWithStepsShape)
    def post(self, request: Request, run_id: uuid.UUID) -> Response:
        """Stop the run: `freeze`, `cancel`, `undo` (cancel, and undo what was done) or `hand_over`. Needs `respond`."""
        stopping.stop(run_id, actor=self.actor, **self.body(StopBody))
        return self.shown(run_id)


class Pause(_OneRun):
    """Pausing a run."""

    @extend_schema(operation_id="pause_run", request=PauseBody, responses=RunWithStepsShape)
    def post(self, request: Request, run_id: uuid.UUID) -> Response:
        """Pause the run: nothing new starts, what executes ends in its real outcome. Needs `respond`."""
        resuming.pause(run_id, actor=self.actor, **self.body(PauseBody))
        return self.shown(run_id)


class Resume(_OneRun):
    """Resuming a run."""

    @extend_schema(operation_id="preview_resume", responses=ResumePreviewShape)
    def get(self, request: Request, run_id: uuid.UUID) -> Response:
        """What a resume would keep, and what it would do again."""
        return Response(ResumePreviewShape(resuming.preview_resume(run_id, self.actor)).data)

    @extend_schema(operation_id="resume_run", request=ResumeBody, responses=RunWithStepsShape)
    def post(self, request: Request, run_id: uuid.UUID) -> Response:
        """Let a paused run go on, or one that failed or was stopped from where it ended. Needs `respond`."""
        resuming.resume(run_id, actor=self.actor, **self.body(ResumeBody))
        return self.shown(run_id)


class Restart(_OneRun):
    """Restarting a run on a newer version."""

    @extend_schema(operation_id="preview_restart", responses=RestartPreviewShape)
    def get(self, request: Request, run_id: uuid.UUID) -> Response:
        """Whether the run's inputs fit the live version."""
        return Response(RestartPreviewShape(resuming.preview_restart(run_id, self.actor)).data)

    @extend_schema(
        operation_id="restart_run",
        parameters=[IDEMPOTENCY_KEY],
        request=RestartBody,
        responses={201: RunWithStepsShape},
    )
    def post(self, request: Request, run_id: uuid.UUID) -> Response:
        """Start it anew on a newer version, as a run that is linked to this one. Needs `respond`."""
        run_visible_to(self.actor, run_id)
        given = self.body(RestartBody)
        try:
            return answer_once(
                request,
                self.actor,
                lambda: self.shown(resuming.restart(run_id, actor=self.actor, **given).pk, status=201),
            )
        except NotAdmitted as refusal:
            if "Idempotency-Key" in request.headers:
                # What was kept of it went with the answer that is not kept.
                refusal.keep(self.actor)
            raise


class Skip(_OneRun):
    """Skipping a step."""

    @extend_schema(operation_id="skip_step", request=SkipBody, responses=RunWithStepsShape)
    def post(self, request: Request, run_id: uuid.UUID, step: str) -> Response:
        """Leave out a step that does not execute, by its name (`drain`, `check[3]`) or id. Needs `respond`."""
        skipping.skip_step(run_id, step, actor=self.actor, **self.body(SkipBody))
        return self.shown(run_id)


class Checklist(_OneRun):
    """The checklist of a run that was handed over."""

    @extend_schema(
        operation_id="list_checklist", parameters=[*PAGING], responses=ChecklistItemShape(many=True)
    )
    def get(self, request: Request, run_id: uuid.UUID) -> Response:
        """What is left, in the order as written, and what people did about it; empty if it was not handed over."""
        self.filters(NoFilters)
        return self.page_in_order(checklist.checklist(run_id, self.actor), ChecklistItemShape)

    @extend_schema(operation_id="tick_items", request=ItemsBody, responses=ChecklistItemShape(many=True))
    def post(self, request: Request, run_id: uuid.UUID) -> Response:
        """Say that items are done by hand, or are left out; all of them or none. Answers these. Needs `respond`."""
        given = self.body(ItemsBody)
        checklist.tick(run_id, actor=self.actor, **given)
        rows = [row for row in checklist.checklist(run_id, self.actor) if row.key in given["items"]]
        return Response([ChecklistItemShape(row).data for row in rows])


class Decisions(Endpoint):
    """Several uncertain steps."""

    @extend_schema(operation_id="decide_steps", request=StepDecisionsBody, responses=StepRunShape(many=True))
    def post(self, request: Request, run_id: uuid.UUID) -> Response:
        """Say what became of several steps of the run in doubt; all of them or none. Needs `respond`."""
        decided = runs.decide_steps(run_id, actor=self.actor, **self.body(StepDecisionsBody))
        return Response(StepRunShape(decided, many=True).data)
