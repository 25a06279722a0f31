"""One entry of the audit trail a batch, in its transaction."""

from __future__ import annotations

from collections.abc import Mapping

from handrail.audit.actions import AuditObject, record
from handrail.shared.actors import Actor
from handrail.shared.jsonvalue import JsonValue

SWEEPER = Actor.system("retention")


def tell(what: str, data: Mapping[str, JsonValue]) -> None:
    """Record ``retention.<what>_removed``. Call it last in the batch's transaction."""
    record(SWEEPER, f"retention.{what}_removed", AuditObject("retention", what, what), data=data)
