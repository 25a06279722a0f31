"""What keeps a ready step at the gate for now: until when, and why. It waits in its row, and nobody looks at it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from runbooks.engine import events as e
from runbooks.engine.commands import StartStep
from runbooks.execution.switching import Reach, code_of, switch_for, words_of
from runbooks.execution.transition import Transition

LOOK_AGAIN = timedelta(hours=1)
"""When a step is looked at again whose hold has no known end. Whoever ends the hold wakes it before."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a step may not go ahead now. ``code`` is what whoever lets go finds its row by (``StepRun.held``).

    ``until`` None: nobody knows; it is woken (:func:`runbooks.execution.waking.wake_steps`).
    """

    reason: str
    code: str
    until: datetime | None = None


Check = Callable[[Transition, StartStep, str], Hold | None]
"""Asked inside the gate's transaction, under the run's lock, with the call and the target that it would act upon.

Before that it may be asked without either, where every query raises (:mod:`runbooks.execution.at_once`): a check that
finds out by itself that it has nothing to do with a call costs that call nothing.
"""


def _by_switch(transition: Transition, command: StartStep, target: str) -> Hold | None:
    """A kill switch that is on for the run, the action type or the target."""
    if not transition.switches:
        return None
    switch = switch_for(Reach.of_run(transition.live.run, command.call.uses, target))
    return None if switch is None else Hold(words_of(switch), code_of(switch.pk))


CHECKS: list[Check] = [_by_switch]
"""Asked in this order; the first hold counts. One that takes something (a token, a slot) belongs last."""


def hold_of(transition: Transition, command: StartStep, target: str) -> Hold | None:
    """What keeps this call back, or None."""
    for check in CHECKS:
        hold = check(transition, command, target)
        if hold is not None:
            return hold
    return None


def keep(transition: Transition, key: str, hold: Hold) -> None:
    """Hold the step: its row is ready again later, with the reason in the history. No attempt is counted."""
    ready_at = hold.until if hold.until is not None else transition.now + LOOK_AGAIN
    transition.record(
        e.StepHeld(
            at=transition.now, key=key, reason=hold.reason[:500], code=hold.code[:200],
            ready_at=max(ready_at, transition.now),
        )
    )  # fmt: skip
    transition.columns[key] = {"owner": ""}
