"""The state of a run in plain words, why a step was left out, and what to do about an error."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from handrail.incidents.metrics import in_words
from handrail.shared.clock import now
from runbooks.engine.state import COMPENSATE, PROBE, STEP
from runbooks.language.definition import WaitUntilStep
from runbooks.models import Approval, Run, StepRun, Worker
from runbooks.queries.steps import StepView, definition_or_none, every_view, titled, written_steps
from runbooks.queries.workers import living, why_nobody_takes
from runbooks.quorum import missing_votes

_S = StepRun.State
LONG_READY = timedelta(seconds=5)
"""A living worker takes a ready step within a second, unless it is busy."""

_BUSY = (_S.EXECUTING, _S.CLAIMED, _S.READY, _S.COMPENSATING)
_TELLING = (
    *_BUSY,
    _S.WAITING,
    _S.AWAITING_APPROVAL,
    _S.AWAITING_HUMAN,
    _S.UNCERTAIN,
    _S.FAILED,
    _S.TIMED_OUT,
)

_ADVICE = {
    "timed_out": "The step took longer than its timeout allows. Give it more time, or find what holds it.",
    "run_timed_out": "The run took longer than it may. Give it a longer timeout, or find what holds it.",
    "worker_lost": "Its worker died in the middle. Look at the target: did it happen? Then decide here.",
    "timeout": "The target did not answer in time. See whether it is well; give the step a longer timeout or a retry.",
    "step_timeout": "The step took longer than its timeout allows. Give it more time, or find what holds it.",
    "connection_refused": "Nothing listens at the connection's address. See whether the target runs.",
    "connection_failed": "The target cannot be reached. Check the connection's address and the network.",
    "permission_denied": "The target refused the credentials. Check the connection's secret and its rights there.",
    "not_found": "The target does not know what was asked for. Check path and inputs.",
    "conflict": "The target is in another state than the step expects. Look at it before you try again.",
    "rate_limited": "The target asks for fewer calls. Wait, or give the step a retry with a longer interval.",
    "invalid_input": "The rendered inputs are not what the action accepts: compare them with its documentation.",
    "invalid_inputs": "The rendered inputs are not what the action accepts: compare them with its documentation.",
    "expression": "An expression of the runbook failed. Mend it in the editor; the message names its place.",
    "secret_not_found": "A secret is missing. Have an operator set it, then start again.",
    "secret_refused": "The project may not read a secret. The message says who allows it, and how.",
    "connection_not_found": "The project has no such connection. Have an operator create it.",
    "unknown_action": "No worker knows this action. Install its plugin, or use another action.",
    "rejected": "The approval was denied. Read the reason before you start again.",
    "expired": "Nobody answered the approval in time. Ask the approvers, then start again.",
    "not_approved": "What it waited for was not approved. Read why, then resume the run to have people asked again.",
    "approval_void": "The approval no longer holds. Resume the run, or start it anew, to have people asked again.",
    "not_reached": "It did not become true in time. See whether the target is well; give the step a longer timeout.",
    "cancelled": "The run was stopped. Resume it, or start it again, when the reason is gone.",
    "not_done": "A person could not do it. Read the reason, then decide how to go on.",
    "not_pinned": "The runbook was not there when this run started. Start the run again.",
    "archived": "The other runbook is archived. Name another one, or have it restored.",
    "too_many_items": "The list is longer than a loop takes. Filter it, or split the work over several steps.",
    "compensation_failed": "Undo by hand what could not be undone, and what was done before it; then start anew.",
    "handed_over": "People did the rest: the run's history says who did what.",
    "poison": "The step took its worker down again and again. Look at the worker's log before you start again.",
}
_ADVICE_ELSE = "Read the step's log and inputs; mend the cause, then resume the run."


@dataclass(slots=True)
class _Facts:
    """What the words of one run are made of."""

    rows: list[StepRun] = field(default_factory=list)
    approvals: list[Approval] = field(default_factory=list)
    alive: Sequence[Worker] | None = None
    """The workers that take steps; None where nobody has waited for one for long."""


def state_in_words(run: Run, steps: Sequence[StepView] | None = None) -> str:
    """The run in one sentence: ``Waiting for 1 more approval``, ``Running step 3 of 7: Shift traffic``.

    ``steps``: its steps as :func:`runbooks.queries.steps_of` has read them; without them they are read.
    """
    # Where this process cannot read the version, not every row is among the steps.
    if steps is None or definition_or_none(run) is None:
        return states_in_words([run])[run.pk]
    every = list(every_view(steps))
    rows = [row for view in every for row in view.rows if row.state in _TELLING]
    facts = _Facts(
        sorted(rows, key=_by_birth),
        sorted(
            (
                view.approval
                for view in every
                if view.approval is not None and view.approval.state == Approval.State.PENDING
            ),
            key=_by_birth,
        ),
    )
    if any(waits_long(row) for row in facts.rows):
        facts.alive = living()
    return _sentence(run, facts)


def _by_birth(row: StepRun | Approval) -> tuple[datetime, uuid.UUID]:
    return row.created_at, row.pk


def states_in_words(runs: Iterable[Run]) -> dict[uuid.UUID, str]:
    """The sentence of each run, by its id; three queries for all of them."""
    listed = list(runs)
    facts: dict[uuid.UUID, _Facts] = defaultdict(_Facts)
    telling = StepRun.objects.filter(run__in=listed, state__in=_TELLING).order_by("created_at", "pk")
    for row in telling.defer("inputs", "outputs"):
        facts[row.run_id].rows.append(row)
    pending = Approval.objects.filter(run__in=listed, state=Approval.State.PENDING)
    for approval in pending.prefetch_related("votes").order_by("created_at"):
        facts[approval.run_id].approvals.append(approval)
    if any(waits_long(row) for told in facts.values() for row in told.rows):
        alive = living()
        for told in facts.values():
            told.alive = alive
    return {run.pk: _sentence(run, facts[run.pk]) for run in listed}


def waits_long(row: StepRun) -> bool:
    """Whether a step has been ready for so long that somebody should ask why."""
    return row.state == _S.READY and row.ready_at is not None and now() - row.ready_at > LONG_READY


def no_worker(run_id: uuid.UUID, schema: int) -> str:
    """Why nobody takes what a run of this engine schema has ready, and what to do; empty when all is well."""
    ready = StepRun.objects.filter(run=run_id, state=_S.READY, run__is_open=True).only(
        "state", "ready_at", "pool"
    )
    late = [row for row in ready.order_by("created_at") if waits_long(row)]
    alive = living() if late else []
    return next((why for row in late if (why := why_nobody_takes(row, schema, alive))), "")


def why_skipped(view: StepView) -> str:
    """Why a step was left out: the engine's reason, with the condition as written."""
    if view.state != _S.SKIPPED:
        return ""
    if view.row is not None and view.row.reason:
        return str(view.row.reason)
    return f"Its condition was not met: {view.when}" if view.when else "The block around it was left out."


def what_to_do(error: Mapping[str, object] | None) -> str:
    """The next step for whoever reads an error, by its code; empty without an error."""
    if not error:
        return ""
    return _ADVICE.get(str(error.get("code", "")), _ADVICE_ELSE)


def _sentence(run: Run, facts: _Facts) -> str:
    match run.state:
        case Run.State.SUCCEEDED:
            return _succeeded(run)
        case Run.State.FAILED:
            return _failed(run, facts)
        case Run.State.CANCELLED:
            return _stopped(run)
        case Run.State.PENDING:
            return run.held_reason.rstrip(".") or "Waiting for a worker to begin"
    if (uncertain := _first(facts.rows, _S.UNCERTAIN)) is not None:
        return f"Outcome unknown: {_name(run, uncertain)}. A person has to decide"
    if run.state == Run.State.PAUSED:
        return _paused(run, facts)
    if run.state == Run.State.CANCELLING:
        return _cancelling(run, facts)
    if (busy := _busy(run, facts)) is not None:
        return busy
    return _awaited(run, facts)


def _succeeded(run: Run) -> str:
    took = _took(run)
    not_so = [name.replace("_", " ") for name, value in run.outcome.items() if value is False]
    if not_so:
        return f"Ran to its end{took}, but not {' and not '.join(not_so)}"
    return f"Succeeded{took}"


def _failed(run: Run, facts: _Facts) -> str:
    if run.error and run.error.get("code") in ("rejected", "expired"):
        return (
            "Ended: the approval was denied"
            if run.error["code"] == "rejected"
            else "Ended: nobody approved in time"
        )
    ended = [row for row in facts.rows if row.state in (_S.FAILED, _S.TIMED_OUT) and row.role == STEP]
    leaves = _leaves(run)
    # A step that the run went on without is not what it failed at: the run's own error names the one.
    culprits = [row for row in ended if row.node in leaves] or ended
    blamed = [row for row in culprits if run.error and row.error == run.error] or culprits
    return f"Failed at: {_name(run, blamed[-1])}" if blamed else f"Failed{_took(run)}"


def _stopped(run: Run) -> str:
    if run.stop_how == "hand_over":
        return str((run.error or {}).get("message") or "Handed over").rstrip(".")
    word = "Stopped and undone" if run.stop_how == "undo" else "Stopped"
    return f"{word}: {run.cancel_reason}" if run.cancel_reason else word


def _paused(run: Run, facts: _Facts) -> str:
    """What holds the run, why, and what still executes in spite of it."""
    word = {"freeze": "Frozen", "parent": "Paused with the run that started it", "hand_over": "Handed over"}
    said = word.get(run.stop_how, "Paused") + (f": {run.hold_reason}" if run.hold_reason else "")
    leaves = _leaves(run)
    busy = [row for row in facts.rows if row.state == _S.EXECUTING and (row.node in leaves or not leaves)]
    return f"{said} ({_name(run, busy[0])} still executes)" if busy else said


def _cancelling(run: Run, facts: _Facts) -> str:
    undoing = next((row for row in facts.rows if row.role == COMPENSATE and row.state in _BUSY), None)
    if undoing is not None:
        return f"Stopping, undoing: {_name(run, undoing)}"
    busy = _first(facts.rows, *_BUSY)
    return f"Stopping: {_name(run, busy)} ends first" if busy is not None else "Stopping"


def _busy(run: Run, facts: _Facts) -> str | None:
    """What executes, or could be claimed now; blocks around it say nothing of their own."""
    leaves = _leaves(run)
    found = [row for row in facts.rows if row.state in _BUSY and (row.node in leaves or not leaves)]
    retrying = [row for row in found if row.ready_at is not None and row.ready_at > now()]
    running = [row for row in found if row not in retrying]
    if facts.alive is not None and running and all(waits_long(row) for row in running):
        why = why_nobody_takes(running[0], run.engine_schema, facts.alive)
        if why:
            return f"Waiting for a worker: {why.partition('. ')[0]}"
    undoing = next((row for row in running if row.role == COMPENSATE), None)
    if undoing is not None:
        return f"Undoing: {_name(run, undoing)}"
    probing = next((row for row in running if row.role == PROBE), None)
    if probing is not None:
        return f"Finding out what became of: {_name(run, probing)}"
    if running:
        more = f" and {len(running) - 1} more" if len(running) > 1 else ""
        return f"{_place(run, running[0], leaves)}{more}"
    held = next((row for row in retrying if row.held), None)
    if held is not None:
        return f"{held.reason.rstrip('.')}: {_name(run, held)}"
    if retrying:
        if _polls(run, retrying[0]):
            return f"Looking again soon: {_name(run, retrying[0])}"
        return f"Trying again soon: {_name(run, retrying[0])}, attempt {retrying[0].attempt}"
    return None


def _awaited(run: Run, facts: _Facts) -> str:
    if facts.approvals:
        missing = max(1, missing_votes(facts.approvals[0]))
        given = facts.approvals[0].given
        words = "approval" if missing == 1 else "approvals"
        return f"Waiting for {missing} {'more ' if given else ''}{words}"
    if (asked := _first(facts.rows, _S.AWAITING_HUMAN)) is not None:
        return f"Waiting for a person: {_name(run, asked)}"
    if (waiting := _first(facts.rows, _S.WAITING)) is not None:
        return f"Waiting: {_name(run, waiting)}"
    return "Between two steps"


def _first(rows: Sequence[StepRun], *states: StepRun.State) -> StepRun | None:
    return next((row for row in rows if row.state in states), None)


def _polls(run: Run, row: StepRun) -> bool:
    """Whether the step waits for something to come true: looking once more is its work, not a new attempt."""
    definition = definition_or_none(run)
    return definition is not None and any(
        step.id == row.node and isinstance(step, WaitUntilStep) for _, _, _, step in written_steps(definition)
    )


def _leaves(run: Run) -> dict[str, tuple[str, int]]:
    """``{node: (phase, number)}`` of the steps that are no blocks."""
    definition = definition_or_none(run)
    if definition is None:
        return {}
    found: dict[str, tuple[str, int]] = {}
    counts: dict[str, int] = defaultdict(int)
    for phase, _, _, step in written_steps(definition):
        if not step.children():
            counts[phase] += 1
            found[step.id] = (phase, counts[phase])
    return found


def _place(run: Run, row: StepRun, leaves: Mapping[str, tuple[str, int]]) -> str:
    phase, number = leaves.get(row.node, ("", 0))
    if phase == "steps":
        total = sum(other == "steps" for other, _ in leaves.values())
        return f"Running step {number} of {total}: {_name(run, row)}"
    if phase:
        return f"{'Cleaning up' if phase == 'finally' else 'After the failure'}: {_name(run, row)}"
    return f"Running: {_name(run, row)}"


def step_in_words(row: StepRun) -> str:
    """What people call a row where its run is not at hand: ``Shift traffic, item 3``."""
    return str(row.title or row.node) + (f", item {_count(row.iteration)}" if row.iteration else "")


def _name(run: Run, row: StepRun) -> str:
    return _bare_name(run, row) + (f", item {_count(row.iteration)}" if row.iteration else "")


def _count(iteration: str) -> str:
    """The place of an item as people count: ``0.2`` is ``1.3``."""
    return ".".join(str(int(n) + 1) for n in iteration.split("."))


def _bare_name(run: Run, row: StepRun) -> str:
    if row.title and row.role == STEP:
        return str(row.title)
    definition = definition_or_none(run)
    if definition is None:
        return str(row.node)
    try:
        return titled(definition.step(row.node))
    except KeyError:
        return str(row.node)


def _took(run: Run) -> str:
    if run.started_at is None or run.ended_at is None:
        return ""
    return f" in {in_words(run.ended_at - run.started_at)}"
