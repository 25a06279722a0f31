"""Ask in a modal: a placeholder at once, then the form, or a notice for who may not or comes too late."""

from __future__ import annotations

import uuid

import structlog

from handrail.accounts.permissions import Permission, authorize
from handrail.outbox.errors import Retry, Undeliverable
from handrail.shared.actors import Actor
from handrail.shared.errors import HandrailError, NotFound
from handrail.shared.links import approval_url
from integrations.slack import modal
from integrations.slack.card import channel_in_words
from integrations.slack.client import INTERACTIVE_SECONDS, call
from integrations.slack.errors import ViewGone
from integrations.slack.payloads import Click
from integrations.slack.reading import approval_row, planned_steps
from runbooks.approvals import input_specs, may_decide
from runbooks.language.definition import InputSpec
from runbooks.language.inputs import form_fields
from runbooks.models import Approval

log = structlog.get_logger(__name__)


def ask(click: Click, decision: str, actor: Actor) -> str:
    """Open the modal and fill it. Returns what to tell the clicker when Slack did not open it; else empty."""
    url = approval_url(click.approval_id)
    try:
        opened = call(
            "views.open",
            {"trigger_id": click.trigger_id, "view": modal.placeholder(decision, url)},
            timeout=INTERACTIVE_SECONDS,
        )
    except (Retry, Undeliverable, ViewGone) as error:
        log.info("slack_modal_not_opened", approval=str(click.approval_id), reason=str(error))
        return f"Slack did not open the form in time. Press the button again, or decide on the web: {url}"
    view = opened.get("view")
    view_id = view.get("id") if isinstance(view, dict) else None
    try:
        call(
            "views.update",
            {"view_id": view_id, "view": _content(click.approval_id, decision, actor)},
            timeout=INTERACTIVE_SECONDS,
        )
    except (Retry, Undeliverable, ViewGone) as error:
        # The placeholder leads to the web; somebody may also just have closed it.
        log.info("slack_modal_not_filled", approval=str(click.approval_id), reason=str(error))
    return ""


def specs_of(approval_id: uuid.UUID) -> tuple[InputSpec, ...]:
    """The inputs that this approval asks for; none for an approval that does not exist."""
    approval = approval_row(approval_id)
    return input_specs(approval) if approval is not None else ()


def _content(approval_id: uuid.UUID, decision: str, actor: Actor) -> modal.View:
    url = approval_url(approval_id)
    try:
        approval = _askable(approval_id, actor)
        specs = input_specs(approval)
    except HandrailError as error:
        return modal.notice("Not possible", error.message, url)
    if approval.state != Approval.State.PENDING:
        return modal.notice("Too late", _closed(approval), url)
    verdict = may_decide(approval, actor)
    if not verdict.allowed:
        return modal.notice("Not possible", verdict.why, url)
    question = modal.Question(
        approval_id=approval.pk,
        decision=decision,
        prompt=approval.prompt,
        plan=planned_steps(approval),
        digest=approval.digest,
        url=url,
        fields=form_fields(specs),
    )
    return modal.form(question)


def _askable(approval_id: uuid.UUID, actor: Actor) -> Approval:
    approval = approval_row(approval_id)
    if approval is None:
        raise NotFound("There is no such approval, or you may not see it.")
    authorize(actor, Permission.VIEW, approval)
    return approval


def _closed(approval: Approval) -> str:
    words = {"rejected": "denied", "void": "void and asked anew"}
    by = f" by {approval.decided_by}" if approval.decided_by else ""
    at = f" at {approval.decided_at:%H:%M} UTC" if approval.decided_at else ""
    where = f" ({channel_in_words(approval.decided_channel)})" if approval.decided_channel else ""
    return f"Already {words.get(approval.state, approval.state)}{by}{at}{where}."
