"""Why an alert was treated as it was: each decision is kept in words, beside the alert."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime

from handrail.alerts.models import Alert
from handrail.alerts.text import bounded
from handrail.shared.clock import now
from handrail.shared.statements.writing import Batch

MAX_DECISIONS = 50
MAX_TEXT = 500

_gathering: ContextVar[Alert | None] = ContextVar("alert_whose_decisions_are_gathered", default=None)


def add(alert: Alert, text: str, *, by: str = "routing") -> None:
    """Append one decision; call it in the transaction that holds the alert's row.

    Each is ``{"at": ISO time, "by": who decided, "text": words}``; the newest 50 are kept.
    """
    entry = {"at": now().isoformat(), "by": by, "text": bounded(text, MAX_TEXT)}
    alert.decisions = [*alert.decisions, entry][-MAX_DECISIONS:]
    if _gathering.get() is not alert:
        _write(alert)


@contextmanager
def gathered(alert: Alert) -> Iterator[None]:
    """Write what is decided about this alert inside of the block in one statement, at its end."""
    before = alert.decisions
    token = _gathering.set(alert)
    try:
        yield
    finally:
        _gathering.reset(token)
    if alert.decisions is not before:
        _write(alert)


def _write(alert: Alert) -> None:
    batch = Batch()
    batch.update(Alert, alert.pk, {"decisions": alert.decisions})
    batch.execute_at_once()


def words_since(alert: Alert, moment: datetime) -> str:
    """What was decided from ``moment`` on, by all who decide; "" when nothing was."""
    began = moment.isoformat()
    return ". ".join(str(entry["text"]).rstrip(".") for entry in alert.decisions if entry["at"] >= began)
