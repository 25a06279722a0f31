"""Which runbooks, runs and approvals somebody may see, and which approvals wait for them."""

from __future__ import annotations

import uuid

from django.db.models import Exists, OuterRef, Q, QuerySet

from handrail.accounts.models import Team, User
from handrail.accounts.permissions import Permission, visible_projects
from handrail.shared.actors import Actor
from handrail.shared.clock import now
from handrail.shared.errors import NotFound
from runbooks.models import Approval, Run, Runbook, Vote
from runbooks.quorum import is_asked

MOST_PENDING = 500
"""Pending approvals that are looked at for one person: more is a storm, and a list of 500 helps nobody."""


def runbooks_visible_to(actor: Actor) -> QuerySet[Runbook]:
    """The runbooks of the projects that the actor sees, by name, with project and live version."""
    runbooks = Runbook.objects.filter(project__in=visible_projects(actor), archived_at=None)
    return runbooks.select_related("project", "live__author", "live__publisher").order_by(
        "title", "project__slug", "pk"
    )


def runs_visible_to(actor: Actor) -> QuerySet[Run]:
    """The runs of the projects that the actor sees, newest first."""
    runs = Run.objects.filter(project__in=visible_projects(actor))
    return runs.select_related("project", "runbook", "version", "incident", "alert", "parent_step").order_by(
        "-created_at", "-pk"
    )


def approvals_visible_to(actor: Actor) -> QuerySet[Approval]:
    """The approvals of the projects that the actor sees, newest first, with run, votes and incident."""
    approvals = Approval.objects.filter(project__in=visible_projects(actor))
    return (
        approvals.select_related(
            "project", "step", "run__runbook__live", "run__version", "run__incident", "run__alert"
        )
        .prefetch_related("votes")
        .order_by("-created_at", "-pk")
    )


def runbook_visible_to(actor: Actor, project_slug: str, slug: str) -> Runbook:
    """The runbook at an address, or NotFound."""
    runbook = runbooks_visible_to(actor).filter(project__slug=project_slug, slug=slug).first()
    if runbook is None:
        raise NotFound("There is no such runbook, or you may not see it.")
    return runbook


def run_visible_to(actor: Actor, run_id: uuid.UUID) -> Run:
    """The run with this id, or NotFound."""
    with_parent = ("runbook__live", "starter", "parent_step__run__runbook")
    run = runs_visible_to(actor).select_related(*with_parent).filter(pk=run_id).first()
    if run is None:
        raise NotFound("There is no such run, or you may not see it.")
    return run


def approval_visible_to(actor: Actor, approval_id: uuid.UUID) -> Approval:
    """The approval with this id, or NotFound."""
    approval = approvals_visible_to(actor).filter(pk=approval_id).first()
    if approval is None:
        raise NotFound("There is no such approval, or you may not see it.")
    return approval


def approvals_for(actor: Actor) -> list[Approval]:
    """The pending approvals that the actor may decide now, the most urgent first.

    Says the same as :func:`runbooks.approvals.may_decide` for each of them, in four queries for all.
    """
    user = User.objects.filter(pk=actor.user_id, is_active=True).first() if actor.user_id else None
    if user is None or user.kind != User.Kind.PERSON:
        return []
    pending = (
        approvals_visible_to(actor)
        .filter(project__in=visible_projects(actor, Permission.APPROVE), state=Approval.State.PENDING)
        .filter(Q(expires_at=None) | Q(expires_at__gt=now()))
        .exclude(Exists(Vote.objects.filter(approval=OuterRef("pk"), user=user, void_reason="")))
        .order_by("expires_at", "created_at")[:MOST_PENDING]
    )
    teams = set(Team.objects.filter(members=user).values_list("project_id", "slug"))
    return [approval for approval in pending if _asks(approval, user, teams)]


def _asks(approval: Approval, user: User, teams: set[tuple[uuid.UUID, str]]) -> bool:
    """Whether this person is among those asked, and not excluded."""
    if str(user.pk) in approval.excluded:
        return False
    mine = {slug for project, slug in teams if project == approval.project_id}
    return is_asked(approval, user.username, mine)
