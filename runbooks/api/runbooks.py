"""Runbooks over REST: drafts, versions, publishing, starting."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from handrail.accounts.idempotency import answer_once
from handrail.accounts.permissions import visible_projects
from handrail.incidents.queries import incidents_visible_to
from handrail.shared.actors import Actor
from handrail.shared.errors import NotFound
from handrail.shared.rest.conditions import expected_revision, stale_when_moved, tagged
from handrail.shared.rest.fields import NoFilters
from handrail.shared.rest.schema import IDEMPOTENCY_KEY, IF_MATCH, IF_NONE_MATCH, IF_NONE_YET, PAGING
from handrail.shared.rest.views import Endpoint, one_of
from runbooks import runs, versions
from runbooks.api.runs import words_of
from runbooks.api.shapes import (
    PublishBody,
    RollBackBody,
    RunbookBody,
    RunbookFilters,
    RunbookShape,
    RunShape,
    StartBody,
    StartedShape,
    ValidationShape,
    VersionShape,
    VersionWithSourceShape,
    YamlBody,
)
from runbooks.models import Runbook, RunbookVersion
from runbooks.queries import run_visible_to, runbooks_visible_to
from runbooks.refusals import NotAdmitted

_COLUMNS = {"project": "project__slug", "slug": "slug"}


def runbook_of(actor: Actor, runbook_id: uuid.UUID) -> Runbook:
    """The runbook, or NotFound for one that the actor may not see."""
    runbook = runbooks_visible_to(actor).filter(pk=runbook_id).first()
    if runbook is None:
        raise NotFound("There is no such runbook, or you may not see it.")
    return runbook


class Runbooks(Endpoint):
    """Runbooks."""

    @extend_schema(
        operation_id="list_runbooks", parameters=[RunbookFilters, *PAGING], responses=RunbookShape(many=True)
    )
    def get(self, request: Request) -> Response:
        """The runbooks that you may see, newest first."""
        where = {_COLUMNS[name]: value for name, value in self.filters(RunbookFilters).items()}
        return self.page(runbooks_visible_to(self.actor).filter(**where), RunbookShape)

    @extend_schema(operation_id="create_runbook", request=RunbookBody, responses={201: RunbookShape})
    def post(self, request: Request) -> Response:
        """A new runbook with this draft. Needs `author`."""
        given = self.body(RunbookBody)
        project = one_of(visible_projects(self.actor), "project", slug=given["project"])
        made = versions.create(project, given["source"], actor=self.actor)
        return Response(RunbookShape(runbook_of(self.actor, made.pk)).data, status=201)


class OneRunbook(Endpoint):
    """One runbook."""

    @extend_schema(operation_id="get_runbook", responses=RunbookShape)
    def get(self, request: Request, runbook_id: uuid.UUID) -> Response:
        """One runbook."""
        return Response(RunbookShape(runbook_of(self.actor, runbook_id)).data)


class Versions(Endpoint):
    """Published versions."""

    @extend_schema(operation_id="list_versions", parameters=PAGING, responses=VersionShape(many=True))
    def get(self, request: Request, runbook_id: uuid.UUID) -> Response:
        """The published versions, newest first."""
        self.filters(NoFilters)
        runbook = runbook_of(self.actor, runbook_id)
        rows = RunbookVersion.objects.filter(runbook=runbook, number__isnull=False)
        return self.page(rows.select_related("author", "publisher"), VersionShape, by="-number")


class OneVersion(Endpoint):
    """One published version."""

    @extend_schema(operation_id="get_version", responses=VersionWithSourceShape)
    def get(self, request: Request, runbook_id: uuid.UUID, number: int) -> Response:
        """A published version with its YAML."""
        runbook = runbook_of(self.actor, runbook_id)
        rows = RunbookVersion.objects.filter(runbook=runbook, number=min(number, 2**31 - 1))
        version = rows.select_related("author", "publisher").first()
        if version is None:
            raise NotFound("This runbook has no such version.")
        return Response(VersionWithSourceShape(version).data)


class Draft(Endpoint):
    """The draft of a runbook."""

    @extend_schema(
        operation_id="get_draft",
        parameters=[IF_NONE_MATCH],
        responses={200: VersionWithSourceShape, 304: None},
    )
    def get(self, request: Request, runbook_id: uuid.UUID) -> Response:
        """The draft with its YAML; its ETag is what saving needs. 404 when there is none."""
        draft = versions.draft_of(runbook_of(self.actor, runbook_id))
        if draft is None:
            raise NotFound("This runbook has no draft: start one from the live version's source.")
        return _draft_shown(draft)

    @extend_schema(
        operation_id="save_draft",
        parameters=[IF_MATCH, IF_NONE_YET],
        request=YamlBody,
        responses=VersionWithSourceShape,
    )
    def put(self, request: Request, runbook_id: uuid.UUID) -> Response:
        """Keep the draft's text, valid or not. Needs `author`, and If-Match (or If-None-Match for a new one)."""
        runbook = runbook_of(self.actor, runbook_id)
        source = self.body(YamlBody)["source"]
        revision = expected_revision(request, may_be_new=True)
        with stale_when_moved():
            return _draft_shown(
                versions.save_draft(runbook, source, actor=self.actor, expected_revision=revision)
            )

    @extend_schema(operation_id="discard_draft", request=None, responses={204: None})
    def delete(self, request: Request, runbook_id: uuid.UUID) -> Response:
        """Throw the draft away; the live version stays. Needs `author`."""
        versions.discard_draft(runbook_of(self.actor, runbook_id), actor=self.actor)
        return Response(status=204)


class Validate(Endpoint):
    """Checking a source."""

    @extend_schema(operation_id="validate_runbook", request=YamlBody, responses=ValidationShape)
    def post(self, request: Request) -> Response:
        """What is wrong with a source, and where; nothing is kept."""
        parsed = versions.check(self.body(YamlBody)["source"])
        problems = [asdict(problem) for problem in parsed.problems]
        return Response(ValidationShape({"valid": parsed.runbook is not None, "problems": problems}).data)


class Publish(Endpoint):
    """Publishing a draft."""

    @extend_schema(
        operation_id="publish_draft",
        parameters=[IF_MATCH],
        request=PublishBody,
        responses={201: VersionWithSourceShape},
    )
    def post(self, request: Request, runbook_id: uuid.UUID) -> Response:
        """Make the draft the next, live version. Needs `publish`, and If-Match: you publish what you have read."""
        runbook = runbook_of(self.actor, runbook_id)
        message = self.body(PublishBody)["message"]
        revision = expected_revision(request)
        with stale_when_moved():
            version = versions.publish(runbook, actor=self.actor, message=message, expected_revision=revision)
        return Response(VersionWithSourceShape(version).data, status=201)


class RollBack(Endpoint):
    """Going back to an earlier version."""

    @extend_schema(operation_id="roll_back_runbook", request=RollBackBody, responses=RunbookShape)
    def post(self, request: Request, runbook_id: uuid.UUID) -> Response:
        """Make a published version live again. Needs `publish`."""
        versions.roll_back(runbook_of(self.actor, runbook_id), actor=self.actor, **self.body(RollBackBody))
        return Response(RunbookShape(runbook_of(self.actor, runbook_id)).data)


class Start(Endpoint):
    """Starting a run."""

    @extend_schema(
        operation_id="start_run",
        parameters=[IDEMPOTENCY_KEY],
        request=StartBody,
        responses={201: StartedShape, 200: StartedShape},
    )
    def post(self, request: Request, runbook_id: uuid.UUID) -> Response:
        """Start a run of the live version. 200 when one with the same key goes on already. Needs `respond`."""
        runbook = runbook_of(self.actor, runbook_id)
        given = self.body(StartBody)
        try:
            return answer_once(request, self.actor, lambda: self._start(runbook, given))
        except NotAdmitted as refusal:
            if "Idempotency-Key" in request.headers:
                # What was kept of it went with the answer that is not kept.
                refusal.keep(self.actor)
            raise

    def _start(self, runbook: Runbook, given: dict[str, Any]) -> Response:
        origin = runs.Origin(dedupe_key=given["dedupe_key"], start_at=given.get("start_at"))
        if given.get("incident"):
            same_project = incidents_visible_to(self.actor).filter(project=runbook.project_id)
            origin["incident"] = one_of(same_project, "incident", pk=given["incident"])
        if given.get("version"):
            published = RunbookVersion.objects.filter(runbook=runbook)
            origin["version"] = one_of(published, "version", number=given["version"])
        result = runs.start(runbook, inputs=given["inputs"], actor=self.actor, **origin)
        run = run_visible_to(self.actor, result.run.pk)
        shown = RunShape(run, context=words_of([run])).data
        told = {"created": result.created, "reason": result.reason, "run": shown}
        return Response(told, status=201 if result.created else 200)


def _draft_shown(draft: RunbookVersion) -> Response:
    return tagged(draft.revision, VersionWithSourceShape(draft).data)
