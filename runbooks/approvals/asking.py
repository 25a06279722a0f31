"""Asking people about a plan: the row, whom it is passed on to, and who may not answer it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from handrail.audit.queries import actors_on
from handrail.shared.clock import database_now
from runbooks.escalating import plan_escalations
from runbooks.hooks import approval_changed
from runbooks.language.definition import ApprovalStep, Json
from runbooks.models import Approval, Run, StepRun

EDITED_LATELY = timedelta(hours=24)
"""For so long whoever changed an alert source is an editor of the runs that its alerts start."""


@dataclass(frozen=True, slots=True)
class Question:
    """What people are asked: everything that the card shows, and the digest that binds the answer."""

    prompt: str
    plan: list[dict[str, Json]]
    digest: str
    expires_at: datetime | None


def ask(run: Run, step_run: StepRun, step: ApprovalStep, question: Question, *, at: datetime) -> Approval:
    """Open an approval for a step that waits. Called by the engine inside its transaction, which it also audits:
    the head of the trail is locked last, after the incident whose timeline tells of the question.
    """
    earlier = Approval.objects.filter(step=step_run).count()
    approval = Approval.objects.create(
        project_id=run.project_id,
        run=run,
        step=step_run,
        round=earlier + 1,
        prompt=question.prompt,
        digest=question.digest,
        plan=question.plan,
        policy={
            "teams": list(step.approvers.teams),
            "users": list(step.approvers.users),
            "min_per_team": dict(step.approvers.min_per_team),
            "on_reject": step.on_reject,
        },
        quorum=step.approvers.min,
        excluded=sorted(_excluded(run, step.approvers.exclude)),
        channels=[dict(channel) for channel in step.channels],
        on_timeout=step.on_timeout,
        expires_at=question.expires_at,
        created_at=at,
    )
    plan_escalations(approval, step, at=at)
    approval_changed(approval)
    return approval


def _excluded(run: Run, rules: Iterable[str]) -> set[str]:
    """The ids of the people who may not approve this run: its starter always, by rule those who edited
    its version since the one that was published before it.

    Whoever lately changed the source whose alert started the run has edited what runs as well.
    """
    excluded = {str(run.starter_id)} if run.starter_id else set()
    if "last_editor" not in rules:
        return excluded
    # A draft of before editors were counted has its last one.
    excluded |= {str(editor) for editor in run.version.editors}
    if run.version.author_id:
        excluded.add(str(run.version.author_id))
    if run.alert is not None:
        excluded |= actors_on("source", str(run.alert.source_id), since=database_now() - EDITED_LATELY)
    return excluded
