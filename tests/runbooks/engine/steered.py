"""What must hold of a run that people steer: paused, stopped, undone, handed over, resumed, a step left out.

As in ``invariants.py``: each is one function, and its docstring says it.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from runbooks.engine import events as e
from runbooks.engine.deadlines import ready_until
from runbooks.engine.retry import CRASHES_ALLOWED
from runbooks.engine.state import COMPENSATE, PROBE, STEP, UNDO, Key, RunState, key_of
from runbooks.engine.transitions import RunStatus, StepStatus
from runbooks.language.definition import ActionStep, ApprovalStep, Runbook
from tests.runbooks.engine.course import BEGINS, BEGINS_BLOCK, Course, around, hold, phase_of, step_of

S = StepStatus
STEERS = (e.RunPaused, e.RunResumed, e.CancelRequested, e.RunHandedOver, e.ItemTicked, e.RunReopened)
GOES_ON = (e.RunTimedOut, e.PhaseEntered, e.RunUndoing, e.BlockCompensating, e.StepHeld)
BEFORE_THE_BEGINNING = (e.RunHeld, e.RunStarted, e.CancelRequested, e.RunFinished)


def steering_is_done_from_outside(course: Course) -> None:
    """No plan ever pauses, stops, resumes or hands a run over, deals with an item, or skips in a person's name."""
    for event in course.planned:
        hold(not isinstance(event, STEERS), f"the plan itself recorded {event.type}")
        hold(not isinstance(event, e.StepSkipped) or not event.by, f"the plan skipped as {event}")


def nothing_begins_before_admission(course: Course) -> None:
    """A run that waits to be admitted does nothing; one that never begins ends cancelled."""
    for event, before, after in course.moments():
        if before.started_at is None:
            hold(isinstance(event, BEFORE_THE_BEGINNING), f"{event.type} before the run began")
            hold(not after.nodes, f"{event.type} began {list(after.nodes)} before the run did")
            if isinstance(event, e.RunFinished):
                hold(event.status == "cancelled", f"a run that never began ended {event.status}")


def nothing_begins_in_a_pause(course: Course) -> None:
    """While a run is paused nothing begins, no timer fires and the plan decides nothing."""
    planned = {id(event) for event in course.planned}
    for event, before, _ in course.moments():
        if not before.paused:
            continue
        begins = isinstance(event, (*BEGINS, *BEGINS_BLOCK, *GOES_ON))
        hold(not begins, f"{event.type} of {getattr(event, 'key', 'the run')} in a pause")
        hold(
            before.items is not None or id(event) not in planned, f"the plan decided {event.type} in a pause"
        )


def a_pause_costs_no_time(course: Course) -> None:
    """What was not over its time when a run was paused is not when it goes on, or is stopped and undoes something."""
    for event, before, after in course.moments():
        if before.paused_at is None or not isinstance(event, e.RunResumed | e.CancelRequested):
            continue
        limits = _limits(course.definition, after)
        for what, limit in _limits(course.definition, before).items():
            if isinstance(event, e.CancelRequested) and Key.parse(what).role != COMPENSATE:
                continue
            hold(limit <= before.paused_at or limits[what] > event.at, f"the pause has used up {what}")


def _limits(definition: Runbook, state: RunState) -> dict[str, datetime]:
    """When what has begun is over its time, by key; that of the run is under ``run``."""
    found: dict[str, datetime | None] = {"run": state.deadline}
    for key, node in state.nodes.items():
        if node.status == S.READY:
            found[key] = ready_until(state, definition.step(Key.parse(key).node), node)
        elif node.status == S.AWAITING_HUMAN:
            found[key] = node.due_at
        elif node.status == S.EXECUTING and not node.attempt:
            found[key] = node.deadline
    return {key: moment for key, moment in found.items() if moment is not None}


def what_a_person_skips_is_left_out(course: Course) -> None:
    """A person never skips what executes, is in doubt or asks for approval; and what was skipped so, and all inside
    of it, never begins unless the run is resumed after its end and it is done anew."""  # fmt: skip
    skipped: set[str] = set()
    unknown = (S.EXECUTING, S.UNCERTAIN, S.AWAITING_APPROVAL)
    for event, before, _ in course.moments():
        if isinstance(event, e.StepSkipped) and event.by:
            hold(before.node(event.key).status not in unknown, f"{event.key} was skipped in its middle")
            skipped |= {event.key, *event.inside}
        elif isinstance(event, e.RunReopened):
            skipped -= set(event.again)
        elif isinstance(event, (*BEGINS, *BEGINS_BLOCK)):
            out = skipped & {event.key, *around(course, event.key)}
            hold(not out, f"{event.type} of {event.key} though a person skipped {out}")


def what_loses_its_workers_is_parked(course: Course) -> None:
    """A call that loses its worker, or falls silent, for the third time is not repeated before a person decides."""
    lost: Counter[str] = Counter()
    for event in course.history:
        if isinstance(event, e.RunReopened):
            for key in event.again:
                lost[key] = 0
        elif isinstance(event, e.StepDecided) and event.choice == "retry":
            lost[event.key] = 0
        elif isinstance(event, e.StepCrashed) and Key.parse(event.key).role != PROBE:
            lost[event.key] += 1
            hold(lost[event.key] < CRASHES_ALLOWED, f"{event.key} lost {lost[event.key]} workers")


def a_stop_undoes_everything_in_reverse(course: Course) -> None:
    """A stop that undoes fixes the order once: all that succeeded before the last steps and can be undone, in the
    strict reverse order of completion; each undoing begins when the one before it is through, and a run that says
    that it was undone is."""  # fmt: skip
    for event, before, after in course.moments():
        if isinstance(event, e.RunUndoing) and event.error is None:
            hold(before.undoes, "something is undone though nobody wanted that")
            places = [before.node(key).ended_n for key in event.order]
            hold(places == sorted(places, reverse=True), f"undone in the order {event.order}")
            hold(set(event.order) == _undoable(course, before), f"{event.order} is not all, or too much")
        elif isinstance(event, e.StepScheduled) and before.phase == UNDO:
            place = Key.parse(event.key)
            undone = key_of(place.node, place.iteration)
            hold(
                place.role == COMPENSATE and undone in before.undoing,
                f"{event.key} is no part of the undoing",
            )
            earlier = before.undoing[: before.undoing.index(undone)]
            open_yet = [key for key in earlier if before.node(key).status != S.COMPENSATED]
            hold(not open_yet, f"the undoing of {undone} began before that of {open_yet} was through")
        elif isinstance(event, e.RunFinished) and before.undoes and event.status == "cancelled":
            left = [key for key in after.undoing if after.node(key).status != S.COMPENSATED]
            hold(not left, f"{left} still stand though the run says that it was undone")


def _undoable(course: Course, state: RunState) -> set[str]:
    found: set[str] = set()
    for key, node in state.nodes.items():
        step = step_of(course, key)
        can_be = isinstance(step, ActionStep) and step.compensate is not None and Key.parse(key).role == STEP
        if can_be and node.status == S.SUCCEEDED and phase_of(course, key) != "finally":
            found.add(key)
    return found


def what_was_dealt_with_stays_so(course: Course) -> None:
    """After a hand-over nothing begins; an item of the checklist that was dealt with stays so, and the run ends only
    when each is, or has come to a good end by itself."""  # fmt: skip
    good = (S.SUCCEEDED, S.SKIPPED)
    for event, before, after in course.moments():
        if before.items is None:
            continue
        hold(after.items == before.items, f"{event.type} changed the checklist")
        hold(before.dealt.items() <= after.dealt.items(), f"{event.type} undid what people have done")
        hold(not isinstance(event, (*BEGINS, *BEGINS_BLOCK)), f"{event.type} after the hand-over")
        if isinstance(event, e.RunFinished):
            left = [k for k in before.items if k not in before.dealt and before.node(k).status not in good]
            hold(not left, f"it ended, and nobody has dealt with {left}")


def what_succeeded_before_a_resume_keeps_its_result(course: Course) -> None:
    """A run that is resumed after its end keeps every result of its steps, but for those that a stop has undone and
    approvals of what is still to come; it forgets those of `on_failure` and `finally`. It never succeeded before, and
    nothing in it is in doubt."""  # fmt: skip
    for event, before, after in course.moments():
        if not isinstance(event, e.RunReopened):
            continue
        hold(
            before.status in (RunStatus.FAILED, RunStatus.CANCELLED),
            f"a run that was {before.status} went on",
        )
        for key, node in before.nodes.items():
            hold(node.status != S.UNCERTAIN, f"{key} was in doubt when the run went on")
            step, now = step_of(course, key), after.node(key)
            if node.status != S.SUCCEEDED or step.children() or Key.parse(key).role != STEP:
                continue
            if phase_of(course, key) != "steps":
                hold(now.status == S.PENDING, f"{key} is {now.status} though its turn is yet to come")
            elif not isinstance(step, ApprovalStep) or key not in event.again:
                hold(now == node, f"{key} had succeeded, and is {now}")


STEERING = (
    steering_is_done_from_outside,
    nothing_begins_before_admission,
    nothing_begins_in_a_pause,
    a_pause_costs_no_time,
    what_a_person_skips_is_left_out,
    what_loses_its_workers_is_parked,
    a_stop_undoes_everything_in_reverse,
    what_was_dealt_with_stays_so,
    what_succeeded_before_a_resume_keeps_its_result,
)
"""In the order in which the page lists them."""
