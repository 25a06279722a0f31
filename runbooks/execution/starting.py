"""How a run comes to be: its first event, for one that people start and for one that a step of another starts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from django.conf import settings

from handrail.shared.ids import new_id
from handrail.shared.links import run_url
from runbooks.engine import events as e
from runbooks.execution.admission import Waits
from runbooks.execution.facts import alert_names, incident_names
from runbooks.execution.transition import Transition
from runbooks.language.definition import Json
from runbooks.language.definition import Runbook as Definition
from runbooks.models import Run, RunbookVersion, StepRun


def begun(opened: Transition, pins: Mapping[str, Json]) -> None:
    """Record that the run begins now. ``pins``: the versions of the runbooks that it may start, by slug."""
    run, definition = opened.live.run, opened.live.definition
    deadline = deadline_of(definition, opened.now)
    opened.run_columns |= {"started_at": opened.now, "deadline": deadline, "look_at": None}
    run.deadline = deadline
    opened.record(_started(run, definition, opened.now, dict(pins)))


def held(opened: Transition, waits: Waits, pins: Mapping[str, Json]) -> None:
    """Record that the run waits, if that is news; it is looked at again at its time."""
    state = opened.state
    opened.live.run.look_at = waits.look_at
    if (state.held, state.held_reason) == (waits.code, waits.reason):
        Run.objects.filter(pk=opened.live.run.pk).update(look_at=waits.look_at)
        return
    opened.run_columns["look_at"] = waits.look_at
    opened.record(
        e.RunHeld(
            at=opened.now,
            code=waits.code[:200],
            reason=waits.reason[:500],
            look_at=waits.look_at,
            pins=dict(pins) or None,
        )
    )


def _started(run: Run, definition: Definition, at: datetime, pins: dict[str, Json]) -> e.RunStarted:
    by = run.starter_name
    return e.RunStarted(
        at=at,
        schema=run.engine_schema,
        version_digest=run.version_digest,
        inputs=run.inputs,
        run={
            "id": str(run.pk),
            "url": run_url(run.pk),
            "mode": run.mode,
            "runbook": definition.id,
            "version": run.version.number,
            "starter": by,
        },
        alert=alert_names(run.alert) if run.alert is not None else None,
        incident=incident_names(run.incident) if run.incident is not None else None,
        by=by,
        deadline=run.deadline,
        pins=pins or None,
        start_within=float(settings.SCHEDULE_TO_START_SECONDS) or None,
    )


def deadline_of(definition: Definition, now: datetime) -> datetime | None:
    """When a run that starts now is over its time."""
    return now + timedelta(seconds=definition.timeout) if definition.timeout is not None else None


def child_row(
    parent: Run,
    step: StepRun,
    version: RunbookVersion,
    inputs: dict[str, Json],
    now: datetime,
) -> Run:
    """The row of a run that a step of ``parent`` starts, for the same people and the same reasons."""
    return Run(
        id=new_id(),
        project=parent.project,
        runbook=version.runbook,
        version=version,
        version_digest=version.digest,
        engine_schema=e.SCHEMA,
        mode=parent.mode,
        inputs=inputs,
        starter_id=parent.starter_id,
        starter_name=parent.starter_name,
        starter_channel=parent.starter_channel,
        incident=parent.incident,
        alert=parent.alert,
        parent_step_id=step.pk,
        priority=parent.priority,
        trace_id=parent.trace_id,
        created_at=now,
    )
