"""What people and triggers do to runs: start one, and say what became of a step in doubt. See also `stopping`."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypedDict, Unpack

from django.db import transaction

from handrail.accounts.permissions import Permission, authorize
from handrail.alerts.models import Alert
from handrail.audit.actions import record
from handrail.incidents import timeline
from handrail.incidents.models import Incident
from handrail.shared.actors import Actor
from handrail.shared.errors import Conflict, Invalid, NotFound
from handrail.shared.failpoints import reach
from handrail.shared.ids import new_id
from handrail.shared.links import run_url
from handrail.shared.statements.compiled import Compiled
from handrail.shared.statements.literal import Literal
from handrail.shared.statements.writing import insert_once
from runbooks.acting import opened_run, visible_run
from runbooks.engine import events as e
from runbooks.engine.deciding import decided, retry_refusal
from runbooks.engine.state import RunState, key_of
from runbooks.engine.transitions import StepStatus
from runbooks.execution.admission import Admitted, Attached, Refused, Waits, decide, lock_places
from runbooks.execution.advancing import advance
from runbooks.execution.at_once import asking_nothing
from runbooks.execution.live import LiveRun
from runbooks.execution.policies import key_run
from runbooks.execution.starting import begun, held
from runbooks.execution.switching import now_and_switches
from runbooks.execution.transition import NeedsLock, Transition
from runbooks.execution.worker import known_dead
from runbooks.language.definition import Json
from runbooks.language.definition import Runbook as Definition
from runbooks.language.inputs import check_inputs
from runbooks.models import Run, Runbook, RunbookVersion, StepRun
from runbooks.pins import pins_of
from runbooks.priorities import PEOPLE
from runbooks.refusals import NotAdmitted
from runbooks.retrying import needs_dead_owner, owner_in_words
from runbooks.stopping import StopPreview, preview_stop, stop
from runbooks.versions import definition_of

__all__ = [
    "CHOICES",
    "LATEST_START",
    "Origin",
    "StartResult",
    "StopPreview",
    "decide_step",
    "decide_steps",
    "preview_stop",
    "start",
    "stop",
]

CHOICES = ("done", "retry", "fail")

LATEST_START = timedelta(days=365)
"""How far ahead a start may be put off."""


class Origin(TypedDict, total=False):
    """Where a run comes from, and with what. All of it may be left out.

    ``version``: a published version instead of the live one. ``dedupe_key``: while a run of the runbook with
    this key is open, no second one starts; ``is_free``: the caller has just looked, and none is. ``mode``:
    ``enforce``, ``suggest`` or ``shadow``. ``priority``: see :mod:`runbooks.priorities`. ``start_at``: not before.
    ``automatic``: neither a person nor a clock wants it, so that the guard against loops counts it.
    """

    version: RunbookVersion | None
    trigger: str
    incident: Incident | None
    alert: Alert | None
    dedupe_key: str
    is_free: bool
    mode: str
    priority: int
    start_at: datetime | None
    automatic: bool


@dataclass(frozen=True, slots=True)
class StartResult:
    """The run, whether it is new, and in words why not."""

    run: Run
    created: bool
    reason: str = ""


def start(
    runbook: Runbook, *, inputs: dict[str, Json], actor: Actor, **origin: Unpack[Origin]
) -> StartResult:
    """Start a run of the live version, pinned to it. Its first steps are ready when this commits.

    It may have to wait first (``pending``), or another run may serve it: ``reason`` says so. Needs ``respond`` on
    the project. Raises Conflict for a runbook without a live version, Invalid for inputs that do not fit
    (``details["problems"]``), NotAdmitted where the runbook's own limits say that no run shall start.
    """
    try:
        with transaction.atomic():
            return _start(runbook, inputs, actor, origin)
    except NotAdmitted as refusal:
        refusal.keep(actor)
        raise


def _start(runbook: Runbook, inputs: dict[str, Json], actor: Actor, origin: Origin) -> StartResult:
    authorize(actor, Permission.RESPOND, runbook)
    version, definition = _startable(runbook, origin)
    values, problems = check_inputs(definition.inputs, inputs)
    if problems:
        found = [{"name": problem.name, "message": problem.message} for problem in problems]
        raise Invalid(f"The inputs do not fit: {problems[0]}", problems=found)
    pins = pins_of(runbook.project, definition, definition_of)
    run = _row(runbook, version, values, actor, origin)
    looked_for = not run.dedupe_key or origin.get("is_free", False)
    if not looked_for and (existing := open_with_key(runbook, run.dedupe_key)) is not None:
        return _the_same(existing)
    key_run(run, definition, automatic=origin.get("automatic", False))
    lock_places(run)
    # In the order of the decisions, not of the calls: whoever waited for the lock came later.
    run.created_at, switches = now_and_switches()
    _check_start_at(run)
    verdict = decide(run, definition, run.created_at, switches=switches)
    if isinstance(verdict, Attached):
        return _attached(run, verdict, actor)
    if isinstance(verdict, Refused):
        raise NotAdmitted(run, verdict.code, verdict.reason, pages=verdict.pages)
    try:
        opened = _new(run, definition, at_once=True)
        with asking_nothing():
            _first(opened, verdict, dict(pins))
        opened.commit()
    except NeedsLock:
        # Its first steps ask the database, or somebody has its key.
        if (existing := _insert_once(run)) is not None:
            return _the_same(existing)
        opened = _new(run, definition)
        _first(opened, verdict, dict(pins))
        opened.commit()
    reason = verdict.reason if isinstance(verdict, Waits) else ""
    data: dict[str, Json] = {"runbook": runbook.slug, "version": version.number, "inputs": values}
    if reason:
        record(actor, "run.queued", run, data={**data, "reason": reason})
    else:
        record(actor, "run.started", run, data=data)
    reach("start.before_commit")
    transaction.on_commit(lambda: reach("start.after_commit"))
    return StartResult(run, created=True, reason=reason)


def _new(run: Run, definition: Definition, *, at_once: bool = False) -> Transition:
    """The first transition of a run. ``at_once``: the run's row is written with everything else."""
    live = LiveRun(run, definition, RunState(), {}, {}, run.created_at)
    return Transition(live, run.created_at, locked=not at_once, new=at_once)


def _first(opened: Transition, verdict: Admitted | Waits, pins: dict[str, Json]) -> None:
    """What happens first: it begins, or is held."""
    if isinstance(verdict, Waits):
        held(opened, verdict, pins)
    else:
        begun(opened, pins)
        advance(opened)


def _startable(runbook: Runbook, origin: Origin) -> tuple[RunbookVersion, Definition]:
    version = origin.get("version") or runbook.live
    if runbook.archived_at is not None:
        raise Conflict("This runbook is archived: it cannot be started.")
    if version is None or version.state != RunbookVersion.State.PUBLISHED:
        raise Conflict("This runbook has no live version: publish its draft first.")
    return version, definition_of(version)


def _check_start_at(run: Run) -> None:
    if run.start_at is not None and run.start_at > run.created_at + LATEST_START:
        raise Invalid(f"A run may be put off for {LATEST_START.days} days at most: use a schedule instead.")


def _row(
    runbook: Runbook, version: RunbookVersion, values: dict[str, Json], actor: Actor, origin: Origin
) -> Run:
    """The run as it will be inserted, but for when it was created: that is decided under the locks."""
    return Run(
        id=new_id(),
        project=runbook.project,
        runbook=runbook,
        version=version,
        version_digest=version.digest,
        engine_schema=e.SCHEMA,
        mode=origin.get("mode", "enforce"),
        inputs=values,
        starter_id=actor.user_id,
        starter_name=actor.name[:200],
        starter_channel=actor.channel.value,
        trigger=origin.get("trigger", ""),
        incident=origin.get("incident"),
        alert=origin.get("alert"),
        dedupe_key=origin.get("dedupe_key", "")[:300],
        priority=origin.get("priority", PEOPLE),
        start_at=origin.get("start_at"),
        trace_id=actor.trace_id[:32],
    )


def open_with_key(runbook: Runbook, key: str) -> Run | None:
    """The run of this runbook with this key that is not over yet; there is one at most."""
    return _OPEN_WITH_KEY.first(runbook.pk, key)


_OPEN_WITH_KEY = Compiled(
    lambda runbook, key: (
        Run.objects.order_by()
        .filter(runbook=runbook, dedupe_key=key, is_open=True)
        .exclude(dedupe_key=Literal(""))
    )
)


def _the_same(existing: Run) -> StartResult:
    return StartResult(
        existing, created=False, reason="A run of this runbook with the same key goes on already."
    )


def _attached(run: Run, verdict: Attached, actor: Actor) -> StartResult:
    """Another run serves this start; the incident's timeline says so."""
    served_by = verdict.run
    if run.incident is not None and served_by.incident_id != run.incident.pk:
        timeline.add(
            run.incident,
            "run.attached",
            f"{run.runbook.title}: {verdict.reason}",
            actor=actor,
            data={"run": str(served_by.pk), "runbook": run.runbook.slug},
            subject=("run", served_by.pk),
            url=run_url(served_by.pk),
            dedupe_key=f"attached:{served_by.pk}",
        )
    record(actor, "run.attached", served_by, data={"runbook": run.runbook.slug, "inputs": run.inputs})
    return StartResult(served_by, created=False, reason=verdict.reason)


def _insert_once(run: Run) -> Run | None:
    """Insert the run; or the open run that has its key already."""
    if insert_once(run):
        return None
    existing = open_with_key(run.runbook, run.dedupe_key)
    if existing is None:
        # It has ended since; now nothing is in the way.
        run.save(force_insert=True)
    return existing


@transaction.atomic
def decide_step(
    step_id: uuid.UUID, *, actor: Actor, choice: str, reason: str, override: bool = False
) -> StepRun:
    """Say what became of an uncertain step: ``done``, ``retry`` or ``fail``, with a reason, audited.

    ``retry`` is refused while the worker that had the step may still act, unless ``override`` says that
    somebody has made sure. Needs ``respond``.
    """
    if choice not in CHOICES:
        raise Invalid(f"A decision is done, retry or fail, not {choice!r}.")
    step = StepRun.objects.filter(pk=step_id).first()
    if step is None:
        raise NotFound("There is no such step, or you may not see it.")
    opened = opened_run(step.run_id, actor)
    if not reason.strip():
        raise Invalid("Say how you know: the reason stands in the run's history.")
    key = key_of(step.node, step.iteration, step.role)
    node = opened.state.node(key)
    if node.status != StepStatus.UNCERTAIN:
        raise Conflict(f"This step is {node.status.value}: there is nothing to decide.")
    definition = opened.live.definition
    if choice == "retry":
        refusal = retry_refusal(definition, opened.state, key)
        if refusal is not None:
            raise Conflict(refusal)
        _refuse_unsafe_retry(opened, step, override=override)
    words = reason.strip()[:400]
    opened.record(
        decided(definition, opened.state, (key, choice), by=actor.name, reason=words, at=opened.now)
    )
    advance(opened)
    opened.commit()
    data: dict[str, Json] = {
        "step": key,
        "choice": choice,
        "reason": reason.strip()[:500],
        "override": override,
    }
    record(actor, "step.decided", opened.live.run, data=data)
    reach("decision.before_commit")
    transaction.on_commit(lambda: reach("decision.after_commit"))
    return StepRun.objects.get(pk=step_id)


@transaction.atomic
def decide_steps(
    run_id: uuid.UUID,
    steps: Iterable[uuid.UUID],
    *,
    actor: Actor,
    choice: str,
    reason: str,
    override: bool = False,
) -> list[StepRun]:
    """The same for several steps of a run at once, such as those of one worker that died: all of them, or none."""
    run = visible_run(run_id, actor)
    authorize(actor, Permission.RESPOND, run)
    wanted = set(steps)
    if not wanted:
        raise Invalid("Choose at least one step.")
    found = StepRun.objects.filter(run=run, pk__in=wanted).order_by("created_at", "pk")
    if len(ids := list(found.values_list("pk", flat=True))) < len(wanted):
        raise NotFound("This run does not have all of these steps.")
    return [
        decide_step(step_id, actor=actor, choice=choice, reason=reason, override=override) for step_id in ids
    ]


def _refuse_unsafe_retry(opened: Transition, step: StepRun, *, override: bool) -> None:
    if not override and needs_dead_owner(opened.live.definition, step) and not known_dead(step.owner):
        raise Conflict(owner_in_words(step), code="owner_may_act")
