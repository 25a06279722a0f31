"""Approvals that end or change without a vote: by time, by the end of the run, by a changed plan, by a lost role."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime

import structlog
from django.db import Error, connection, transaction
from django.db.models import Exists, OuterRef

from handrail.audit.actions import record
from handrail.shared.actors import Actor
from handrail.shared.clock import database_now
from handrail.shared.errors import HandrailError
from handrail.shared.statements.writing import Batch
from runbooks import quorum
from runbooks.approvals.rows import locked
from runbooks.engine import events as e
from runbooks.hooks import approval_changed
from runbooks.language.definition import Json
from runbooks.models import Approval, Vote

log = structlog.get_logger(__name__)


def close(
    approval: Approval, state: Approval.State, reason: str, *, at: datetime, by: str = "", channel: str = ""
) -> None:
    """Write that it is closed, and tell of it; under the locks of its run and its own."""
    approval.state, approval.decided_at = state, at
    approval.decided_by, approval.decided_channel, approval.reason = by, channel, reason
    names = ("state", "decided_at", "decided_by", "decided_channel", "reason")
    batch = Batch()
    batch.update(Approval, approval.pk, {name: getattr(approval, name) for name in names})
    batch.execute()
    # The engine listens too: it moves the waiting step on in this very transaction.
    approval_changed(approval)


def expire_due(limit: int = 100) -> int:
    """Close the approvals whose time is over; the duty of the sweeper. Returns how many."""
    due = Approval.objects.filter(
        state=Approval.State.PENDING,
        expires_at__lte=database_now(),
        # What a newer Handrail asked, a newer sweeper closes: it goes on with the run, too.
        run__engine_schema__in=e.SUPPORTED_SCHEMAS,
    )
    return sum(
        _expire(approval_id)
        for approval_id in list(due.order_by("expires_at").values_list("pk", flat=True)[:limit])
    )


def _expire(approval_id: uuid.UUID) -> bool:
    """Close one whose time is over; one whose run this process cannot read keeps no other from its end."""
    try:
        with transaction.atomic():
            approval = locked(approval_id)
            if approval.state != Approval.State.PENDING:
                return False
            close(approval, Approval.State.EXPIRED, "Nobody decided in time.", at=database_now())
            record(Actor.system("sweeper"), "approval.expired", approval, data={"run": str(approval.run_id)})
    except (HandrailError, Error) as error:
        log.warning("approval_not_expired", approval=str(approval_id), error=str(error))
        connection.close_if_unusable_or_obsolete()
        return False
    return True


def recheck_votes() -> int:
    """Mark the votes of pending approvals whose voters lost their standing; the duty of the sweeper. Returns how many.

    A decision asks again by itself: this shows people in time that one more answer is needed.
    """
    waiting = Approval.objects.filter(
        Exists(Vote.objects.filter(approval=OuterRef("pk"), decision=Vote.Decision.APPROVE, void_reason="")),
        state=Approval.State.PENDING,
    )
    listed = list(waiting.prefetch_related("votes"))
    now = quorum.standings(listed)
    marked = 0
    for approval in listed:
        counted = (vote for vote in approval.votes.all() if vote.pk in now)
        if any(now[vote.pk] != quorum.Standing("", vote.teams) for vote in counted):
            marked += _mark_lost(approval.pk)
    return marked


@transaction.atomic
def _mark_lost(approval_id: uuid.UUID) -> int:
    approval = locked(approval_id)
    quorum.read_votes(approval)
    needed = quorum.needs(approval)
    lost = quorum.recheck(approval) if approval.state == Approval.State.PENDING else []
    if lost or quorum.needs(approval) != needed:
        approval_changed(approval)
    if lost:
        record(
            Actor.system("sweeper"),
            "approval.votes_voided",
            approval,
            data={"run": str(approval.run_id), "votes": in_words(lost)},
        )
    return len(lost)


def close_open(approval_id: str, state: Approval.State, reason: str) -> None:
    """Close a question that is still open, as ``void`` or ``cancelled``; by the engine inside its transaction."""
    for approval in Approval.objects.select_for_update().filter(pk=approval_id, state=Approval.State.PENDING):
        close(approval, state, reason, at=database_now())


def void(approval_id: str, reason: str) -> None:
    """Take back an answer whose plan has changed; called by the engine's gate inside its transaction."""
    approval = Approval.objects.select_for_update().get(pk=approval_id)
    close(approval, Approval.State.VOID, reason, at=database_now())


def lost_standing(approval: Approval) -> str:
    """Who of those that approved may no longer do so, in words, where the others are too few; else empty.

    Asked at the gate, inside its transaction; the votes that count no more are marked.
    """
    teams = {vote.pk: vote.teams for vote in quorum.read_votes(approval)}
    lost = quorum.recheck(approval)
    if not quorum.missing_votes(approval):
        return ""
    why = [f"{vote.user_name} {vote.void_reason}" for vote in lost]
    # Whoever left one of several teams counts on, but a team may be short of its own number.
    for vote in approval.votes.all():
        left = {*teams[vote.pk]}.difference(vote.teams).intersection(approval.policy.get("min_per_team", {}))
        if vote.counts and left:
            why.append(f"{vote.user_name} is no longer in {' and '.join(sorted(left))}")
    return f"{' and '.join(why)}." if why else ""


def in_words(lost: Iterable[Vote]) -> list[Json]:
    """Who lost what, for the audit trail."""
    return [f"{vote.user_name} {vote.void_reason}" for vote in lost]
