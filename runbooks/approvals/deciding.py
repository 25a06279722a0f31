"""The one function by which people decide, whatever the channel.

Lock order: run, approval, audit head. A decision, its vote, the step that it releases and its audit entry
are one transaction; whoever comes later is told who decided. A timeout never approves.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from django.db import transaction

from handrail.accounts.models import Team, User
from handrail.accounts.permissions import Permission, allows, authorize, remembered
from handrail.audit.actions import record
from handrail.shared.actors import Actor, ActorKind
from handrail.shared.clock import database_now
from handrail.shared.errors import Conflict, Forbidden, Invalid, NotFound
from handrail.shared.failpoints import reach
from handrail.shared.statements.compiled import Compiled
from handrail.shared.statements.writing import insert
from runbooks import quorum
from runbooks.approvals import closing
from runbooks.approvals.rows import locked, read
from runbooks.hooks import approval_changed
from runbooks.language.definition import ApprovalStep, InputSpec, Json
from runbooks.language.inputs import check_inputs
from runbooks.models import Approval, Run, Vote
from runbooks.versions import definition_of

LONGEST_REASON = 1000
"""Characters of a reason."""

_CLOSED = {
    Approval.State.APPROVED: "approved",
    Approval.State.REJECTED: "denied",
    Approval.State.EXPIRED: "expired",
    Approval.State.VOID: "void and asked anew",
    Approval.State.CANCELLED: "cancelled with its run",
}

_VOTE = Compiled(lambda approval, user: Vote.objects.order_by().filter(approval=approval, user=user))
_ACCOUNT = Compiled(lambda user: User.objects.order_by().filter(pk=user))
_TEAMS = Compiled(
    lambda user, project: (
        Team.objects.filter(project=project, members=user).order_by("slug").values_list("slug", flat=True)
    )
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether somebody may decide, and why not, in words for that very person."""

    allowed: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class DecisionResult:
    """What a vote led to. ``decided``: this vote closed the approval. ``message`` is for the voter."""

    approval: Approval
    decided: bool
    message: str


def decide(
    approval_id: uuid.UUID,
    *,
    actor: Actor,
    decision: str,
    reason: str = "",
    inputs: Mapping[str, Json] | None = None,
) -> DecisionResult:
    """Cast a vote; the same function for web, Slack, API and command line.

    ``decision`` is ``approve`` or ``deny``; a denial needs a reason. Raises NotFound for an approval that the
    actor may not see, Forbidden for one who may not decide it, Conflict when it is decided already (or the
    actor has voted), Invalid for a missing reason or inputs that do not fit.
    """
    if decision not in Vote.Decision.values:
        raise Invalid(f"A decision is approve or deny, not {decision!r}.")
    reason = reason.strip()
    if len(reason) > LONGEST_REASON:
        raise Invalid(f"The reason has {len(reason)} characters; {LONGEST_REASON} are kept. Shorten it.")
    run_id = _refuse_latecomer(approval_id, actor)
    with transaction.atomic():
        approval = locked(approval_id, run_id)
        with remembered():  # both are one look at their roles
            authorize(actor, Permission.VIEW, approval)
            barred = _why_barred(approval, actor)
        _refuse_closed(approval)
        now = database_now()
        if approval.expires_at is not None and approval.expires_at <= now:
            raise Conflict(
                f"This approval expired at {approval.expires_at:%H:%M:%S} UTC; nothing was approved."
            )
        votes = quorum.read_votes(approval)
        earlier = next((vote for vote in votes if vote.user_id == actor.user_id), None)
        if _is_valid(earlier):
            raise Conflict(f"You have already voted. {quorum.needs(approval)}.")
        if barred:
            raise Forbidden(barred)
        voter = _voter(actor)
        teams = list(_slugs_of_teams(voter, approval))
        if why := _why_not_asked(approval, voter, teams):
            raise Forbidden(why)
        if decision == Vote.Decision.DENY and not reason:
            raise Invalid("Say why you deny it: the people who asked will read it.")
        values = _checked_inputs(approval, decision, inputs or {})
        vote = earlier or Vote(approval=approval, user=voter)
        vote.user_name, vote.channel, vote.teams = actor.name, actor.channel.value, teams
        vote.decision, vote.reason, vote.inputs = decision, reason, values
        vote.at, vote.void_reason = now, ""
        # The approval is locked, so that nobody else has inserted one since: no savepoint is needed.
        if earlier is None:
            insert(vote)
        else:
            vote.save(force_update=True)
        # Cast just now, it is the last one, also where a void one of the same person stood before others.
        quorum.keep_votes(approval, [*(other for other in votes if other is not earlier), vote])
        result = _count(approval, vote, actor)
        reach("approval.before_commit")
    reach("approval.after_commit")
    return result


def may_decide(approval: Approval, actor: Actor) -> Verdict:
    """Whether the actor may decide this approval now. Identity decides here, never a superuser flag."""
    why = _why_barred(approval, actor)
    if not why and _is_valid(_vote_of(approval, actor)):
        why = "You have already voted."
    if not why:
        voter = _voter(actor)
        why = _why_not_asked(approval, voter, _slugs_of_teams(voter, approval))
    return Verdict(allowed=not why, why=why)


def _why_barred(approval: Approval, actor: Actor) -> str:
    """Why the actor may decide nothing here, by role or by duty; else empty."""
    if actor.kind is ActorKind.SYSTEM or actor.user_id is None:
        return "Only people approve."
    if not allows(actor, Permission.APPROVE, approval):
        asked = quorum.asked_in_words(approval)
        return f"You do not have the approver role in this project. This one is for {asked}."
    if str(actor.user_id) in approval.excluded:
        return "You started this run, or edited what it runs: somebody else has to look at it."
    return ""


def _why_not_asked(approval: Approval, voter: User, teams: Iterable[str]) -> str:
    """Why this account is not among those who are asked; else empty."""
    if voter.kind != User.Kind.PERSON:
        return "Only people approve; this is a service account."
    if not quorum.is_asked(approval, voter.username, teams):
        return f"This one is for {quorum.asked_in_words(approval)}."
    return ""


def _refuse_latecomer(approval_id: uuid.UUID, actor: Actor) -> uuid.UUID:
    """Answer whoever comes after the decision without any lock; of an approval that is open, the id of its run.

    A crowd that presses the button would queue for the run's row, each with a connection of the pool in hand.
    """
    approval = read(approval_id)
    authorize(actor, Permission.VIEW, approval)
    _refuse_closed(approval)
    return approval.run_id


def _refuse_closed(approval: Approval) -> None:
    if approval.state == Approval.State.PENDING:
        return
    words = _CLOSED[Approval.State(approval.state)]
    when = f" at {approval.decided_at:%H:%M:%S} UTC" if approval.decided_at else ""
    by = f" by {approval.decided_by} ({approval.decided_channel})" if approval.decided_by else ""
    raise Conflict(f"Already {words}{by}{when}.", state=approval.state)


def _checked_inputs(approval: Approval, decision: str, given: Mapping[str, Json]) -> dict[str, Json]:
    """The typed answers of an approver; a denial needs none."""
    if decision == Vote.Decision.DENY:
        return {}
    values, problems = check_inputs(input_specs(approval), dict(given))
    if problems:
        raise Invalid(
            "Some answers are missing or do not fit.",
            problems=[{"path": problem.name, "message": problem.message} for problem in problems],
        )
    return dict(values)


def _vote_of(approval: Approval, actor: Actor) -> Vote | None:
    """Their vote, also one that is void."""
    return _VOTE.first(approval.pk, actor.user_id) if actor.user_id is not None else None


def _is_valid(vote: Vote | None) -> bool:
    """Whether it stands. One that is void may be cast again by whoever has regained their standing."""
    return vote is not None and not vote.void_reason


def _slugs_of_teams(voter: User, approval: Approval) -> Iterator[str]:
    """Asked of the database only by whoever looks at them; in alphabetical order."""
    yield from _TEAMS.all(voter.pk, approval.project_id)


def _voter(actor: Actor) -> User:
    """The account that decides; NotFound when it is gone."""
    voter = _ACCOUNT.first(actor.user_id) if actor.user_id is not None else None
    if voter is None:
        raise NotFound("Your account no longer exists.")
    return voter


def _count(approval: Approval, vote: Vote, actor: Actor) -> DecisionResult:
    """Close the approval when the vote decides it, else tell what is missing."""

    def close(state: Approval.State) -> None:
        closing.close(approval, state, vote.reason, at=vote.at, by=vote.user_name, channel=vote.channel)

    decided = True
    lost = quorum.recheck(approval, sure_of=vote)
    if vote.decision == Vote.Decision.DENY:
        close(Approval.State.REJECTED)
        message = "Denied. Nothing of it will run."
    elif missing := quorum.needs(approval):
        decided = False
        approval_changed(approval)
        message = f"Your approval counts. {missing}."
    else:
        close(Approval.State.APPROVED)
        held = approval.run.state == Run.State.PAUSED
        message = "Approved. It runs when the run is resumed." if held else "Approved. It runs now."
    record(
        actor,
        "approval.decided",
        approval,
        data={
            "run": str(approval.run_id),
            "decision": vote.decision,
            "closed": decided,
            "digest": approval.digest,
            "reason": vote.reason,
            "void": closing.in_words(lost),
        },
    )
    return DecisionResult(approval=approval, decided=decided, message=message)


def input_specs(approval: Approval) -> tuple[InputSpec, ...]:
    """The typed answers that an approver is asked for, from the run's pinned version."""
    step = definition_of(approval.run.version).step(approval.step.node)
    return step.inputs if isinstance(step, ApprovalStep) else ()
