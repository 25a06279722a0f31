"""What a person does to a run in the simulation: each act once, when its time has come and nothing refuses it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from runbooks.engine import events as e
from runbooks.engine.skipping import refusal
from runbooks.engine.state import UNDO
from runbooks.engine.steering import (
    CANCEL,
    HAND_OVER,
    pause_refusal,
    resume_refusal,
    stop_refusal,
    tick_refusal,
)
from runbooks.engine.transitions import StepStatus
from tests.runbooks.engine.life import Life

Moment = Callable[[Life], bool]


@dataclass(frozen=True, slots=True)
class Act:
    """``when``: whether its time has come; ``refused``: whether the product refuses it as the run is now."""

    do: Callable[[Life], None]
    is_done: Moment
    refused: Moment
    when: Moment

    def may_be_done(self, life: Life) -> bool:
        """Whether the person does it now."""
        return bool(life.history) and self.when(life) and not self.refused(life)


def pauses(when: Moment) -> Act:
    """Hold the run."""
    return Act(
        Life.pause,
        lambda life: _happened(life, e.RunPaused),
        lambda life: bool(pause_refusal(life.state)),
        when,
    )


def resumes(when: Moment) -> Act:
    """Let the held run go on."""
    return Act(
        Life.resume,
        lambda life: _happened(life, e.RunResumed),
        lambda life: bool(resume_refusal(life.state)),
        when,
    )


def skips(key: str, when: Moment) -> Act:
    """Leave a step out."""
    return Act(
        lambda life: life.skip(key),
        lambda life: any(
            isinstance(event, e.StepSkipped) and event.by and event.key == key for event in life.history
        ),
        lambda life: bool(refusal(life.definition, life.state, key)),
        when,
    )


def stops(how: str, when: Moment) -> Act:
    """Stop the run: ``cancel``, ``undo`` or ``hand_over``."""
    kind = {CANCEL: e.CancelRequested, UNDO: e.CancelRequested, HAND_OVER: e.RunHandedOver}[how]
    return Act(
        lambda life: life.stop(how),
        lambda life: _happened(life, kind),
        lambda life: bool(stop_refusal(life.definition, life.state, how)),
        when,
    )


def deals_with(key: str, choice: str) -> Act:
    """Do by hand what is on the checklist, or do without it."""
    return Act(
        lambda life: life.tick(key, choice),
        lambda life: key in life.state.dealt,
        lambda life: key not in (life.state.items or ()) or bool(tick_refusal(life.state, key)),
        lambda _life: True,
    )


def reopens(when: Moment) -> Act:
    """Resume the run after its end."""
    return Act(
        Life.reopen,
        lambda life: _happened(life, e.RunReopened),
        lambda life: not life.may_reopen(),
        when,
    )


def _happened(life: Life, kind: type[e.Event]) -> bool:
    return any(isinstance(event, kind) for event in life.history)


def is_now(key: str, *statuses: StepStatus) -> Moment:
    """When a step is in one of these states."""
    return lambda life: life.state.node(key).status in statuses


def has_begun(key: str) -> Moment:
    """When somebody has begun a step, or it is even over."""
    return lambda life: life.state.node(key).status not in (StepStatus.PENDING, StepStatus.READY)


def nothing_executes(life: Life) -> bool:
    """When no worker has anything in hand."""
    return not life.executing()


def has_ended(life: Life) -> bool:
    """When the run is over."""
    return life.state.ended


def waits_for_its_turn(life: Life) -> bool:
    """When the run has not been admitted."""
    return not life.has_begun
