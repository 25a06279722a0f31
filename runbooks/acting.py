"""A run for somebody who wants to act on it: seen, allowed, under its lock; and the reason that they give."""

from __future__ import annotations

import uuid

from handrail.accounts.permissions import Permission, authorize
from handrail.shared.actors import Actor
from handrail.shared.errors import Conflict, Invalid, NotFound
from handrail.shared.retention import Removed
from runbooks.execution.live import LiveRun, Unreadable, look_into
from runbooks.execution.transition import Transition, open_transition
from runbooks.models import Run

LONGEST_REASON = 500


def opened_run(run_id: uuid.UUID, actor: Actor) -> Transition:
    """The run under its lock. Needs ``respond``; Conflict where this process does not understand the run."""
    run = visible_run(run_id, actor)
    authorize(actor, Permission.RESPOND, run)
    try:
        return open_transition(run.pk)
    except Unreadable as error:
        if error.code == Removed.code:
            raise Conflict(error.message, code=error.code) from error
        raise Conflict(f"{error} Do it where the newer Handrail runs.", code=error.code) from error


def visible_run(run_id: uuid.UUID, actor: Actor) -> Run:
    """The run, for somebody who may see it; NotFound otherwise."""
    run = Run.objects.select_related("project").filter(pk=run_id).first()
    if run is None:
        raise NotFound("There is no such run, or you may not see it.")
    authorize(actor, Permission.VIEW, run)
    return run


def read_run(run_id: uuid.UUID, actor: Actor) -> LiveRun:
    """The run and its history, without any lock, for somebody who may see it. Raises NotFound, Unreadable."""
    run = Run.objects.select_related("project", "version", "runbook").filter(pk=run_id).first()
    if run is None:
        raise NotFound("There is no such run, or you may not see it.")
    authorize(actor, Permission.VIEW, run)
    return look_into(run)


def given_reason(reason: str, needed: str) -> str:
    """The reason as it is kept. Invalid, with ``needed`` for the person, when there is none."""
    kept = reason.strip()[:LONGEST_REASON]
    if not kept:
        raise Invalid(needed)
    return kept
