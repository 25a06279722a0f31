"""Escalation of approvals: nobody has answered for a while, so more people are asked, in more ways. It never approves.

Each escalation is a row with a time. It carries the approval's id: when that is decided by then, it does nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from handrail.audit.actions import record
from handrail.incidents import timeline
from handrail.shared.actors import Actor
from handrail.shared.clock import database_now
from handrail.shared.hooks import Hook
from handrail.shared.links import approval_url
from runbooks import quorum
from runbooks.hooks import approval_changed
from runbooks.language.definition import ApprovalStep
from runbooks.language.durations import words
from runbooks.models import Approval, Escalation, Run

SWEEPER = Actor.system("sweeper")

BATCH = 50


@dataclass(frozen=True, slots=True)
class Escalated:
    """An approval is escalated. ``to``: such as ``{"slack": "#dba"}``. ``text`` is the reminder, with what happens
    if nobody answers, and when.
    """

    approval: Approval
    to: Mapping[str, str]
    text: str


approval_escalated: Hook[Escalated] = Hook("approval_escalated")
"""Told in the transaction of the escalation, while the approval and its run are locked."""


def plan_escalations(approval: Approval, step: ApprovalStep, *, at: datetime) -> None:
    """Write the times at which more people will be asked; in the transaction that asks the first."""
    Escalation.objects.bulk_create(
        Escalation(approval=approval, n=n, to=dict(one.to), due_at=at + timedelta(seconds=one.after))
        for n, one in enumerate(step.escalate)
    )


def escalate_due() -> int:
    """Carry out what is due; the duty of the sweeper. How many approvals were escalated."""
    due = Escalation.objects.filter(done_at=None, due_at__lte=database_now()).order_by("due_at")
    return sum(_escalate(row) for row in list(due.select_related("approval")[:BATCH]))


@transaction.atomic
def _escalate(row: Escalation) -> bool:
    Run.objects.select_for_update().get(pk=row.approval.run_id)
    approval = Approval.objects.select_for_update().select_related("project").get(pk=row.approval_id)
    now = database_now()
    if not Escalation.objects.filter(pk=row.pk, done_at=None).update(done_at=now):
        return False
    expired = approval.expires_at is not None and approval.expires_at <= now
    if approval.state != Approval.State.PENDING or expired:
        return False
    approval.run = Run.objects.select_related("incident", "runbook").get(pk=approval.run_id)
    _widen(approval, row.to)
    text = reminder(approval, now)
    approval_escalated(Escalated(approval, row.to, text))
    # Every card shows who is asked now.
    approval_changed(approval)
    told = ", ".join(f"{how} {whom}" for how, whom in row.to.items())
    if approval.run.incident is not None:
        timeline.add(
            approval.run.incident,
            "approval.escalated",
            f"{approval.prompt[:300]}: nobody has decided, asked further: {told}",
            actor=SWEEPER,
            at=now,
            data={"approval": str(approval.pk), "run": str(approval.run_id), "to": dict(row.to)},
            subject=approval,
            url=approval_url(approval.pk),
            dedupe_key=f"approval:{approval.pk}:escalated:{row.n}",
        )
    record(SWEEPER, "approval.escalated", approval, data={"run": str(approval.run_id), "to": dict(row.to)})
    return True


def _widen(approval: Approval, to: Mapping[str, str]) -> None:
    """Let a further team decide, where the runbook says so. Without any team or person, all approvers may already."""
    team, policy = to.get("team"), dict(approval.policy)
    teams = policy.get("teams", [])
    if not team or team in teams or not (teams or policy.get("users")):
        return
    policy["teams"] = [*teams, team]
    approval.policy = policy
    approval.save(update_fields=["policy"])


def reminder(approval: Approval, now: datetime) -> str:
    """What those who are asked now read: since when, what is missing, and what happens if nobody answers, and when."""
    waited = words(round((now - approval.created_at).total_seconds()))
    ends = ""
    if approval.expires_at is not None:
        then = "it is rejected and the run fails" if approval.on_timeout == "fail" else "it is rejected"
        ends = (
            f" If nobody answers by {approval.expires_at:%H:%M} UTC, {then}; nothing is approved by waiting."
        )
    return f"Undecided for {waited}: {approval.prompt[:500]} {quorum.needs(approval)}.{ends}"
