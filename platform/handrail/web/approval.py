"""One approval: what would run, why, what a denial means, who has voted, and the two buttons."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse

from handrail.shared.actors import Actor
from handrail.shared.errors import HandrailError, Invalid
from handrail.web.pages import after, page, shown
from handrail.web.typed_inputs import empty_form, filled_form, refused_form, typed_form
from runbooks import approvals, queries, quorum
from runbooks.models import Approval, Vote


@page("GET")
def approval(request: HttpRequest, actor: Actor, approval_id: uuid.UUID) -> HttpResponse:
    """The page that says the same as the card in the chat."""
    found = queries.approval_visible_to(actor, approval_id)
    return shown(request, "web/approvals/approval.html", _context(actor, found))


@page("POST")
def decide(request: HttpRequest, actor: Actor, approval_id: uuid.UUID) -> HttpResponse:
    """Approve or deny, with the reason and the typed answers of the form."""
    found = queries.approval_visible_to(actor, approval_id)
    form = filled_form(_specs(found), request.POST)
    decision = request.POST.get("decision", "")
    try:
        if decision == Vote.Decision.APPROVE and not form.is_valid:
            raise Invalid("Some answers are missing or do not fit.")
        result = approvals.decide(
            found.pk,
            actor=actor,
            decision=decision,
            reason=request.POST.get("reason", "").replace("\x00", ""),
            inputs=dict(form.values),
        )
    except HandrailError as error:
        # Read again: whoever was faster is shown beside the message.
        fresh = queries.approval_visible_to(actor, approval_id)
        context = {**_context(actor, fresh), "reason": request.POST.get("reason", "")}
        if decision == Vote.Decision.APPROVE:
            form = refused_form(_specs(fresh), request.POST, error)
        else:
            form = typed_form(_specs(fresh), request.POST)
        context = {**context, "form": form, "question": {**context["question"], "form": form}}
        return shown(request, "web/approvals/approval.html", context, refusal=error)
    messages.success(request, result.message)
    return after(request, f"/approvals/{found.pk}/")


def question(actor: Actor, found: Approval, steps: list[queries.StepView] | None = None) -> dict[str, Any]:
    """What ``web/approvals/question.html`` shows; ``steps`` are those of its run, where they are known."""
    votes = list(found.votes.all())
    given = found.given
    pending = found.state == Approval.State.PENDING
    return {
        "approval": found,
        "pending": pending,
        "verdict": approvals.may_decide(found, actor) if pending else None,
        "needs": quorum.needs(found),
        "votes": votes,
        "given": given,
        "places": [place < given for place in range(found.quorum)],
        "digest": f"{found.digest[:4]} {found.digest[4:8]}",
        "why": queries.circumstances(found, queries.steps_of(found.run) if steps is None else steps),
        "if_denied": queries.if_denied(found),
        "then": queries.if_nobody_answers(found),
        "irreversible": any(call.get("effect") == "irreversible" for call in found.plan),
        "form": empty_form(_specs(found)),
    }


def _context(actor: Actor, found: Approval) -> dict[str, Any]:
    run = found.run
    asked = question(actor, found)
    return {
        **asked,
        "question": asked,
        "run": run,
        "run_words": queries.state_in_words(run),
        "is_live_version": run.runbook.live_id == run.version_id,
    }


def _specs(found: Approval) -> Any:
    try:
        return approvals.input_specs(found)
    except HandrailError:
        # This process cannot read the version (an action is gone): deciding says so, the page still reads.
        return ()
