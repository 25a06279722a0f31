"""Stopping a run, in one of four ways, after a look at what that would do."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from django.db import transaction

from handrail.audit.actions import record
from handrail.shared.actors import Actor
from handrail.shared.errors import Conflict, Invalid
from handrail.shared.failpoints import reach
from runbooks.acting import given_reason, opened_run, read_run
from runbooks.engine.compensation import order_of_run
from runbooks.engine.handover import remaining
from runbooks.engine.state import PENDING, STEP, UNDO, Key, NodeState
from runbooks.engine.steering import CANCEL, FREEZE, HAND_OVER, stop_refusal, stopped
from runbooks.engine.transitions import StepStatus
from runbooks.execution.advancing import advance
from runbooks.execution.live import LiveRun
from runbooks.language.definition import Json, Step
from runbooks.language.definition import Runbook as Definition
from runbooks.models import Run

HOW: Mapping[str, str] = {FREEZE: "Freeze", CANCEL: "Stop", UNDO: "Stop and undo", HAND_OVER: "Hand over"}
"""The four ways, and what people call them."""

_WHY = "Say why the run is stopped: whoever finds it half done will want to know."
S = StepStatus


@dataclass(frozen=True, slots=True)
class StopChoice:
    """One way to stop the run as it is now: what it would do, in words, and why it cannot be chosen, if so."""

    how: str
    title: str
    words: str
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class StopPreview:
    """What a stop would find: the titles of the steps that are done, in flight, reversible, not begun.

    ``reversible`` is in the order in which they would be undone, ``remaining`` what would be handed over.
    """

    done: list[str] = field(default_factory=list)
    in_flight: list[str] = field(default_factory=list)
    reversible: list[str] = field(default_factory=list)
    not_started: list[str] = field(default_factory=list)
    remaining: list[str] = field(default_factory=list)
    choices: list[StopChoice] = field(default_factory=list)


@transaction.atomic
def stop(run_id: uuid.UUID, *, actor: Actor, reason: str, how: str = CANCEL) -> Run:
    """Stop a run: nothing new starts, what executes goes on to a real outcome. Needs ``respond`` and a reason.

    ``how``: ``freeze`` leaves it there until it is resumed; ``cancel`` tells what executes to stop, and runs
    ``finally``; ``undo`` undoes the completed steps before that, the last one first; ``hand_over`` makes a checklist
    of what is left. Conflict where that is not possible now.
    """
    if how not in HOW:
        raise Invalid(f"A run is stopped by {', '.join(HOW)}, not by {how!r}.")
    opened = opened_run(run_id, actor)
    words = given_reason(reason, _WHY)
    definition = opened.live.definition
    refusal = stop_refusal(definition, opened.state, how)
    if refusal:
        raise Conflict(refusal)
    opened.record(stopped(definition, opened.state, how, by=actor.name, reason=words, at=opened.now))
    advance(opened)
    opened.commit()
    data: dict[str, Json] = {"reason": words, "how": how}
    record(actor, "run.stopped", opened.live.run, data=data)
    reach("steer.before_commit")
    transaction.on_commit(lambda: reach("steer.after_commit"))
    return opened.live.run


def preview_stop(run_id: uuid.UUID, actor: Actor) -> StopPreview:
    """What :func:`stop` would find now, and what each way would do."""
    return preview_of(read_run(run_id, actor))


def preview_of(live: LiveRun) -> StopPreview:
    """The same for a run that was read already."""
    definition, state = live.definition, live.state
    preview = StopPreview()
    by_step: dict[str, list[NodeState]] = defaultdict(list)
    for key, node in state.nodes.items():
        place = Key.parse(key)
        if place.role == STEP:
            by_step[place.node].append(node)
    for step in definition.walk():
        if not step.children():
            _place(preview, step, by_step[step.id] or [PENDING])
    preview.reversible.extend(title_of_key(definition, key) for key in order_of_run(definition, state))
    preview.remaining.extend(title_of_key(definition, key) for key in remaining(definition, state))
    preview.choices.extend(
        StopChoice(how, title, _words(definition, preview, how), stop_refusal(definition, state, how))
        for how, title in HOW.items()
    )
    return preview


def _place(preview: StopPreview, step: Step, nodes: list[NodeState]) -> None:
    """Put a step where it belongs; one that is done for several items says for how many."""
    lists: tuple[tuple[list[str], Callable[[NodeState], bool]], ...] = (
        (preview.not_started, lambda node: node.status == S.PENDING),
        (preview.in_flight, lambda node: node.in_flight),
        (preview.done, lambda node: node.ended and node.status != S.SKIPPED),
    )
    for titles, fits in lists:
        if count := sum(fits(node) for node in nodes):
            titles.append((step.title or step.id) + (f" ({count} times)" if len(nodes) > 1 else ""))


def title_of_key(definition: Definition, key: str) -> str:
    """What people read of a step, with its item as they count: ``Shift traffic, item 3``."""
    place = Key.parse(key)
    step = definition.step(place.node)
    item = ".".join(str(int(n) + 1) for n in place.iteration.split(".")) if place.iteration else ""
    return (step.title or step.id) + (f", item {item}" if item else "")


def _words(definition: Definition, preview: StopPreview, how: str) -> str:
    """What one way would do, in a sentence or two."""
    flight = len(preview.in_flight)
    executing = f" What is in flight ({flight}) goes on to its outcome." if flight else ""
    last = " Then what always runs in the end." if definition.finally_ else ""
    if how == FREEZE:
        return f"Nothing new starts.{executing} The run stays as it is until somebody resumes or stops it."
    if how == CANCEL:
        told = f" What is in flight ({flight}) is asked to stop and ends truthfully." if flight else ""
        return f"Nothing new starts.{told} Nothing is undone.{last}"
    if how == UNDO:
        count = len(preview.reversible)
        undone = f"{count} done {'step is' if count == 1 else 'steps are'} undone, the last one first."
        return f"Nothing new starts. {undone if count else 'There is nothing that could be undone.'}{last}"
    left = len(preview.remaining)
    return (
        f"Nothing starts any more, also not what always runs in the end.{executing} "
        f"People get a checklist of what is left ({left}), and the run ends when all of it is dealt with."
    )
