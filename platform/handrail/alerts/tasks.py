"""The hint that a delivery waits for a worker."""

from __future__ import annotations

import uuid

from celery import shared_task

from handrail.alerts.intake import PROCESS_TASK
from handrail.alerts.processing import process_by_id


@shared_task(name=PROCESS_TASK)
def process_delivery(delivery_id: str) -> None:
    """Make the alerts of a large delivery. A forged or repeated hint finds nothing to do."""
    try:
        identifier = uuid.UUID(delivery_id)
    except ValueError:
        return
    process_by_id(identifier)
