"""A switch: the first case whose condition is true, decided once, when the walk comes to it."""

from __future__ import annotations

from collections.abc import Sequence

from runbooks.engine import events as e
from runbooks.engine.compensation import inside
from runbooks.engine.flow import Flow, Halt, error_of
from runbooks.engine.frames import deadline_of, finished, late, timeout_error, told_to_stop
from runbooks.engine.planning import Planner
from runbooks.engine.transitions import StepStatus
from runbooks.engine.words import explain
from runbooks.language.definition import Step, SwitchStep
from runbooks.language.errors import ExpressionError
from runbooks.language.expressions import condition

S = StepStatus


def switch(planner: Planner, step: Step, halt: Halt | None) -> Flow:
    """The steps of the case that was taken, in order; the steps of the others are skipped."""
    if not isinstance(step, SwitchStep):
        raise TypeError(f"{step.id} is no switch.")
    if planner.node(step).status == S.PENDING:
        try:
            choice, words = _chosen(planner, step)
        except ExpressionError as wrong:
            return planner.fail(step, error_of("expression", str(wrong)))
        if choice is None:
            return planner.skip(step, words)
        _take(planner, step, choice, words)
    node = planner.node(step)
    over = late(planner, node)
    steps = step.lists()[node.choice or 0][1]
    flow = planner.sequence(steps, halt or over)
    if flow is Flow.OPEN:
        return Flow.OPEN
    if over is None:
        halt = halt or told_to_stop(planner, steps)
    if halt is not None:
        return finished(planner, step, S.CANCELLED, error_of("cancelled", halt.reason))
    if flow is Flow.PASSED:
        return finished(planner, step, S.SUCCEEDED, None)
    error = timeout_error(step) if over else planner.failure_of(steps)
    return finished(planner, step, S.TIMED_OUT if over else S.FAILED, error)


def _chosen(planner: Planner, step: SwitchStep) -> tuple[int | None, str]:
    """Which list of steps is taken, and why in words; None when there is none. Raises ExpressionError."""
    names = planner.names(step)
    for n, case in enumerate(step.cases):
        if condition(case.when, names, path=f"{step.path}.cases[{n}].when"):
            values = explain(case.when, names)
            return n, f"Case {n + 1}: `{case.when}` is true" + (f": {values}." if values else ".")
    if step.default is None:
        return None, "No case is true, and there is no default."
    return len(step.cases), "No case is true: the default."


def _take(planner: Planner, step: SwitchStep, choice: int, words: str) -> None:
    others: Sequence[Step] = [
        inner
        for n, (_, steps) in enumerate(step.lists())
        if n != choice
        for one in steps
        for inner in (one, *inside(one))
    ]
    planner.record(
        e.CaseChosen(
            at=planner.now,
            key=planner.key(step),
            choice=choice,
            words=words[:500],
            inside=planner.inner_keys(step, others),
            deadline=deadline_of(planner, step),
        )
    )
