"""Bodies of deliveries that were received long ago. What was made of them, their digests and headers stay."""

from __future__ import annotations

from django.conf import settings
from django.db import transaction

from handrail.alerts.models import Delivery
from handrail.shared.clock import database_now
from handrail.shared.retention import cutoff, in_batches
from runbooks.retention.finished import deliveries_over
from runbooks.retention.telling import tell

DELIVERIES = 100


def remove_bodies() -> int:
    """The duty: how many batches it took."""
    return in_batches(_batch)


@transaction.atomic
def _batch() -> bool:
    """Remove some; whether there may be more."""
    days: int = settings.KEEP_DELIVERIES_DAYS
    before = cutoff(days)
    if before is None:
        return False
    waiting = deliveries_over(before).order_by("received_at").only("pk")
    rows = list(waiting.select_for_update(skip_locked=True, of=("self",))[:DELIVERIES])
    if rows:
        chosen = Delivery.objects.filter(pk__in=[row.pk for row in rows])
        chosen.update(body=b"", body_removed_at=database_now(), body_kept_days=days)
        tell("bodies", {"days": days, "deliveries": [str(row.pk) for row in rows]})
    return len(rows) == DELIVERIES
