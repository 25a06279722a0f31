"""Pages through PagerDuty, from the outbox: for what has become a human's matter, and for undecided approvals.

One alert for one thing: triggered when it needs somebody, resolved when it is decided. PagerDuty takes events of one
key for one alert, so a message that is sent twice changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from handrail.accounts.models import Project
from handrail.catalog.models import Connection
from handrail.catalog.outgoing.errors import OutgoingError
from handrail.catalog.outgoing.transport import Dialer
from handrail.outbox.actions import enqueue
from handrail.outbox.errors import Retry, Undeliverable
from handrail.outbox.models import OutboxMessage
from handrail.shared.errors import NotFound
from handrail.shared.links import approval_url
from handrail.shared.statements.compiled import Compiled
from handrail.vault.redaction import Redactor
from integrations.pagerduty.client import Refused, send_event
from integrations.pagerduty.kind import EVENTS_NAME, NOTICES
from runbooks.escalating import Escalated
from runbooks.language.definition import Json
from runbooks.matters import Matter
from runbooks.models import Approval, Escalation
from runbooks.steps.base import ActionContext, Failure
from runbooks.steps.http import failure_of

CHANNEL = "pagerduty"
"""The outbox channel whose messages this module sends."""

LONGEST_SECONDS = 30.0
"""For one event; below the outbox's lease."""

LIMITED_SECONDS = 30.0
"""After a rate limit that does not say for how long."""

LONGEST_SUMMARY = 1024
FIRST = 0


def on_matter(matter: Matter) -> None:
    """Page through each connection of the project that is for notices; resolve the alert when it is settled."""
    connections = Connection.objects.filter(project=matter.project, kind=EVENTS_NAME)
    for connection in connections:
        if connection.options.get(NOTICES) is True:
            _put(
                matter.project, connection.name, matter.key, matter.url, "" if matter.settled else matter.text
            )


def on_escalated(escalated: Escalated) -> None:
    """Page through the connection that the runbook names."""
    name = escalated.to.get("pagerduty")
    if name:
        approval = escalated.approval
        url = approval_url(approval.pk)
        _put(approval.project, name, f"approval:{approval.pk}", url, escalated.text)


def on_approval_changed(approval: Approval) -> None:
    """Resolve the alerts of an approval that is decided."""
    if approval.state == Approval.State.PENDING:
        return
    for name in sorted({to["pagerduty"] for to in _PAGED.all(approval.pk) if to.get("pagerduty")}):
        project = Project(pk=approval.project_id)
        _put(project, name, f"approval:{approval.pk}", approval_url(approval.pk), "")


_PAGED = Compiled(
    lambda approval: (
        Escalation.objects.order_by()
        .filter(approval=approval, done_at__isnull=False)
        .values_list("to", flat=True)
    )
)
"""To whom an approval was passed on."""


def _put(project: Project, connection: str, key: str, url: str, summary: str) -> None:
    """Enqueue the newest word about ``key``; no summary resolves its alert."""
    enqueue(
        CHANNEL,
        "event",
        f"pagerduty:{project.pk}:{connection}:{key}"[:200],
        {"connection": connection, "key": f"handrail:{key}", "url": url, "summary": summary},
        project=project,
        priority=FIRST,
        destination=connection,
    )


def send(message: OutboxMessage, dialer: Dialer | None = None) -> None:
    """Send one message of the outbox. Raises Retry or Undeliverable."""
    project = message.project
    if message.kind != "event" or project is None:
        raise Undeliverable(f"This version of Handrail cannot send messages of the kind {message.kind!r}.")
    context = _context(project, message)
    try:
        send_event(message.payload["connection"], _event(message.payload), context, dialer)
    except NotFound as error:
        raise Undeliverable(error.message) from error
    except OutgoingError as error:
        failure = failure_of(error)
        raise (Retry(error.message) if failure.retryable else Undeliverable(error.message)) from error
    except Refused as refusal:
        # What PagerDuty says may repeat the key that it was told.
        raise _refused(refusal.failure, context.redactor.text(refusal.failure.message)) from refusal


def _refused(failed: Failure, words: str) -> Retry | Undeliverable:
    """Later, when PagerDuty says so; its rate limit is nobody's failure. Or never."""
    if not failed.retryable:
        return Undeliverable(words)
    limited = failed.code == "rate_limited"
    wait = failed.retry_after or (LIMITED_SECONDS if limited else None)
    return Retry(words, wait, counts=not limited)


def _event(payload: Mapping[str, str]) -> dict[str, Json]:
    """The event as PagerDuty takes it. Source: https://developer.pagerduty.com/docs/send-alert-event"""
    key: dict[str, Json] = {"dedup_key": payload["key"]}
    if not payload["summary"]:
        return {**key, "event_action": "resolve"}
    return {
        **key,
        "event_action": "trigger",
        "client": "Handrail",
        "client_url": payload["url"],
        "payload": {
            "summary": payload["summary"][:LONGEST_SUMMARY],
            "source": "handrail",
            "severity": "critical",
        },
    }


def _context(project: Project, message: OutboxMessage) -> ActionContext:
    """What the client needs of an attempt: the project, a deadline, and a redactor that learns the key."""
    return ActionContext(
        project=project,
        run_id="",
        node="",
        idempotency_key=message.dedupe_key,
        deadline_monotonic=time.monotonic() + LONGEST_SECONDS,
        redactor=Redactor(()),
        log=lambda _stream, _text: None,
        cancelled=lambda: False,
        register_process_group=lambda _group: None,
    )
