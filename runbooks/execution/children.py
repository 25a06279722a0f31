"""What parents and children tell each other after a commit: a child that ended wakes its parent, a parent stops it."""

from __future__ import annotations

import uuid

import structlog
from django.db import transaction
from django.db.models import Q

from handrail.shared.clock import database_now
from handrail.shared.errors import Invalid
from handrail.shared.failpoints import reach
from runbooks.engine import events as e
from runbooks.engine.state import UNDO
from runbooks.engine.steering import HAND_OVER, PARENT, WITH_PARENT, following, unwanted_refusal
from runbooks.execution.advancing import advance
from runbooks.execution.live import Unreadable
from runbooks.execution.recover import BATCH, go_on
from runbooks.execution.transition import open_transition
from runbooks.hooks import RunChange
from runbooks.models import Run, StepRun

log = structlog.get_logger(__name__)


def is_told(change: RunChange) -> bool:
    """Whether it is a beginning, an end, or the end of a wish, that may concern a parent or a child."""
    event = change.event
    return isinstance(
        event, e.RunStarted | e.RunFinished | e.StepCancelRequested | e.RunPaused | e.RunResumed
    )


def on_run_changed(change: RunChange) -> None:
    """The ear at ``run_changed``."""
    event, step_id = change.event, change.run.parent_step_id
    if isinstance(event, e.RunFinished) and step_id is not None:
        # The mark that the sweeper finds if the call after the commit is lost.
        StepRun.objects.filter(pk=step_id, state=StepRun.State.EXECUTING).update(due_at=database_now())
        transaction.on_commit(lambda: _wake(step_id), robust=True)
    elif isinstance(event, e.RunStarted):
        # Its turn may have come while its parent is paused.
        if step_id is not None and Run.objects.filter(steps=step_id, state=Run.State.PAUSED).exists():
            _follow_later(change.run.pk)
    elif isinstance(event, e.StepCancelRequested):
        child = change.state.node(event.key).run
        how = UNDO if change.state.undoes else ""
        if child:
            _mark_again(uuid.UUID(child))
            transaction.on_commit(lambda: _stop(uuid.UUID(child), event.reason, how), robust=True)
    elif isinstance(event, e.RunPaused | e.RunResumed):
        for node in change.state.nodes.values():
            if node.run and node.in_flight:
                _mark_again(uuid.UUID(node.run))
                _follow_later(uuid.UUID(node.run))


def _mark_again(child: uuid.UUID) -> None:
    """The row of the parent's step was just written: of a child that has ended meanwhile it must still say so."""
    ended = StepRun.objects.filter(state=StepRun.State.EXECUTING, children__pk=child, children__is_open=False)
    ended.update(due_at=database_now())


def _follow_later(run_id: uuid.UUID) -> None:
    """After the commit; by a function that has a name: Django asks for it when it logs what went wrong there."""
    transaction.on_commit(lambda: _follow(run_id), robust=True)


def _wake(step_id: uuid.UUID) -> None:
    reach("subrun.ended")
    run_id = StepRun.objects.filter(pk=step_id).values_list("run_id", flat=True).first()
    if run_id is not None:
        go_on(run_id)


def stop_unwanted() -> int:
    """Stop the runs that their parents do not want any more; the duty of the sweeper. Returns how many."""
    unwanted = Run.objects.filter(
        is_open=True,
        cancel_requested=False,
        parent_step__cancel_requested=True,
        engine_schema__in=e.SUPPORTED_SCHEMAS,
    ).exclude(stop_how=HAND_OVER)
    found = list(unwanted.values_list("pk", "parent_step__reason", "parent_step__run__stop_how")[:BATCH])
    return sum(_stop(run_id, reason, UNDO if how == UNDO else "") for run_id, reason, how in found)


def follow_parents() -> int:
    """Pause the runs whose parents are paused, and let those go on that were paused so; a duty of the sweeper."""
    to_pause = Run.objects.filter(
        is_open=True, parent_step__run__state=Run.State.PAUSED, engine_schema__in=e.SUPPORTED_SCHEMAS
    ).exclude(
        Q(state__in=[Run.State.PENDING, Run.State.PAUSED, Run.State.CANCELLING])
        | Q(parent_step__run__stop_how=HAND_OVER)
    )
    to_resume = Run.objects.filter(
        is_open=True,
        state=Run.State.PAUSED,
        stop_how=WITH_PARENT,
        engine_schema__in=e.SUPPORTED_SCHEMAS,
    ).exclude(Q(parent_step__run__state=Run.State.PAUSED) & ~Q(parent_step__run__stop_how=HAND_OVER))
    found = [*to_pause.values_list("pk", flat=True)[:BATCH], *to_resume.values_list("pk", flat=True)[:BATCH]]
    return sum(_follow(run_id) for run_id in found)


def _follow(run_id: uuid.UUID) -> bool:
    """Pause a run with its parent, or let it go on with it; False when nothing is to be done.

    The parent is looked at under the child's lock, without its own: whoever changes it in between calls this again.
    """
    try:
        with transaction.atomic():
            opened = open_transition(run_id)
            known = Run.objects.filter(steps__children=run_id)
            parent = known.values("state", "hold_reason", "stop_how").first()
            held = parent is not None and parent["state"] == Run.State.PAUSED
            if parent is not None and parent["stop_how"] == HAND_OVER and unwanted_refusal(opened.state):
                # It is not paused but handed over, and waits for what of its children is not stopped.
                held = False
            reason = str(parent["hold_reason"]) if parent is not None else ""
            event = following(opened.state, held=held, reason=reason, at=opened.now)
            if event is None:
                return False
            opened.record(event)
            advance(opened)
            opened.commit()
    except (Unreadable, Invalid) as refusal:
        log.info("child_did_not_follow", run=str(run_id), reason=str(refusal))
        return False
    return True


def _stop(run_id: uuid.UUID, reason: str, how: str) -> bool:
    """Stop a run for its parent; False when it is over, in its last steps, or in the hands of people."""
    try:
        with transaction.atomic():
            opened = open_transition(run_id)
            if unwanted_refusal(opened.state):
                return False
            opened.record(e.CancelRequested(at=opened.now, by=PARENT, reason=reason, how=how))
            advance(opened)
            opened.commit()
    except (Unreadable, Invalid) as refusal:
        log.info("child_not_stopped", run=str(run_id), reason=str(refusal))
        return False
    return True
