"""Approvals over REST: listed, read, decided."""

from __future__ import annotations

import uuid
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from handrail.incidents.queries import incidents_visible_to
from handrail.shared.actors import Actor
from handrail.shared.rest.schema import PAGING
from handrail.shared.rest.views import Endpoint, one_of
from runbooks import approvals, quorum
from runbooks.api.shapes import (
    ApprovalFilters,
    ApprovalForYouShape,
    ApprovalShape,
    DecisionBody,
    DecisionShape,
)
from runbooks.queries import approval_visible_to, approvals_visible_to, runs_visible_to

_COLUMNS = {"project": "project__slug", "state": "state"}


class Approvals(Endpoint):
    """Approvals."""

    @extend_schema(
        operation_id="list_approvals",
        parameters=[ApprovalFilters, *PAGING],
        responses=ApprovalShape(many=True),
    )
    def get(self, request: Request) -> Response:
        """The approvals that you may see, newest first; `state=pending` are those that wait for somebody."""
        filters = self.filters(ApprovalFilters)
        rows = approvals_visible_to(self.actor)
        if (incident_id := filters.pop("incident", None)) is not None:
            incident = one_of(incidents_visible_to(self.actor), "incident", pk=incident_id)
            rows = rows.filter(run__incident=incident)
        if (run_id := filters.pop("run", None)) is not None:
            rows = rows.filter(run=one_of(runs_visible_to(self.actor), "run", pk=run_id))
        rows = rows.filter(**{_COLUMNS[name]: value for name, value in filters.items()})
        return self.page(rows, ApprovalShape)


class OneApproval(Endpoint):
    """One approval."""

    @extend_schema(operation_id="get_approval", responses=ApprovalForYouShape)
    def get(self, request: Request, approval_id: uuid.UUID) -> Response:
        """One approval, what it still needs, and whether you may decide it."""
        return Response(_shown(self.actor, approval_id))


class Decide(Endpoint):
    """Deciding an approval."""

    @extend_schema(operation_id="decide_approval", request=DecisionBody, responses=DecisionShape)
    def post(self, request: Request, approval_id: uuid.UUID) -> Response:
        """Approve or deny. Needs `approve`, and to be among those asked; whoever started the run is not."""
        approval_visible_to(self.actor, approval_id)
        result = approvals.decide(approval_id, actor=self.actor, **self.body(DecisionBody))
        told = {"decided": result.decided, "message": result.message}
        return Response({**told, "approval": _shown(self.actor, approval_id)})


def _shown(actor: Actor, approval_id: uuid.UUID) -> dict[str, Any]:
    approval = approval_visible_to(actor, approval_id)
    verdict = approvals.may_decide(approval, actor)
    context = {"needs": quorum.needs(approval), "may_decide": verdict.allowed, "why_not": verdict.why}
    return dict(ApprovalForYouShape(approval, context=context).data)
