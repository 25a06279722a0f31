"""An audit row as the entry that is hashed: what the row says, without its hashes."""

from __future__ import annotations

from handrail.audit.chain import moment
from handrail.audit.models import AuditEntry
from handrail.shared.jsonvalue import JsonValue

_TEXT_COLUMNS = (
    "chain",
    "actor_kind",
    "actor_id",
    "actor_name",
    "on_behalf_of",
    "channel",
    "action",
    "object_type",
    "object_id",
    "object_name",
    "project_id",
    "before_digest",
    "after_digest",
    "request_id",
    "address",
    "trace_id",
)


def entry_of(row: AuditEntry) -> dict[str, JsonValue]:
    """Every column but the two hashes, under the column's name: ``id``, ``n``, ``at``, ``data`` and text."""
    texts: dict[str, JsonValue] = {name: getattr(row, name) for name in _TEXT_COLUMNS}
    return {"id": str(row.pk), "n": row.n, "at": moment(row.at), "data": row.data, **texts}
