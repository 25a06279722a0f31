"""Completing: the result, the history, the next steps and (on the fast path) their claim are one commit."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
from django.db import InterfaceError, OperationalError, transaction

from handrail.shared.failpoints import reach
from handrail.shared.statements.writing import Lost
from runbooks.engine import events as e
from runbooks.engine.compensation import capture
from runbooks.engine.outcomes import Attempted, silent, unsuccessful
from runbooks.engine.sampling import judge, unread
from runbooks.engine.state import STEP, Key
from runbooks.engine.transitions import StepStatus
from runbooks.execution import circuits
from runbooks.execution.advancing import advance
from runbooks.execution.at_once import asking_nothing, is_quiet, open_at_once
from runbooks.execution.auditing import audit_refusal
from runbooks.execution.claim import take_siblings
from runbooks.execution.effect import Ended
from runbooks.execution.fate import Unanswered, Written
from runbooks.execution.gate import Work
from runbooks.execution.transition import Attempt, NeedsLock, Transition, open_transition
from runbooks.execution.worker import Me
from runbooks.language.definition import Json, WaitUntilStep
from runbooks.models import StepRun
from runbooks.steps.base import Failure, Success

DICE = random.SystemRandom()
"""Draws the jitter of retries."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Done:
    """A call, and how it ended."""

    work: Work
    ended: Ended


def complete_all(done: Sequence[Done], me: Me, *, room: int = 1, before: Written | None = None) -> list[Work]:
    """Write how calls of one run ended, as one commit, and take what comes next: at most as much as there is room for.

    A completion whose fence has moved is refused: somebody has taken the step from us, and what we did
    counts only through the idempotency key. ``room`` 0 takes nothing new: the process is ending.
    ``before`` is what an earlier try wrote whose commit was not answered: once it is there, it is not refused.
    Raises :class:`~runbooks.execution.fate.Unanswered` when that happens to this one.
    """
    ours = [one for one in done if not one.ended.lost]
    for one in done:
        if one.ended.lost:
            _refuse(one, me)
    if not ours:
        return []
    try:
        works = _written(ours, me, room, before)
    except Lost:
        if len(ours) == 1:
            _refuse(ours[0], me)
            return []
        # One of them was taken from us: each speaks for itself.
        return [work for one in ours for work in complete_all([one], me, room=0, before=before)]
    reach("complete.after_commit")
    for one in ours:
        _tell_circuit(one)
    return works


def _written(done: Sequence[Done], me: Me, room: int, before: Written | None) -> list[Work]:
    """Raises Lost when somebody has taken one of these steps from us."""
    try:
        if before is not None or len(done) > 1:
            raise NeedsLock
        return _at_once(done[0], me, room)
    except NeedsLock:
        return _under_the_lock(done, me, room, before)


def _tell_circuit(done: Done) -> None:
    work = done.work
    if work.circuit:
        run, place = work.live.run, Key.parse(work.key)
        name = f"{run.runbook.slug} / {place.node}"
        outcome = done.ended.outcome
        circuits.heard(circuits.Heard(run.project_id, work.circuit, str(work.step_id), name, outcome))


def _at_once(done: Done, me: Me, room: int) -> list[Work]:
    """Complete what could be planned without asking the database: in a single statement, unless somebody has to hear
    of it. Raises NeedsLock.
    """
    opened = open_at_once(done.work.live, done.work.key)
    with asking_nothing():
        following = _decide(opened, [done], me, room)
    if is_quiet(opened):
        reach("complete.before_commit")
        with _in_doubt([Written.of(opened, following)]):
            if not opened.write_at_once():
                raise NeedsLock
        return following
    written: list[Written] = []
    with _in_doubt(written), transaction.atomic():
        opened.commit()
        written.append(Written.by(opened.live.run, following))
        reach("complete.before_commit")
    return following


def _under_the_lock(done: Sequence[Done], me: Me, room: int, before: Written | None) -> list[Work]:
    written: list[Written] = []
    live = done[0].work.live
    with _in_doubt(written), transaction.atomic():
        opened = open_transition(live.run.pk, live)
        if before is not None and before.is_there():
            return before.resumed(me, opened.now)
        following = _decide(opened, done, me, room)
        opened.commit()
        written.append(Written.by(opened.live.run, following))
        reach("complete.before_commit")
    return following


@contextmanager
def _in_doubt(written: list[Written]) -> Iterator[None]:
    """What breaks once everything is ``written`` leaves it open whether it was committed."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        if not written:
            raise
        raise Unanswered(written[0], error) from error


def _decide(opened: Transition, done: Sequence[Done], me: Me, room: int) -> list[Work]:
    """Record the outcomes and everything that follows from them, up to the next calls of this worker."""
    for work, ended in ((one.work, one.ended) for one in done):
        if opened.state.node(work.key).status != StepStatus.EXECUTING:
            raise Lost
        opened.guards[work.key] = {"fence": work.fence, "state": ("executing",)}
        outcome = _record(opened, work, ended)
        _note_attempt(opened, work, ended, outcome, me)
    following = advance(opened, me if room else None, room=room)
    return following + take_siblings(opened, me, room=room - len(following))


def _refuse(done: Done, me: Me) -> None:
    """Somebody else has decided what became of the step; that we acted in spite of it must be known."""
    work, ended = done.work, done.ended
    outcome = "succeeded" if isinstance(ended.outcome, Success) else ended.outcome.code
    log.warning("completion_refused", step=work.key, run=str(work.live.run.pk), fence=work.fence)
    with transaction.atomic():
        _let_go(work, me)
        audit_refusal(work.live.run, work.key, fence=work.fence, worker=me.id, outcome=outcome)


def _let_go(work: Work, me: Me) -> None:
    """Say that this process does not act on the step any more: whoever decides about it need not wait for its death.

    Only as long as nobody has claimed it since: taken back, its fence is one further; claimed again, two.
    """
    mine = StepRun.objects.filter(pk=work.step_id, owner=me.id, fence__in=(work.fence, work.fence + 1))
    mine.update(owner="")


def _record(opened: Transition, work: Work, ended: Ended) -> str:
    """Append what the outcome means to the history; the word for it in the list of attempts."""
    step = work.command.step
    if isinstance(step, WaitUntilStep):
        return _record_sample(opened, work, step, ended)
    if isinstance(ended.outcome, Success):
        return _record_success(opened, work, ended.outcome)
    if ended.silent and (again := silent(_attempted(opened, work), error_data(ended.outcome))):
        opened.record(again)
        return "silent"
    return _record_failure(opened, work, ended.outcome, stopped=ended.cancelled)


def _record_success(opened: Transition, work: Work, outcome: Success) -> str:
    captured = None
    if work.command.role == STEP:
        captured = capture(opened.live.definition, work.key, opened.state, outcome.outputs)
    opened.record(
        e.StepSucceeded(at=opened.now, key=work.key, outputs=outcome.outputs or None, compensate=captured)
    )
    return "succeeded"


def _record_sample(opened: Transition, work: Work, step: WaitUntilStep, ended: Ended) -> str:
    """A sample of a `wait_until`; what will not get better by waiting fails the step."""
    outcome = ended.outcome
    if isinstance(outcome, Failure) and not outcome.retryable:
        return _record_failure(opened, work, outcome, stopped=ended.cancelled)
    if opened.state.node(work.key).cancelling:
        opened.record(e.StepCancelled(at=opened.now, key=work.key, reason=opened.state.node(work.key).reason))
        return "cancelled"
    if isinstance(outcome, Success):
        found = judge(opened.live.definition, opened.state, (work.key, step), outcome.outputs, opened.now)
    else:
        found = unread(opened.state, (work.key, step), outcome.message, opened.now)
    for event in found:
        opened.record(event)
    return "sampled"


def _record_failure(opened: Transition, work: Work, failure: Failure, *, stopped: bool) -> str:
    event = unsuccessful(
        _attempted(opened, work),
        error_data(failure),
        uncertain=failure.uncertain,
        stopped=stopped,
        random=DICE.random(),
    )
    opened.record(event)
    return _word_for(event)


def _attempted(opened: Transition, work: Work) -> Attempted:
    return Attempted(work.command, opened.state.node(work.key), work.fence, "", opened.now)


def _word_for(event: e.Event) -> str:
    """How an attempt that did not succeed is called in the list of attempts."""
    match event:
        case e.StepUncertain():
            return "uncertain"
        case e.StepCancelled():
            return "cancelled"
        case e.StepFailed(timed_out=True):
            return "timed_out"
    return "failed"


def error_data(failure: Failure) -> dict[str, Json]:
    """A failure as it stands in events and rows."""
    found: dict[str, Json] = {
        "code": failure.code,
        "message": failure.message,
        "retryable": failure.retryable,
    }
    if failure.retry_after is not None:
        found["retry_after"] = failure.retry_after
    if failure.outputs:
        found["outputs"] = failure.outputs
    return found


def _note_attempt(opened: Transition, work: Work, ended: Ended, outcome: str, me: Me) -> None:
    """One row an attempt; the samples of a wait are in the history alone."""
    if outcome == "sampled":
        return
    error = None if isinstance(ended.outcome, Success) else error_data(ended.outcome)
    attempt = Attempt(work.fence, work.attempt, me.id, work.gated_at, outcome, error)
    opened.note_attempt(work.key, attempt)
