"""Runs that a step of another run starts: begun in the parent's transaction, heard of when they end, stopped with it.

Nobody ever holds the locks of both: a child that ends leaves a mark at its parent's step, a parent that stops one
leaves it at the step, too. Both are acted upon after the commit, and by the sweeper if that was lost.
"""

from __future__ import annotations

from collections.abc import Callable

from handrail.accounts.permissions import Permission, holders
from handrail.shared.artifacts import expand
from handrail.shared.errors import Invalid
from handrail.shared.failpoints import reach
from runbooks.engine import events as e
from runbooks.engine.commands import StartRun
from runbooks.engine.flow import error_of
from runbooks.engine.state import RunState
from runbooks.engine.transitions import StepStatus
from runbooks.execution.admission import Attached, Refused, Waits, decide
from runbooks.execution.live import LiveRun
from runbooks.execution.policies import key_run
from runbooks.execution.starting import begun, child_row, held
from runbooks.execution.transition import Transition
from runbooks.language.definition import Json, SubrunStep
from runbooks.language.inputs import check_inputs
from runbooks.models import Run, RunbookVersion, RunEvent, StepRun
from runbooks.refusals import tell
from runbooks.versions import definition_of

Advance = Callable[[Transition], object]
S = StepStatus


def begin(opened: Transition, command: StartRun, advance: Advance) -> bool:
    """Start the run that a step wants; False when the step has failed instead."""
    try:
        version = _pinned(opened, command.step)
        definition = definition_of(version)
    except Invalid as error:
        return _refuse(opened, command, error.code, error.message)
    run = opened.live.run
    if run.starter_id is not None:
        standing = holders(run.project, Permission.RESPOND).filter(pk=run.starter_id)
        if not standing.exists():
            words = f"{run.starter_name} may no longer start runs in this project."
            return _refuse(opened, command, "permission_denied", words)
    values, problems = check_inputs(definition.inputs, command.inputs)
    if problems:
        return _refuse(opened, command, "invalid_inputs", f"The inputs do not fit: {problems[0]}")
    row = StepRun(pk=opened.row_id(command.key))
    child = child_row(run, row, version, dict(values), opened.now)
    try:
        key_run(child, definition, automatic=False)
    except Invalid as error:
        return _refuse(opened, command, error.code, error.message)
    verdict = decide(child, definition, opened.now)
    if isinstance(verdict, Refused | Attached):
        told = Refused("concurrency", verdict.reason) if isinstance(verdict, Attached) else verdict
        if told.pages:
            tell(child, told.code, told.reason)
        return _refuse(opened, command, told.code, f"{command.step.runbook} was not started: {told.reason}")
    opened.write_row_now(command.key, state=S.EXECUTING)
    child.save(force_insert=True)
    inner = Transition(LiveRun(child, definition, RunState(), {}, {}, opened.now), opened.now)
    if isinstance(verdict, Waits):
        held(inner, verdict, opened.state.pins)
    else:
        begun(inner, opened.state.pins)
        advance(inner)
    inner.commit(within=opened)
    reach("subrun.begun")
    opened.record(
        e.SubrunStarted(
            at=opened.now,
            key=command.key,
            run=str(child.pk),
            runbook=command.step.runbook,
            version=version.number or 0,
            deadline=command.deadline,
        )
    )
    if inner.state.ended:
        collect(opened)
        return False
    return True


def _pinned(opened: Transition, step: SubrunStep) -> RunbookVersion:
    pinned = opened.state.pins.get(step.runbook)
    version = (
        RunbookVersion.objects.select_related("runbook__project").filter(pk=str(pinned)).first()
        if pinned
        else None
    )
    if version is None:
        raise Invalid(f"No version of {step.runbook} was fixed when this run started.", code="not_pinned")
    if version.runbook.archived_at is not None:
        raise Invalid(f"{step.runbook} is archived: it cannot be started.", code="archived")
    return version


def _refuse(opened: Transition, command: StartRun, code: str, message: str) -> bool:
    opened.record(e.StepFailed(at=opened.now, key=command.key, error=error_of(code, message)))
    return False


def collect(opened: Transition) -> None:
    """Record the ends of the runs that the run's steps wait for."""
    waiting = {
        node.run: key for key, node in opened.state.nodes.items() if node.run and node.status == S.EXECUTING
    }
    if not waiting:
        return
    for child in Run.objects.filter(pk__in=list(waiting), is_open=False).order_by("ended_at", "pk"):
        opened.record(_ended(opened, waiting[str(child.pk)], child))
        reach("subrun.collected")


def _ended(opened: Transition, key: str, child: Run) -> e.SubrunFinished:
    node = opened.state.node(key)
    event = RunEvent.objects.filter(run=child, type=e.RunFinished.type).first()
    outputs = expand(event.data.get("outputs")) if event is not None else None
    given: dict[str, Json] = dict(outputs) if isinstance(outputs, dict) else {}
    status = str(child.state)
    error: dict[str, Json] | None = None
    if child.state != Run.State.SUCCEEDED:
        late = node.deadline is not None and opened.now >= node.deadline
        if node.cancelling and child.state == Run.State.CANCELLED:
            status = "timed_out" if late else "cancelled"
        else:
            status = "failed"
        told = child.error if isinstance(child.error, dict) else {}
        error = {
            "code": str(told.get("code") or "failed"),
            "message": str(told.get("message") or f"The run ended as {child.state}."),
            "retryable": False,
            "run": str(child.pk),
        }
    return e.SubrunFinished(
        at=opened.now,
        key=key,
        status=status,
        outputs={**given, "run": str(child.pk), "outcome": dict(child.outcome)},
        error=error,
    )
