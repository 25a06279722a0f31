"""What must hold of every run, whatever happens to it: each invariant is one function, and its docstring says it.

The state machine, the simulation of crashes and the recorded histories are all judged by these. The list stands in
docs/explanation/engine.md, made from the docstrings.
"""

from __future__ import annotations

from collections.abc import Callable

from runbooks.engine import events as e
from runbooks.engine.apply import replay
from runbooks.engine.deadlines import ready_until
from runbooks.engine.plan import plan
from runbooks.engine.state import COMPENSATE, PROBE, STEP, Key, RunState, key_of
from runbooks.engine.transitions import StepStatus
from runbooks.language.definition import WaitStep
from tests.runbooks.engine.course import (
    BEGINS,
    BEGINS_BLOCK,
    Course,
    around,
    hold,
    limited,
    may_be_repeated,
    phase_of,
    step_of,
)
from tests.runbooks.engine.steered import STEERING

S = StepStatus
PEOPLE = (e.ApprovalDecided, e.ManualAnswered, e.StepDecided)


Invariant = Callable[[Course], None]
INVARIANTS: list[Invariant] = []


def invariant(check: Invariant) -> Invariant:
    """Have this hold everywhere."""
    INVARIANTS.append(check)
    return check


def check_all(course: Course) -> None:
    """Raise :class:`~tests.runbooks.engine.course.Broken` for the first invariant that does not hold."""
    for check in (*INVARIANTS, *STEERING):
        check(course)


def sentences() -> list[str]:
    """What the invariants say, in their order."""
    return [" ".join((check.__doc__ or "").split()) for check in (*INVARIANTS, *STEERING)]


# The history ----------------------------------------------------------------------------------


@invariant
def every_prefix_replays(course: Course) -> None:
    """Any prefix of a history replays to the state that was there at the time, and the rest goes on from it."""
    state = RunState()
    for event, after in zip(course.history, course.states, strict=True):
        state = replay([event], state)
        hold(state == after, f"after {event.type} the replay differs")
    hold(replay(course.history) == course.state, "the whole history replays to another state")


@invariant
def every_event_survives_json(course: Course) -> None:
    """Every event is the same after it was written as JSON and read again."""
    for event in course.history:
        hold(e.from_row(event.type, event.data(), event.at) == event, f"{event} changes in its JSON form")


@invariant
def planning_is_deterministic_and_settled(course: Course) -> None:
    """Planning twice gives the same plan, and a plan that was obeyed has nothing to add."""
    once = plan(course.definition, course.state, course.now)
    hold(once == plan(course.definition, course.state, course.now), "two plans of one state differ")
    hold(once == [], f"the plan was obeyed, and still wants {once}")


@invariant
def time_goes_forward(course: Course) -> None:
    """No event is older than the one before it."""
    times = [event.at for event in course.history]
    hold(times == sorted(times), "the history goes back in time")


@invariant
def people_answer_for_people(course: Course) -> None:
    """No plan ever answers an approval or a manual step, or decides about a step in doubt: a timeout never approves."""
    for event in course.planned:
        hold(not isinstance(event, PEOPLE), f"the plan itself recorded {event.type}")
    for event, before, after in course.moments():
        if isinstance(event, e.StepEvent) and after.node(event.key).status == S.SUCCEEDED:
            waited = before.node(event.key).status
            if waited in (S.AWAITING_APPROVAL, S.AWAITING_HUMAN):
                hold(isinstance(event, PEOPLE), f"{event.key} went on by {event.type}")


@invariant
def a_refusal_is_no_approval(course: Course) -> None:
    """What was rejected or has expired is never read as approved."""
    for event, _, after in course.moments():
        if isinstance(event, e.ApprovalDecided):
            node = after.node(event.key)
            hold(node.decision == event.decision, f"{event.key} is {node.decision}, not {event.decision}")
            if event.decision != "approved" and not event.goes_on:
                hold(node.status == S.FAILED, f"{event.key} was {event.decision} and is {node.status}")


# Effects --------------------------------------------------------------------------------------


@invariant
def what_may_have_happened_is_not_repeated(course: Course) -> None:
    """A call that is neither idempotent nor reading never starts again after it may have happened, unless it is
    known to have failed, its probe found it not done, or a human decided so."""  # fmt: skip
    in_doubt: set[str] = set()
    for event, _, _ in course.moments():
        if isinstance(event, e.RunReopened):
            in_doubt -= set(event.again)
        if not isinstance(event, e.StepEvent):
            continue
        if isinstance(event, e.StepStarted) and not may_be_repeated(course, event.key):
            hold(event.key not in in_doubt, f"{event.key} started again though it may have happened")
            in_doubt.add(event.key)
        elif (
            isinstance(event, e.StepRetrying)
            or (isinstance(event, e.StepProbed) and event.verdict == "not_done")
            or (isinstance(event, e.StepDecided) and event.choice == "retry")
        ):
            in_doubt.discard(event.key)
        elif isinstance(event, e.StepCrashed):
            hold(may_be_repeated(course, event.key), f"{event.key} may not be repeated, and was")


@invariant
def intent_before_effect(course: Course) -> None:
    """No call has an outcome without a committed start before it, of the same attempt."""
    for event, before, _ in course.moments():
        if isinstance(event, e.StepSucceeded | e.StepRetrying | e.StepUncertain | e.Sampled | e.StepCrashed):
            node = before.node(event.key)
            if node.attempt:
                hold(node.status == S.EXECUTING, f"{event.type} of {event.key}, which was {node.status}")


@invariant
def what_succeeded_stays(course: Course) -> None:
    """A step that succeeded stays so, unless it is undone, its approval becomes void, or a run is resumed
    after its end."""  # fmt: skip
    for event, before, after in course.moments():
        for key, node in before.nodes.items():
            if node.status != S.SUCCEEDED or Key.parse(key).role == PROBE:
                continue
            now = after.node(key)
            allowed = {S.SUCCEEDED, S.COMPENSATING, S.COMPENSATED, S.COMPENSATION_FAILED}
            if isinstance(event, e.ApprovalVoided) and event.key == key:
                allowed.add(S.PENDING)
            if isinstance(event, e.RunReopened) and (key in event.again or key in event.revived):
                continue
            hold(now.status in allowed, f"{key} had succeeded, and {event.type} made it {now.status}")
            if now.status != S.PENDING:
                hold(now.outputs == node.outputs, f"{event.type} changed the outputs of {key}")


@invariant
def an_end_is_an_end(course: Course) -> None:
    """A step that failed, timed out, was skipped, cancelled or undone moves again only if a person skips
    or resumes it."""  # fmt: skip
    final = {S.FAILED, S.TIMED_OUT, S.SKIPPED, S.CANCELLED, S.COMPENSATED, S.COMPENSATION_FAILED}
    for event, before, after in course.moments():
        if isinstance(event, e.RunReopened) or (isinstance(event, e.StepSkipped) and event.by):
            continue
        for key, node in before.nodes.items():
            if node.status in final and Key.parse(key).role != PROBE:
                hold(after.node(key).status == node.status, f"{event.type} moved {key}, which had ended")


@invariant
def the_skipped_are_not_called(course: Course) -> None:
    """A step that is skipped is never called, unless a person skipped it after it had failed."""
    called: set[str] = set()
    for event, _, after in course.moments():
        if isinstance(event, e.StepStarted):
            called.add(event.key)
        elif isinstance(event, e.StepSkipped) and event.by:
            called.discard(event.key)
        elif isinstance(event, e.RunReopened):
            called -= set(event.again)
        if isinstance(event, e.StepStarted | e.StepSkipped | e.CaseChosen):
            both = {key for key in called if after.node(key).status == S.SKIPPED}
            hold(not both, f"{both} were skipped and called")


# Attempts and time ----------------------------------------------------------------------------


@invariant
def attempts_grow_by_one(course: Course) -> None:
    """Attempts count from one, by one; a start is of the attempt that was scheduled."""
    for event, before, after in course.moments():
        if not isinstance(event, e.StepEvent) or Key.parse(event.key).role == PROBE:
            continue
        was, now = before.node(event.key).attempt, after.node(event.key).attempt
        if isinstance(event, e.StepStarted):
            # On the fast path a first attempt starts without having been scheduled.
            hold(event.attempt == (was or 1), f"{event.key} started attempt {event.attempt} after {was}")
        elif now != was:
            voided = isinstance(event, e.ApprovalVoided)
            hold(now == was + 1 or voided, f"{event.type} took {event.key} from attempt {was} to {now}")


@invariant
def nothing_starts_before_its_time(course: Course) -> None:
    """No attempt starts before its retry is due, and no timer fires early."""
    for event, before, _ in course.moments():
        if not isinstance(event, e.StepEvent):
            continue
        node = before.node(event.key)
        if isinstance(event, e.StepStarted) and node.ready_at is not None:
            hold(event.at >= node.ready_at, f"{event.key} started before {node.ready_at}")
        if isinstance(event, e.StepSucceeded) and isinstance(step_of(course, event.key), WaitStep):
            hold(node.due_at is not None and event.at >= node.due_at, f"the timer {event.key} fired early")


@invariant
def nobody_waits_for_a_worker_for_ever(course: Course) -> None:
    """No call of a run that goes on waits for a worker for longer than it may."""
    if course.state.paused or course.state.ended:
        return
    for key, node in course.state.nodes.items():
        limit = ready_until(course.state, step_of(course, key), node)
        hold(limit is None or course.now < limit, f"{key} is {node.status} since {node.ready_at}")


@invariant
def a_probe_speaks_for_its_doubt(course: Course) -> None:
    """A probe is there only as long as the step is in doubt: an old answer never speaks for a later attempt."""
    for key in course.state.nodes:
        place = Key.parse(key)
        if place.role == PROBE:
            status = course.state.node(key_of(place.node, place.iteration)).status
            hold(status == S.UNCERTAIN, f"{key} is there while its step is {status}")


# Blocks ---------------------------------------------------------------------------------------


@invariant
def compensation_is_in_reverse(course: Course) -> None:
    """A group undoes what was completed in the strict reverse order of completion, one after the other."""
    orders: dict[str, list[str]] = {}
    for event, before, _ in course.moments():
        if isinstance(event, e.BlockCompensating):
            places = [before.node(key).ended_n for key in event.order]
            hold(places == sorted(places, reverse=True), f"{event.key} undoes in the order {event.order}")
            orders[event.key] = event.order
        elif isinstance(event, e.RunReopened):
            orders.clear()
        elif isinstance(event, e.StepScheduled) and Key.parse(event.key).role == COMPENSATE:
            place = Key.parse(event.key)
            undone = key_of(place.node, place.iteration)
            for order in (found for found in orders.values() if undone in found):
                earlier = order[: order.index(undone)]
                open_yet = [key for key in earlier if before.node(key).status != S.COMPENSATED]
                hold(not open_yet, f"the undoing of {undone} began before that of {open_yet} was through")


@invariant
def only_what_succeeded_is_undone(course: Course) -> None:
    """Only a step that succeeded is undone, and its undoing has the inputs captured when it succeeded."""
    for event, before, _ in course.moments():
        if isinstance(event, e.BlockCompensating):
            for key in event.order:
                node = before.node(key)
                hold(node.status == S.SUCCEEDED, f"{key} is undone and was {node.status}")
                hold(node.captured is not None, f"{key} is undone with inputs that were never captured")


@invariant
def concurrency_holds(course: Course) -> None:
    """Never more branches or items are open at once than the block allows."""
    for event, _, after in course.moments():
        if not isinstance(event, (*BEGINS, *BEGINS_BLOCK)):
            continue
        for step in course.definition.walk():
            for block, limit, keys in limited(course, step, after):
                open_now = [key for key in keys if after.node(key).in_flight]
                hold(len(open_now) <= limit, f"{open_now} are open in {block}, {limit} may be")


@invariant
def nothing_begins_where_all_is_over(course: Course) -> None:
    """Nothing begins, is tried again or starts inside a block, or in a part of the run, that is over."""
    for event, before, after in course.moments():
        if not isinstance(event, e.StepEvent) or Key.parse(event.key).role == COMPENSATE:
            continue
        node = after.node(event.key)
        began = isinstance(event, (*BEGINS, *BEGINS_BLOCK)) or node.status == S.READY
        if not began or Key.parse(event.key).role == PROBE:
            continue
        phase = phase_of(course, event.key)
        hold(
            phase == before.phase, f"{event.type} of {event.key} ({phase}) while the run is in {before.phase}"
        )
        for block in around(course, event.key):
            hold(not before.node(block).ended, f"{event.type} of {event.key} though {block} is over")


# The end --------------------------------------------------------------------------------------


@invariant
def nothing_follows_the_end(course: Course) -> None:
    """After the end nothing follows but what people say about steps in doubt, until a person resumes the run."""
    ended = False
    for event in course.history:
        hold(not ended or isinstance(event, e.StepDecided | e.RunReopened), f"{event.type} after the end")
        ended = (ended or isinstance(event, e.RunFinished)) and not isinstance(event, e.RunReopened)


@invariant
def the_end_leaves_only_doubts(course: Course) -> None:
    """When a run ends, nothing of it is in flight but steps in doubt."""
    if course.state.ended:
        left = {key: node.status for key, node in course.state.nodes.items() if node.in_flight}
        hold(set(left.values()) <= {S.UNCERTAIN}, f"left behind: {left}")


@invariant
def finally_always_runs(course: Course) -> None:
    """Every run that began and whose runbook has `finally` has been through it before it ended, or people were
    handed it."""  # fmt: skip
    begun = course.state.ended and course.state.started_at is not None
    if begun and course.definition.finally_ and course.state.items is None:
        first = course.state.node(course.definition.finally_[0].id)
        hold(first.ended or first.status == S.UNCERTAIN, f"`finally` was {first.status} at the end")


@invariant
def a_stopped_run_begins_nothing(course: Course) -> None:
    """After a stop or the run's deadline nothing begins but `finally` (after a deadline also `on_failure`), the rest of
    an undoing, and a probe that was asked for before."""  # fmt: skip
    for event, before, _ in course.moments():
        if not isinstance(event, BEGINS) or Key.parse(event.key).role != STEP:
            continue
        phase = phase_of(course, event.key)
        if before.cancelling:
            hold(phase == "finally", f"{event.type} of {event.key} after the stop")
        if before.timed_out:
            hold(phase != "steps", f"{event.type} of {event.key} after the deadline")


@invariant
def the_end_is_true(course: Course) -> None:
    """A run that was stopped or handed over ends cancelled (or failed, if its undoing did); one that
    failed says why."""  # fmt: skip
    for event, before, _ in course.moments():
        if isinstance(event, e.RunFinished):
            stopped = before.cancelling or before.items is not None
            undone = not before.undoes or event.status != "failed"
            hold(
                stopped == (event.status == "cancelled") or not undone,
                f"{event.status} though {before.cancelling}",
            )
            hold((event.error is None) == (event.status == "succeeded"), f"{event.status}: {event.error}")


@invariant
def every_failure_says_why(course: Course) -> None:
    """Every step that failed has an error with a code and a message."""
    for key, node in course.state.nodes.items():
        if node.status in (S.FAILED, S.TIMED_OUT):
            error = node.error or {}
            hold("code" in error and "message" in error, f"{key} is {node.status} without a word")
