"""The audit trail over REST: read only, scoped."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from handrail.accounts.api.projects import project_named
from handrail.accounts.api.shapes import AuditFilters, AuditShape
from handrail.accounts.queries import audit_visible_to
from handrail.shared.rest.schema import PAGING
from handrail.shared.rest.views import Endpoint


class AuditTrail(Endpoint):
    """The audit trail."""

    @extend_schema(
        operation_id="list_audit", parameters=[AuditFilters, *PAGING], responses=AuditShape(many=True)
    )
    def get(self, request: Request) -> Response:
        """What was done, newest first: all for owners and auditors; for admins, what was done in their projects."""
        where = self.filters(AuditFilters)
        if (slug := where.pop("project", None)) is not None:
            where["project_id"] = str(project_named(self.actor, slug).pk)
        return self.page(audit_visible_to(self.actor).filter(**where), AuditShape)
