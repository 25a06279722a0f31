"""Pausing a run and letting it go on, resuming one that failed or was stopped, restarting one on a newer version."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from django.db import IntegrityError, transaction

from handrail.accounts.permissions import Permission, authorize
from handrail.audit.actions import record
from handrail.shared.actors import Actor
from handrail.shared.errors import Conflict, HandrailError
from handrail.shared.failpoints import reach
from runbooks import runs
from runbooks.acting import LONGEST_REASON, given_reason, opened_run, read_run, visible_run
from runbooks.engine import events as e
from runbooks.engine.reopening import reopening
from runbooks.engine.steering import pause_refusal, resume_refusal
from runbooks.execution.admission import lock_places, no_place
from runbooks.execution.advancing import advance
from runbooks.execution.live import LiveRun, Unreadable
from runbooks.execution.starting import deadline_of
from runbooks.execution.transition import Transition
from runbooks.language.definition import Json
from runbooks.language.inputs import check_inputs
from runbooks.models import Run, RunbookVersion
from runbooks.refusals import NotAdmitted
from runbooks.stopping import title_of_key
from runbooks.versions import definition_of


@dataclass(frozen=True, slots=True)
class ResumePreview:
    """What a resume would do: titles of the steps that are kept and done again. ``refusal``: why it cannot be."""

    how: str = ""
    kept: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class RestartPreview:
    """Whether the old inputs fit. ``problems``: ``{"name", "message"}``; ``dropped``: names that it has no more."""

    version: RunbookVersion | None = None
    inputs: dict[str, Json] = field(default_factory=dict)
    problems: list[dict[str, str]] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    refusal: str = ""


@transaction.atomic
def pause(run_id: uuid.UUID, *, actor: Actor, reason: str) -> Run:
    """Pause a run: nothing new starts, what executes ends in its real outcome. Needs ``respond`` and a reason.

    Runs that it has started are paused with it. Conflict for one that is over, being stopped or paused already.
    """
    opened = opened_run(run_id, actor)
    words = given_reason(reason, "Say why the run is paused: whoever finds it will want to know.")
    refusal = pause_refusal(opened.state)
    if refusal:
        raise Conflict(refusal)
    opened.record(e.RunPaused(at=opened.now, by=actor.name, reason=words))
    _finish(opened, actor, "run.paused", {"reason": words})
    return opened.live.run


@transaction.atomic
def resume(run_id: uuid.UUID, *, actor: Actor, reason: str = "") -> Run:
    """Let a paused run go on, or one that failed or was stopped from where it ended. Needs ``respond``.

    After an end it needs a reason. Succeeded results are kept; see :func:`runbooks.engine.reopening.reopening`.
    """
    opened = opened_run(run_id, actor)
    if opened.state.ended:
        return _reopen(opened, actor, reason)
    words = reason.strip()[:LONGEST_REASON]
    refusal = resume_refusal(opened.state)
    if refusal:
        raise Conflict(refusal)
    opened.record(e.RunResumed(at=opened.now, by=actor.name, reason=words))
    _finish(opened, actor, "run.resumed", {"reason": words})
    return opened.live.run


def _reopen(opened: Transition, actor: Actor, reason: str) -> Run:
    run = opened.live.run
    lock_places(run)
    refusal = _beyond(opened.live)
    found = reopening(opened.live.definition, opened.state, opened.now)
    if refusal or found.refusal:
        raise Conflict(refusal or found.refusal)
    words = given_reason(reason, "Say why the run may go on: what made it fail should be mended.")
    opened.record(
        e.RunReopened(
            at=opened.now,
            by=actor.name,
            reason=words,
            again=found.again,
            revived=found.revived,
            deadline=deadline_of(opened.live.definition, opened.now),
        )
    )
    data: dict[str, Json] = {"reason": words, "again": [*found.again], "kept": [*found.kept]}
    try:
        # A run with the same key may have been started since: then the row cannot be open as well.
        with transaction.atomic():
            _finish(opened, actor, "run.reopened", data)
    except IntegrityError as error:
        words = "Another run of this runbook with the same key goes on: wait for it, or stop it first."
        raise Conflict(words) from error
    return run


def _beyond(live: LiveRun) -> str:
    """Why a run that is over is not resumed, whatever its steps are like; empty if it may be."""
    run = live.run
    if run.parent_step_id is not None:
        return "Another run has started this one, and has gone on without it: resume that one."
    if run.runbook.archived_at is not None:
        return "This runbook is archived: its runs cannot be resumed."
    newer = Run.objects.filter(restart_of=run).first()
    if newer is not None:
        return "It was restarted as a new run already: look after that one."
    return no_place(run, live.definition)


def _finish(opened: Transition, actor: Actor, action: str, data: dict[str, Json]) -> None:
    advance(opened)
    opened.commit()
    record(actor, action, opened.live.run, data=data)
    reach("steer.before_commit")
    transaction.on_commit(lambda: reach("steer.after_commit"))


def preview_resume(run_id: uuid.UUID, actor: Actor) -> ResumePreview:
    """What :func:`resume` would do now; ``how`` is ``go_on`` for a paused run, ``reopen`` for one that is over."""
    run = visible_run(run_id, actor)
    try:
        return preview_of(read_run(run_id, actor))
    except Unreadable as error:
        return ResumePreview("go_on" if run.is_open else "reopen", refusal=error.message)


def preview_of(live: LiveRun) -> ResumePreview:
    """The same for a run that was read already."""
    if not live.state.ended:
        return ResumePreview("go_on", refusal=resume_refusal(live.state))
    found = reopening(live.definition, live.state, live.last_at)
    refusal = _beyond(live) or found.refusal
    steps = [key for key in found.again if "/" not in key]
    return ResumePreview(
        "reopen",
        kept=[title_of_key(live.definition, key) for key in found.kept],
        again=[title_of_key(live.definition, key) for key in steps],
        refusal=refusal,
    )


def restart(
    run_id: uuid.UUID,
    *,
    actor: Actor,
    reason: str,
    version: int | None = None,
    inputs: Mapping[str, Json] | None = None,
) -> Run:
    """Start what a run was for anew, on a newer version (the live one if ``version`` is None), linked to it.

    ``inputs`` replace those of the old run by name; names that the version does not have are left out. Needs
    ``respond`` and a reason. Conflict for a run that goes on, or was restarted already; Invalid for inputs
    that do not fit; NotAdmitted as for every start.
    """
    try:
        with transaction.atomic():
            return _restart(run_id, actor, reason, version, inputs or {})
    except NotAdmitted as refusal:
        # What was kept of it within the transaction was undone with it.
        refusal.keep(actor)
        raise


def _restart(
    run_id: uuid.UUID, actor: Actor, reason: str, version: int | None, inputs: Mapping[str, Json]
) -> Run:
    old = visible_run(run_id, actor)
    authorize(actor, Permission.RESPOND, old)
    # Who comes second waits here, and finds the run of who came first.
    old = (
        Run.objects.select_for_update(of=("self",)).select_related("runbook__live", "version").get(pk=run_id)
    )
    words = given_reason(reason, "Say why it is restarted: the new run's history tells it.")
    found = _fitting(old, version, inputs)
    if found.refusal:
        raise Conflict(found.refusal)
    started = runs.start(
        old.runbook,
        inputs=found.inputs,
        actor=actor,
        version=found.version,
        trigger=old.trigger,
        incident=old.incident,
        alert=old.alert,
        dedupe_key=old.dedupe_key,
        mode=old.mode,
    )
    if not started.created:
        raise Conflict(f"No new run was started: {started.reason}")
    Run.objects.filter(pk=started.run.pk).update(restart_of=old)
    started.run.restart_of = old
    data: dict[str, Json] = {
        "reason": words,
        "run": str(started.run.pk),
        "version": started.run.version.number,
        "dropped": [*found.dropped],
    }
    record(actor, "run.restarted", old, data=data)
    return started.run


def preview_restart(
    run_id: uuid.UUID, actor: Actor, version: int | None = None, inputs: Mapping[str, Json] | None = None
) -> RestartPreview:
    """Whether the run's inputs fit the version on which it would be restarted, and what does not."""
    return _fitting(visible_run(run_id, actor), version, inputs or {})


def _fitting(old: Run, number: int | None, replaced: Mapping[str, Json]) -> RestartPreview:
    version = _version(old, number)
    if version is None:
        which = f"no published version {number}" if number is not None else "no live version"
        return RestartPreview(refusal=f"This runbook has {which}.")
    try:
        specs = definition_of(version).inputs
    except HandrailError as error:
        return RestartPreview(version, refusal=error.message)
    names = {spec.name for spec in specs}
    values = {name: value for name, value in old.inputs.items() if name in names} | dict(replaced)
    _, problems = check_inputs(specs, values)
    return RestartPreview(
        version,
        values,
        [{"name": problem.name, "message": problem.message} for problem in problems],
        sorted(set(old.inputs) - names),
        _no_restart(old, version),
    )


def _version(old: Run, number: int | None) -> RunbookVersion | None:
    if number is None:
        return old.runbook.live
    published = RunbookVersion.objects.filter(runbook=old.runbook, state=RunbookVersion.State.PUBLISHED)
    return published.filter(number=number).first()


def _no_restart(old: Run, version: RunbookVersion) -> str:
    if old.is_open:
        return "The run goes on: stop it first, or two of them act on the same target."
    if Run.objects.filter(restart_of=old).exists():
        return "It was restarted already: look after that run, or restart that one."
    if old.parent_step_id is not None:
        return "Another run has started this one: resume or restart that one."
    if (version.number or 0) <= (old.version.number or 0):
        return "There is no newer version: resume the run, or start the runbook again."
    return ""
