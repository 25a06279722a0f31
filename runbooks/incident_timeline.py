"""Tells an incident's timeline what its runs do, in the transaction in which they do it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from handrail.incidents import timeline
from handrail.incidents.actions import mark_contained
from handrail.incidents.metrics import in_words
from handrail.incidents.models import Incident
from handrail.shared.links import approval_url, run_url, step_url
from runbooks.engine import events as e
from runbooks.engine.state import COMPENSATE, Key, RunState
from runbooks.execution.auditing import ENGINE
from runbooks.execution.rows import title_of
from runbooks.hooks import RunChange
from runbooks.language.definition import ApprovalStep, Json, SetStep, Step
from runbooks.models import Run

RECOVERED = "recovered"
"""The outcome that tells whether production is well; without one of this name, all outcomes together do."""


def is_told(change: RunChange) -> bool:
    """Whether it happened in a run of an incident."""
    return change.run.incident_id is not None


def on_run_changed(change: RunChange) -> None:
    """Write the event of an incident's run into its timeline, if people want to read it there."""
    incident = change.run.incident
    if incident is None:
        return
    match change.event:
        case e.RunStarted() | e.RunFinished() | e.CancelRequested() | e.RunHeld():
            _tell_run(incident, change)
        case (
            e.RunPaused()
            | e.RunResumed()
            | e.RunReopened()
            | e.RunHandedOver()
            | e.RunUndoing()
            | e.ItemTicked()
        ):
            _tell_steering(incident, change)
        case e.StepEvent():
            if change.step is not None:
                _tell_step(incident, change, change.step)
    if isinstance(change.event, e.RunFinished) and is_recovered(change.event.outcome):
        mark_contained(
            incident, at=change.event.at, by=_name(change.run), actor=ENGINE, url=run_url(change.run.pk)
        )


def is_recovered(outcome: Mapping[str, Json]) -> bool:
    """Whether the outcome says that production is well."""
    if RECOVERED in outcome:
        return outcome[RECOVERED] is True
    return bool(outcome) and all(value is True for value in outcome.values())


def _name(run: Run) -> str:
    return f"{run.runbook.slug} {run.version}"


def _tell_run(incident: Incident, change: RunChange) -> None:
    run, event = change.run, change.event
    data: dict[str, Json] = {"run": str(run.pk), "runbook": run.runbook.slug, "version": run.version.number}
    if isinstance(event, e.RunStarted):
        text = f"{run.runbook.title} ({run.version}) started by {event.by}"
    elif isinstance(event, e.RunHeld):
        text = f"{run.runbook.title} ({run.version}) is not begun yet: {event.reason}"
        data |= {"code": event.code, "reason": event.reason}
    elif isinstance(event, e.CancelRequested):
        undoing = ", to be undone" if event.how else ""
        text = f"{run.runbook.title} ({run.version}) stopped by {event.by}{undoing}: {event.reason}"
        data |= {"by": event.by, "reason": event.reason, "how": event.how or "cancel"}
    elif isinstance(event, e.RunFinished):
        took = event.at - (change.state.started_at or event.at)
        error = event.error if isinstance(event.error, dict) else {}
        why = f": {error.get('message')}" if error else ""
        text = f"{run.runbook.title} ({run.version}) {event.status} after {in_words(took)}{why}"
        data |= {
            "state": event.status,
            "outcome": dict(event.outcome),
            "duration": took.total_seconds(),
            "error": event.error,
        }
    else:
        return
    timeline.add(
        incident,
        {"run.cancel_requested": "run.stopped"}.get(event.type, event.type),
        text,
        actor=ENGINE,
        at=event.at,
        data=data,
        subject=("run", run.pk),
        url=run_url(run.pk),
        dedupe_key=f"run:{run.pk}:{event.type}{_times(change)}",
    )


def _times(change: RunChange) -> str:
    """What tells two events of one kind apart, of those that a run has several times."""
    if isinstance(change.event, e.RunHeld):
        return str(change.state.n)
    return f":{change.state.reopened}" if change.state.reopened else ""


def _tell_steering(incident: Incident, change: RunChange) -> None:
    """What a person did to the run as a whole, or to what was handed over."""
    run, event = change.run, change.event
    facts = {name: value for name, value in event.data().items() if name in ("by", "reason", "how", "choice")}
    words = _of_steering(event)
    timeline.add(
        incident,
        "run.item_ticked" if isinstance(event, e.ItemTicked) else event.type,
        f"{run.runbook.title} ({run.version}) {words}",
        actor=ENGINE,
        at=event.at,
        data={"run": str(run.pk), "runbook": run.runbook.slug, "version": run.version.number, **facts},
        subject=("run", run.pk),
        url=run_url(run.pk),
        dedupe_key=f"run:{run.pk}:{event.type}:{change.state.n}:{getattr(event, 'key', '')}",
    )


def _of_steering(event: e.Event) -> str:
    match event:
        case e.RunPaused():
            word = "frozen" if event.how == "freeze" else "paused"
            return f"{word} by {event.by}: {event.reason}"
        case e.RunResumed():
            return f"goes on, resumed by {event.by}" + (f": {event.reason}" if event.reason else "")
        case e.RunReopened():
            return f"resumed after its end by {event.by}: {event.reason}"
        case e.RunHandedOver():
            return f"handed over by {event.by}, {len(event.items)} steps left for people: {event.reason}"
        case e.RunUndoing():
            return f"undoes {len(event.order)} steps, the last one first"
        case e.ItemTicked():
            done = "done by hand" if event.choice == "done" else "left out"
            return f"{event.key}: {done} by {event.by}" + (f": {event.reason}" if event.reason else "")
    return event.type


def _tell_step(incident: Incident, change: RunChange, step: Step) -> None:
    event, run = change.event, change.run
    if not isinstance(event, e.StepEvent) or change.step_id is None:
        return
    entry = _of_approval(event, change.state) if step.kind == ApprovalStep.kind else _of_step(event, step)
    if entry is None:
        return
    node = change.state.node(event.key)
    place = Key.parse(event.key)
    data: dict[str, Json] = {
        "run": str(run.pk),
        "runbook": run.runbook.slug,
        "step": place.node,
        "title": step.title or step.id,
        "attempt": node.attempt,
        "duration": (event.at - (node.started_at or event.at)).total_seconds(),
        **entry.data,
    }
    timeline.add(
        incident,
        entry.kind,
        _line(title_of(step, place.role), entry.words),
        actor=ENGINE,
        at=event.at,
        data=data,
        subject=("step", change.step_id),
        url=approval_url(node.approval) if node.approval else step_url(run.pk, change.step_id),
    )


def _line(title: str, words: str) -> str:
    """What happened to a step; many titles are questions, after which a colon would look like a slip."""
    return f"{title} - {words}" if title.endswith(("?", ".", "!", ":")) else f"{title}: {words}"


@dataclass(frozen=True, slots=True)
class _Entry:
    """What of an event people read: the timeline's kind, the words after the step's title, further facts."""

    kind: str
    words: str
    data: dict[str, Json] = field(default_factory=dict)


def _of_step(event: e.StepEvent, step: Step) -> _Entry | None:
    undoing = Key.parse(event.key).role == COMPENSATE
    match event:
        case e.StepSucceeded() if step.kind == SetStep.kind:
            return None
        case e.StepSucceeded() | e.StepSkipped(by="") if Key.parse(event.key).iteration and not undoing:
            return None  # of many items only what did not go well is worth a line
        case e.StepSucceeded():
            return _Entry("step.compensated", "undone") if undoing else _Entry("step.succeeded", "succeeded")
        case e.StepFailed():
            kind = "step.compensation_failed" if undoing else "step.failed"
            return _Entry(kind, f"failed: {event.error.get('message', '')}", {"error": event.error})
        case e.StepRetrying():
            return _Entry(
                "step.retrying",
                f"failed, is tried again: {event.error.get('message', '')}",
                {"error": event.error},
            )
        case e.StepSkipped():
            return _skipped(event)
        case e.StepUncertain():
            words = f"nobody knows whether it happened. {event.error.get('message', '')}"
            return _Entry("step.uncertain", words, {"error": event.error})
        case e.StepDecided():
            facts: dict[str, Json] = {"choice": event.choice, "by": event.by, "reason": event.reason}
            return _Entry("step.decided", f"{event.by} said: {event.choice}. {event.reason}", facts)
        case e.ManualAsked():
            until = f" until {event.due_at:%H:%M:%S} UTC" if event.due_at else ""
            return _Entry("manual.asked", f"a person is asked{until}: {event.prompt[:300]}")
        case e.ManualAnswered():
            facts = {"choice": event.choice, "by": event.by, "channel": event.channel, "reason": event.reason}
            said = "done" if event.choice == "done" else "it cannot be done"
            return _Entry(
                "manual.answered",
                f"{event.by} said: {said}{'. ' if event.reason else ''}{event.reason}",
                facts,
            )
        case e.StepProbed():
            return _Entry("step.probed", event.words, {"verdict": event.verdict})
    return None


def _of_approval(event: e.StepEvent, state: RunState) -> _Entry | None:
    asked_at = state.node(event.key).started_at or event.at
    match event:
        case e.ApprovalAsked():
            until = f" until {event.expires_at:%H:%M:%S} UTC" if event.expires_at else ""
            return _Entry("approval.asked", f"people are asked{until}", {"approval": event.approval})
        case e.ApprovalDecided() if event.decision == "expired":
            return _Entry("approval.expired", "nobody decided in time; nothing was approved")
        case e.ApprovalDecided():
            facts: dict[str, Json] = {
                "decision": event.decision,
                "by": event.by,
                "channel": event.channel,
                "reason": event.reason,
                "waited_seconds": (event.at - asked_at).total_seconds(),
            }
            why = f": {event.reason}" if event.reason else ""
            return _Entry("approval.decided", f"{event.decision} by {event.by}{why}", facts)
        case e.ApprovalVoided():
            return _Entry("approval.voided", event.reason)
        case e.StepSkipped():
            return _skipped(event)
    return None


def _skipped(event: e.StepSkipped) -> _Entry:
    by = f" by {event.by}" if event.by else ""
    facts: dict[str, Json] = {"reason": event.reason}
    if event.by:
        facts["by"] = event.by
    return _Entry("step.skipped", f"skipped{by}. {event.reason}", facts)
