"""What a decider has to know besides the plan: why it is asked, and what happens when it is denied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from runbooks.language.definition import Runbook
from runbooks.models import Approval, StepRun
from runbooks.queries.steps import StepView, definition_or_none, titled

_S = StepRun.State
_TELLING: dict[str, str] = {
    _S.FAILED: "failed",
    _S.TIMED_OUT: "was not so in time",
    _S.COMPENSATED: "did not help and was undone",
    _S.COMPENSATION_FAILED: "could not be undone",
    _S.CANCELLED: "was stopped",
}


@dataclass(frozen=True, slots=True)
class Circumstance:
    """One reason why something is asked. ``path`` leads to its evidence, and may be empty."""

    text: str
    path: str = ""


def circumstances(approval: Approval, steps: Sequence[StepView]) -> list[Circumstance]:
    """Why an approval is asked: the alert, the incident, and what the run has tried without success."""
    run = approval.run
    found: list[Circumstance] = []
    if run.alert is not None:
        found.append(
            Circumstance(f"Alert: {run.alert.title} ({run.alert.severity})", f"/alerts/{run.alert_id}/")
        )
    if run.incident is not None:
        incident = run.incident
        words = f"INC-{incident.number} {incident.title}, {incident.severity}"
        found.append(Circumstance(words, f"/incidents/{incident.pk}/"))
    found += _tried(approval, steps)
    if not found:
        found.append(Circumstance(f"{run.starter_name} started this run by hand.", f"/runs/{run.pk}/"))
    return found


def if_denied(approval: Approval) -> str:
    """What a denial means for the run, in words."""
    definition = definition_or_none(approval.run)
    after = _afterwards(definition)
    if approval.policy.get("on_reject") == "continue":
        left_out = [str(call.get("title") or call.get("step")) for call in approval.plan]
        without = f" without: {', '.join(left_out)}" if left_out else ""
        return f"The run goes on{without}.{after}"
    return f"The run ends as failed.{after}"


def if_nobody_answers(approval: Approval) -> str:
    """What happens at the deadline, as one word: it never approves."""
    return "the run fails" if approval.on_timeout == "fail" else "rejected"


def _tried(approval: Approval, steps: Sequence[StepView]) -> Iterator[Circumstance]:
    undone = {view.node for view in steps if view.state == _S.COMPENSATED and view.is_block}
    for view in steps:
        if view.row is not None and view.row.pk == approval.step_id:
            return
        words = _TELLING.get(view.state)
        if words is None or view.row is None or (view.state == _S.COMPENSATED and view.parent in undone):
            continue
        error = view.row.error or {}
        detail = view.row.reason or error.get("message", "")
        path = f"/runs/{approval.run_id}/?step={view.node}#step"
        yield Circumstance(f"{view.title} - {words}{f': {detail}' if detail else ''}", path)


def _afterwards(definition: Runbook | None) -> str:
    """The steps that run in the end, whatever happens."""
    if definition is None or not definition.finally_:
        return ""
    return f" In the end, always: {', '.join(titled(step) for step in definition.finally_)}."
