"""The address that Slack calls when somebody presses a button or submits a modal.

Slack wants its answer within three seconds. A vote is committed first, then acknowledged; the card follows from
the outbox. The only calls to Slack in between open and fill a modal, with a timeout of one second each.
"""

from __future__ import annotations

import time
from datetime import timedelta

import structlog
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from handrail.accounts import identities
from handrail.accounts.actions import make_identity_link
from handrail.accounts.actors import actor_of_user
from handrail.outbox.actions import enqueue
from handrail.outbox.models import OutboxMessage
from handrail.shared.actors import Actor, Channel
from handrail.shared.clock import now
from handrail.shared.errors import HandrailError, Invalid
from handrail.shared.links import approval_url
from handrail.shared.problems import problem
from handrail.shared.statements.compiled import Compiled
from integrations.slack import asking, modal, payloads
from integrations.slack.card import APPROVE, APPROVE_WITH_INPUTS, DENY
from integrations.slack.messages import CHANNEL
from integrations.slack.models import SlackCallback
from integrations.slack.payloads import Challenge, Click, Submission
from integrations.slack.subscribers import FIRST
from integrations.slack.verify import SIGNATURE_HEADER, TIMESTAMP_HEADER, refusal
from runbooks.approvals import decide
from runbooks.language.inputs import coerce_form

log = structlog.get_logger(__name__)

MAX_BODY = 1_000_000
"""Bytes. Slack's payloads hold the whole message or modal, at most some 100 blocks."""

ACTIONS = frozenset({APPROVE, APPROVE_WITH_INPUTS, DENY})

REMEMBERED_FOR = timedelta(seconds=30)

_HEARD = Compiled(
    lambda since: SlackCallback.objects.order_by().filter(received_at__gt=since).values_list("pk")[:1]
)


@csrf_exempt
@require_POST
def interactivity(request: HttpRequest) -> HttpResponse:
    """Verify, read, act, acknowledge. 401 for strangers, 400 for what Slack would never send."""
    try:
        body = request.read(MAX_BODY + 1)
    except UnreadablePostError:
        return problem(400, "The body broke off.", code="unreadable")
    if len(body) > MAX_BODY:
        return problem(413, "The body is too large.", code="too_large")
    timestamp = request.headers.get(TIMESTAMP_HEADER, "")
    signature = request.headers.get(SIGNATURE_HEADER, "")
    refused = refusal(settings.SLACK_SIGNING_SECRET, timestamp, signature, body, now=time.time())
    if refused is not None:
        log.warning("slack_callback_refused", reason=refused)
        return problem(401, "Not signed by Slack.", code="not_signed")
    try:
        interaction = payloads.read(body, ACTIONS)
    except payloads.Malformed as error:
        return problem(400, f"Not an interaction: {error}.", code="unreadable")
    answer = HttpResponse(status=200)
    if isinstance(interaction, Click):
        _clicked(interaction, request)
    elif isinstance(interaction, Submission):
        answer = _submitted(interaction, request)
    elif isinstance(interaction, Challenge):
        answer = HttpResponse(interaction.text, content_type="text/plain")
    _remember(type(interaction).__name__.lower())
    return answer


def _clicked(click: Click, request: HttpRequest) -> None:
    user = identities.find(CHANNEL, click.who.workspace, click.who.user_id)
    if user is None:
        _invite(click)
        return
    actor = actor_of_user(user, Channel.SLACK, request=request)
    if click.action_id == APPROVE:
        _approve(click, actor, is_retry="X-Slack-Retry-Num" in request.headers)
        return
    decision = "deny" if click.action_id == DENY else "approve"
    failure = asking.ask(click, decision, actor)
    if failure:
        _tell(click, failure)


def _approve(click: Click, actor: Actor, *, is_retry: bool) -> None:
    """Vote; whoever may not, or comes too late, is told so in private."""
    try:
        decide(click.approval_id, actor=actor, decision="approve")
    except HandrailError as error:
        # A repeated callback finds its own vote: nothing that the person should hear of.
        if not is_retry:
            _tell(click, error.message)


def _submitted(submission: Submission, request: HttpRequest) -> HttpResponse:
    asked = modal.read_metadata(submission.metadata) if submission.callback_id == modal.DECIDE else None
    if asked is None:
        return HttpResponse(status=200)
    who = submission.who
    user = identities.find(CHANNEL, who.workspace, who.user_id)
    if user is None:
        invitation = make_identity_link(CHANNEL, who.workspace, who.user_id, external_name=who.name)
        return JsonResponse(modal.replace_with(modal.linking(invitation.url)))
    actor = actor_of_user(user, Channel.SLACK, request=request)
    try:
        _decide(asked, submission, actor)
    except Invalid as error:
        return JsonResponse(_in_place(error, asked, submission))
    except HandrailError as error:
        return JsonResponse(modal.replace_with(_refused(error, asked)))
    return HttpResponse(status=200)


def _decide(asked: modal.Asked, submission: Submission, actor: Actor) -> None:
    """The same function as everywhere; an input called ``reason`` is the vote's reason as well."""
    texts = modal.form_texts(submission.values)
    if asked.decision == "deny":
        decide(
            asked.approval_id,
            actor=actor,
            decision="deny",
            reason=str(submission.values.get(modal.REASON) or ""),
        )
        return
    inputs = coerce_form(asking.specs_of(asked.approval_id), texts)
    reason = texts.get("reason", "")[: modal.MAX_REASON]
    decide(asked.approval_id, actor=actor, decision="approve", reason=reason, inputs=inputs)


def _in_place(error: Invalid, asked: modal.Asked, submission: Submission) -> dict[str, object]:
    """Each problem at its field; what belongs to no field replaces the form."""
    if asked.decision == "deny":
        return modal.errors([(modal.REASON, error.message)])
    found = error.details.get("problems")
    problems = [
        (modal.block_of(str(problem.get("path"))), str(problem.get("message")))
        for problem in (found if isinstance(found, list) else [])
        if isinstance(problem, dict)
    ]
    if problems and all(block in submission.values for block, _ in problems):
        return modal.errors(problems)
    return modal.replace_with(_refused(error, asked))


def _refused(error: HandrailError, asked: modal.Asked) -> modal.View:
    return modal.notice("Not decided", error.message, approval_url(asked.approval_id))


def _invite(click: Click) -> None:
    """Offer the clicker to link their account: only they can see it."""
    _enqueue_private(click, "invitation", {"workspace": click.who.workspace, "name": click.who.name})


def _tell(click: Click, text: str) -> None:
    _enqueue_private(click, "private", {"text": text})


def _enqueue_private(click: Click, kind: str, more: dict[str, str]) -> None:
    who = click.who
    payload = {
        "channel": click.channel_id,
        "user": who.user_id,
        "response_url": click.response_url,
        **more,
    }
    key = f"slack:{kind}:{who.workspace}:{who.user_id}:{click.approval_id}"
    if _is_about_to_be_told(key, more):
        return
    with transaction.atomic():
        enqueue(
            CHANNEL,
            kind,
            key,
            payload,
            priority=FIRST,
            destination=f"@{who.user_id}",
        )


def _is_about_to_be_told(key: str, more: dict[str, str]) -> bool:
    """Whether the same answer waits already: somebody who presses ten times hears it once."""
    waiting = OutboxMessage.objects.filter(dedupe_key=key, state=OutboxMessage.State.PENDING).first()
    return waiting is not None and more.items() <= waiting.payload.items()


def _remember(kind: str) -> None:
    """Note that Slack reaches us, at most every half minute."""
    at = now()
    if not _HEARD.rows(at - REMEMBERED_FOR):
        SlackCallback.objects.update_or_create(pk=1, defaults={"received_at": at, "kind": kind})
