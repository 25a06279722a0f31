"""The Celery tasks of runs: thin, and only ever hints."""

from __future__ import annotations

import uuid

from celery import shared_task

from runbooks.execution.hints import ADVANCE_TASK
from runbooks.execution.process import driver


@shared_task(name=ADVANCE_TASK)
def advance(step_id: str) -> None:
    """Do the step if it still waits to be done, and what follows it. A forged or repeated hint does nothing."""
    try:
        identifier = uuid.UUID(step_id)
    except ValueError:
        return
    driver().drive(identifier)
