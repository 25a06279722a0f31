"""The hint that something is due, and the duty that needs no hint."""

from __future__ import annotations

import time
from datetime import timedelta

from celery import shared_task

from handrail.outbox.actions import DELIVER_TASK
from handrail.outbox.queries import is_due
from handrail.outbox.sending import deliver_due
from handrail.shared.clock import database_now
from handrail.shared.wakeups import send

HINT_IS_LOST_AFTER = timedelta(seconds=3)
DUTY_BUDGET_SECONDS = 2.0


@shared_task(name=DELIVER_TASK)
def deliver() -> None:
    """Send what is due. A forged or repeated hint finds nothing to do."""
    deliver_due()


def deliver_overdue() -> int:
    """The sweeper's duty, each second: hint at what is due, send what has been due for too long by itself.

    Lanes make messages due one by one without any new act, so nobody else would hint at them. What is still
    there after three seconds has no worker listening (the broker is down): it is sent here, in slices of two
    seconds so that other duties keep their time. Returns how many messages were tried here.
    """
    now = database_now()
    tried = 0
    if is_due(now - HINT_IS_LOST_AFTER):
        stop_at = time.monotonic() + DUTY_BUDGET_SECONDS
        while time.monotonic() < stop_at and deliver_due(limit=1):
            tried += 1
    elif is_due(now):
        send(DELIVER_TASK)
    return tried
