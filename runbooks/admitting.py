"""Lets pending runs begin: when their time comes, when a place is free, when whatever held them lets go.

A run that ends marks those that wait for its place in its own commit, and looks at them after it; the sweeper looks
at what was marked, so that nothing is lost with the process. Nobody holds two runs' locks while waiting for one: rows
that somebody else is looking at are passed over, because who has them decides by what is true then.
"""

from __future__ import annotations

import uuid
from dataclasses import replace

import structlog
from django.db import transaction

from handrail.accounts.actors import actor_of_user
from handrail.accounts.permissions import Permission, holders
from handrail.audit.actions import record
from handrail.shared.actors import Actor, Channel
from handrail.shared.clock import database_now
from handrail.shared.errors import Conflict, HandrailError, Invalid
from handrail.shared.failpoints import reach
from handrail.shared.ids import short
from handrail.shared.statements.writing import Lost
from runbooks import runs
from runbooks.engine import events as e
from runbooks.execution.admission import (
    SLOT,
    Attached,
    Refused,
    Verdict,
    Waits,
    decide,
    first_waiting,
    lock_places,
)
from runbooks.execution.advancing import advance
from runbooks.execution.auditing import ENGINE
from runbooks.execution.live import Unreadable
from runbooks.execution.recover import each
from runbooks.execution.starting import begun, held
from runbooks.execution.transition import Transition, open_transition
from runbooks.hooks import RunChange
from runbooks.models import Run
from runbooks.refusals import tell

log = structlog.get_logger(__name__)

BATCH = 100
"""How many pending runs one round of the duty looks at."""

WOKEN = 5
"""How many of those that wait for a place are looked at when one is free; each that begins or ends wakes more."""

BY = "admission"


def is_told(change: RunChange) -> bool:
    """Whether a place may become free, or is waited for."""
    return isinstance(change.event, e.RunFinished | e.RunHeld)


def on_run_changed(change: RunChange) -> None:
    """The ear at ``run_changed``: places become free, and a run that replaces others has them stopped."""
    event, run = change.event, change.run
    if isinstance(event, e.RunFinished) and run.concurrency_key:
        _wake_waiting(run)
    elif isinstance(event, e.RunHeld):
        if change.state.n > 1 and event.code != SLOT and run.concurrency_key:
            # It waits for something else now: those behind it need not.
            _wake_waiting(run)
        if event.code == SLOT:
            _look_later(run.pk)


def _look_later(run_id: uuid.UUID) -> None:
    """After the commit; by a function that has a name: Django asks for it when it logs what went wrong there."""
    transaction.on_commit(lambda: look(run_id), robust=True)


def _wake_waiting(run: Run) -> None:
    """Mark the first that wait for the run's place, and look at them after the commit."""
    lock_places(run)
    first = first_waiting(run).select_for_update(skip_locked=True, of=("self",), no_key=True)
    found = list(first.values_list("pk", flat=True)[:WOKEN])
    if not found:
        return
    Run.objects.filter(pk__in=found).update(look_at=database_now())
    for run_id in found:
        _look_later(run_id)


def admit_due() -> int:
    """Look at the pending runs whose time has come, the most urgent first; the sweeper's duty. How many began."""
    due = Run.objects.filter(
        state=Run.State.PENDING, look_at__lte=database_now(), engine_schema__in=e.SUPPORTED_SCHEMAS
    )
    found = list(due.order_by("priority", "look_at").values_list("pk", flat=True)[:BATCH])
    return sum(each(look, run_id) for run_id in found)


def look(run_id: uuid.UUID) -> bool:
    """Let a pending run begin if it may; whether it did. Anybody may look, at any time."""
    try:
        with transaction.atomic():
            opened = open_transition(run_id)
            if opened.state.started_at is not None or opened.state.ended:
                return False
            verdict = _decide(opened)
            _settle(opened, verdict)
            reach("admit.before_commit")
    except (Unreadable, Invalid, Lost) as refusal:
        log.info("run_not_admitted", run=str(run_id), reason=str(refusal))
        return False
    reach("admit.after_commit")
    if isinstance(verdict, Waits):
        for other in verdict.replaces:
            _replace(other, opened.live.run)
        return False
    return not isinstance(verdict, Refused | Attached)


def _decide(opened: Transition) -> Verdict:
    run = opened.live.run
    standing = holders(run.project, Permission.RESPOND)
    if run.starter_id is None or not standing.filter(pk=run.starter_id).exists():
        return Refused("permission_denied", f"{run.starter_name} may no longer start runs in this project.")
    return decide(run, opened.live.definition, opened.now)


def _settle(opened: Transition, verdict: Verdict) -> None:
    """Do what was decided, in the same transaction."""
    run, pins = opened.live.run, opened.state.pins
    if isinstance(verdict, Waits):
        held(opened, verdict, {})
        opened.commit()
        return
    if isinstance(verdict, Refused | Attached):
        opened.record(e.CancelRequested(at=opened.now, by=BY, reason=verdict.reason[:500]))
        advance(opened)
        opened.commit()
        if isinstance(verdict, Refused) and verdict.pages:
            tell(run, verdict.code, verdict.reason)
        record(ENGINE, "run.refused", run, data={"reason": verdict.reason})
        return
    begun(opened, pins)
    advance(opened)
    opened.commit()
    record(ENGINE, "run.started", run, data={"runbook": run.runbook.slug, "version": run.version.number})


def _replace(run_id: uuid.UUID, by: Run) -> None:
    """Stop a run whose place another one takes, as that one's starter."""
    try:
        runs.stop(
            run_id, actor=_starter(by), reason=f"Run {short(by.pk)} takes its place (on_conflict: replace)."
        )
    except Conflict as refusal:
        # It is over, or in its last steps: its place will be free.
        log.info("run_not_replaced", run=str(run_id), reason=str(refusal))
    except HandrailError as refusal:
        log.warning("run_not_replaced", run=str(run_id), reason=str(refusal))


def _starter(run: Run) -> Actor:
    if run.starter is None:
        return Actor.system(BY)
    actor = actor_of_user(run.starter, Channel.AUTOMATION)
    return replace(actor, on_behalf_of=f"run {short(run.pk)}")
