"""What the probe of an uncertain step has found out."""

from __future__ import annotations

from collections.abc import Mapping

from runbooks.engine.state import NodeState
from runbooks.engine.transitions import StepStatus
from runbooks.engine.words import explain
from runbooks.language.definition import ActionStep
from runbooks.language.errors import ExpressionError
from runbooks.language.expressions import condition


def answer_of(step: ActionStep, probe: NodeState, names: Mapping[str, object]) -> tuple[str, str]:
    """``(verdict, words)`` of a probe that has ended: ``done``, ``not_done`` or ``unknown``.

    ``names`` are those of the step, with the probe's outputs as ``result``.
    """
    if step.probe is None or probe.status != StepStatus.SUCCEEDED:
        why = (probe.error or {}).get("message", "it failed")
        return "unknown", f"The probe could not tell: {why}"
    expression = step.probe.done_when
    try:
        done = condition(expression, names, path=f"{step.path}.probe.done_when")
    except ExpressionError as error:
        return "unknown", f"The probe could not tell: {error.message}"
    values = explain(expression, names)
    said = f"`{expression}` is {'true' if done else 'false'}" + (f": {values}." if values else ".")
    return (
        ("done", f"The probe found it done: {said}")
        if done
        else ("not_done", f"The probe found it not done: {said}")
    )
