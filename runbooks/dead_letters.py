"""Dead letters of every kind: put on the list, retried, discarded, one by one or many at once."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from handrail.alerts.actions import retry_delivery
from handrail.alerts.models import Delivery
from handrail.alerts.processing import list_dead as list_delivery
from handrail.letters import actions as letters
from handrail.letters.models import DeadLetter
from handrail.letters.queries import letters_visible_to
from handrail.outbox.actions import retry_message
from handrail.outbox.models import OutboxMessage
from handrail.outbox.sending import list_dead as list_message
from handrail.shared.actors import Actor
from handrail.shared.errors import Conflict, HandrailError, Invalid, NotFound
from handrail.shared.statements.literal import literally
from runbooks import runs
from runbooks.engine import events as e
from runbooks.engine.state import COMPENSATE, Key
from runbooks.hooks import RunChange
from runbooks.language.definition import ActionStep
from runbooks.models import Run, StepRun
from runbooks.retrying import offers

Kind = DeadLetter.Kind
State = DeadLetter.State

MOST_AT_ONCE = 200
"""Letters of one bulk act."""

POISON = "poison"
"""The code of a step that was parked because it kept losing its workers."""

NOT_SEEN = "There is no such dead letter, or you may not see it."
RETRIED_WORDS = "Tried again from the list of dead letters."
_ENDED_BY_CHOICE = {"done": State.SETTLED, "retry": State.RETRIED, "fail": State.DISCARDED}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a bulk act did with one letter, in words. ``done`` is also true when it had been done before."""

    id: uuid.UUID
    done: bool
    message: str


# The list ---------------------------------------------------------------------------------------


def is_told(change: RunChange) -> bool:
    """Whether a step may have become a letter, or its letter may end."""
    return isinstance(change.event, e.StepUncertain | e.StepDecided | e.StepFailed | e.StepCancelled)


def on_run_changed(change: RunChange) -> None:
    """A step was parked, or its undoing failed: a letter. Somebody decided: the letter ends."""
    event = change.event
    if not isinstance(event, (e.StepUncertain, e.StepDecided, e.StepFailed, e.StepCancelled)):
        return
    place = Key.parse(event.key)
    if isinstance(event, e.StepDecided) and change.step_id is not None:
        letters.end(
            Kind.STEP, change.step_id, _ENDED_BY_CHOICE[event.choice], by=event.by, reason=event.reason
        )
    elif isinstance(event, e.StepUncertain) and change.step_id is not None:
        if event.error.get("code") == POISON:
            _list_step(change.run, change.step_id, _title(change), str(event.error.get("message", "")))
        return
    failed = not isinstance(event, e.StepDecided) or event.choice == "fail"
    if place.role == COMPENSATE and failed:
        undone = StepRun.objects.filter(
            run=change.run, node=place.node, iteration=place.iteration, role="step"
        )
        row_id = undone.values_list("pk", flat=True).first()
        if row_id is not None:
            _list_step(change.run, row_id, _title(change), _why_not_undone(change, event))


def _title(change: RunChange) -> str:
    return (change.step.title or change.step.id) if change.step is not None else "A step"


def _why_not_undone(change: RunChange, event: e.StepEvent) -> str:
    error = change.state.node(event.key).error
    told = error.get("message") if isinstance(error, dict) else ""
    return f"Undoing it failed: {told or change.state.node(event.key).reason or 'no reason was kept'}"


def _list_step(run: Run, step_id: uuid.UUID, title: str, why: str) -> None:
    told = f"Step “{title}” of {run.runbook.title} {run.version}"
    letters.bury(Kind.STEP, step_id, project=run.project_id, run_id=run.pk, what=told, why=why)


def find_missed(limit: int = 200) -> int:
    """List what is dead without a letter, end the letters of what is dead no more; how many. A duty of the sweeper.

    Each act keeps the list itself; this is for rows from before there was a list, and for processes of an older
    version beside this one.
    """
    return _find_unlisted(limit) + _end_outdated(limit)


def _has_letter(kind: str) -> Exists:
    return Exists(DeadLetter.objects.filter(kind=kind, ref=OuterRef("pk")))


def _find_unlisted(limit: int) -> int:
    found = 0
    deliveries = Delivery.objects.filter(verdict=Delivery.Verdict.DEAD).exclude(_has_letter(Kind.DELIVERY))
    for delivery in deliveries.select_related("source").defer("body")[:limit]:
        list_delivery(delivery, delivery.error)
        found += 1
    messages = OutboxMessage.objects.filter(state=OutboxMessage.State.DEAD).exclude(_has_letter(Kind.MESSAGE))
    for message in messages[:limit]:
        list_message(message, message.last_error)
        found += 1
    for step in (
        _dead_steps().exclude(_has_letter(Kind.STEP)).select_related("run__runbook", "run__version")[:limit]
    ):
        told = (step.error or {}).get("message", "")
        _list_step(step.run, step.pk, step.title or step.node, str(told or "It could not be undone."))
        found += 1
    return found


def _dead_steps() -> QuerySet[StepRun]:
    """The steps that were parked, and those whose undoing failed."""
    return StepRun.objects.filter(
        # A block whose undoing failed has its letters through the steps in it.
        Q(error__code=POISON) | Q(state=StepRun.State.COMPENSATION_FAILED, kind=ActionStep.kind),
        state__in=literally(StepRun.State.UNCERTAIN, StepRun.State.COMPENSATION_FAILED),
    )


def _end_outdated(limit: int) -> int:
    dead = {
        Kind.DELIVERY: Delivery.objects.filter(pk=OuterRef("ref"), verdict=Delivery.Verdict.DEAD),
        Kind.MESSAGE: OutboxMessage.objects.filter(pk=OuterRef("ref"), state=OutboxMessage.State.DEAD),
        Kind.STEP: _dead_steps().filter(pk=OuterRef("ref")),
    }
    ended = 0
    for kind, rows in dead.items():
        outdated = DeadLetter.objects.filter(kind=kind, state=State.OPEN).exclude(Exists(rows))
        for ref in list(outdated.values_list("ref", flat=True)[:limit]):
            ended += letters.end(
                kind, ref, State.SETTLED, by="Handrail", reason="It is no dead letter any more."
            )
    return ended


# Acts -------------------------------------------------------------------------------------------


def retry(letter: DeadLetter, *, actor: Actor, reason: str = "") -> str:
    """Take it up again; in words, what happens now. Twice is once.

    A delivery is read again as it was stored, a message is due again, a parked step is tried again as a decision
    about it (:func:`runbooks.runs.decide_step`). Raises Conflict for what can only be put right by hand.
    """
    if not letter.is_open and letter.state != State.DISCARDED:
        letters.authorize_acting(letter, actor)
        return f"It was taken up again already, by {letter.ended_by}."
    try:
        return _RETRY[letter.kind](letter, actor, reason)
    except Conflict:
        # Somebody was faster: then it is done.
        now = DeadLetter.objects.get(pk=letter.pk)
        if now.state == State.RETRIED:
            return f"It was taken up again already, by {now.ended_by}."
        raise


def retry_refusals(open_letters: Sequence[DeadLetter]) -> Mapping[uuid.UUID, str]:
    """Why :func:`retry` would refuse these open letters now, by their ids, in words; empty where it would not.

    In five queries at most, however many there are.
    """
    refs = {kind: [letter.ref for letter in open_letters if letter.kind == kind] for kind in Kind.values}
    there: set[uuid.UUID] = set()
    if refs[Kind.DELIVERY]:
        there |= set(Delivery.objects.filter(pk__in=refs[Kind.DELIVERY]).values_list("pk", flat=True))
    if refs[Kind.MESSAGE]:
        there |= set(OutboxMessage.objects.filter(pk__in=refs[Kind.MESSAGE]).values_list("pk", flat=True))
    steps = _step_refusals(refs[Kind.STEP]) if refs[Kind.STEP] else {}
    return {
        letter.pk: steps.get(letter.ref, _GONE)
        if letter.kind == Kind.STEP
        else ("" if letter.ref in there else _GONE)
        for letter in open_letters
    }


def _step_refusals(ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, str]:
    rows = list(StepRun.objects.filter(pk__in=ids).select_related("run__version").defer("inputs", "outputs"))
    doubtful = offers([row for row in rows if row.state == StepRun.State.UNCERTAIN])
    found = {row.pk: "" for row in rows} | {
        step_id: offer.refusal or offer.owner_may_act for step_id, offer in doubtful.items()
    }
    return found | {row.pk: _BY_HAND for row in rows if row.state == StepRun.State.COMPENSATION_FAILED}


def _retry_delivery(letter: DeadLetter, actor: Actor, _reason: str) -> str:
    delivery = Delivery.objects.select_related("source__project").filter(pk=letter.ref).first()
    if delivery is None:
        raise NotFound(_GONE)
    retry_delivery(delivery, actor=actor)
    return "It is read again as it was stored."


def _retry_message(letter: DeadLetter, actor: Actor, _reason: str) -> str:
    message = OutboxMessage.objects.filter(pk=letter.ref).first()
    if message is None:
        raise NotFound(_GONE)
    retry_message(message, actor=actor)
    return "It is due again."


def _retry_step(letter: DeadLetter, actor: Actor, reason: str) -> str:
    step = StepRun.objects.filter(pk=letter.ref).first()
    if step is None:
        raise NotFound(_GONE)
    if step.state == StepRun.State.COMPENSATION_FAILED:
        raise Conflict(_BY_HAND)
    runs.decide_step(step.pk, actor=actor, choice="retry", reason=reason or RETRIED_WORDS)
    return "The step is tried again."


_BY_HAND = (
    "An undoing that failed is not tried again by itself: put things right by hand, then discard this "
    "and say what you did."
)
_GONE = "What it was about is not kept any more: nothing is left to try again. It can be discarded."
_RETRY: dict[str, Callable[[DeadLetter, Actor, str], str]] = {
    Kind.DELIVERY.value: _retry_delivery,
    Kind.MESSAGE.value: _retry_message,
    Kind.STEP.value: _retry_step,
}


def discard(letter: DeadLetter, *, actor: Actor, reason: str) -> str:
    """Say that nothing will be done about it, and why; in words, what that meant. Twice is once.

    A parked step is taken as failed, so that its run goes on. What is discarded stays readable.
    """
    words = letters.check_reason(reason)
    if letter.kind == Kind.STEP and letter.is_open:
        step = StepRun.objects.filter(pk=letter.ref, state=StepRun.State.UNCERTAIN).first()
        if step is not None:
            runs.decide_step(step.pk, actor=actor, choice="fail", reason=words)
            return "The step is taken as failed: its run goes on."
    letters.discard(letter, actor=actor, reason=words)
    return "Discarded. It stays readable."


def act_on_many(
    letter_ids: Collection[uuid.UUID], *, actor: Actor, act: Callable[[DeadLetter], str]
) -> list[Answer]:
    """Do ``act`` with each of them, each in a transaction of its own: one that is refused keeps no other back.

    Raises Invalid for none and for more than MOST_AT_ONCE. A letter that the actor does not see is "not there".
    """
    wanted = list(dict.fromkeys(letter_ids))
    if not wanted:
        raise Invalid("Choose at least one dead letter.")
    if len(wanted) > MOST_AT_ONCE:
        raise Invalid(f"At most {MOST_AT_ONCE} dead letters can be acted on at once.")
    found = {letter.pk: letter for letter in letters_visible_to(actor).filter(pk__in=wanted)}
    answers = []
    for letter_id in wanted:
        letter = found.get(letter_id)
        if letter is None:
            answers.append(
                Answer(letter_id, done=False, message="There is no such dead letter, or you may not see it.")
            )
            continue
        try:
            with transaction.atomic():
                answers.append(Answer(letter_id, done=True, message=act(letter)))
        except HandrailError as error:
            answers.append(Answer(letter_id, done=False, message=error.message))
    return answers
