"""What other apps ask of the trail for their own decisions."""

from __future__ import annotations

from datetime import datetime

from handrail.audit.models import AuditEntry


def actors_on(object_type: str, object_id: str, *, since: datetime) -> set[str]:
    """The ids of the accounts that have acted on an object since then."""
    entries = AuditEntry.objects.filter(object_type=object_type, object_id=object_id, at__gte=since)
    return set(entries.exclude(actor_id="").values_list("actor_id", flat=True))
