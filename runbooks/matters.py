"""What of a run has become a human's matter: an outcome that only a person can tell, a failed undoing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Exists, OuterRef, Q, QuerySet

from handrail.accounts.models import Project
from handrail.accounts.permissions import Permission, visible_projects
from handrail.letters.models import DeadLetter
from handrail.shared.actors import Actor
from handrail.shared.clock import database_now
from handrail.shared.hooks import Hook
from handrail.shared.links import step_url
from runbooks.engine import events as e
from runbooks.engine.state import COMPENSATE, Key
from runbooks.execution.rows import title_of
from runbooks.hooks import RunChange
from runbooks.models import StepRun

UNCERTAIN, POISON, UNDO_FAILED = "uncertain", "poison", "compensation_failed"

SHOWN_FOR = timedelta(hours=24)
"""For so long after its run a failed undoing is shown as something that needs a human."""

_WORDS = {
    UNCERTAIN: "nobody knows whether it happened",
    POISON: "its worker was lost again and again, it is parked",
    UNDO_FAILED: "it could not be undone",
}


@dataclass(frozen=True, slots=True)
class Matter:
    """Something that a person has to look at now. ``settled``: a person has decided, it is over.

    ``key`` is the same for everything about one step. ``text`` is one line for messages and pages, with no secret.
    """

    project: Project
    kind: str
    key: str
    text: str
    url: str
    settled: bool = False


matter_arose: Hook[Matter] = Hook("matter_arose")
"""Told in the transaction of the change, while the run is locked."""


def is_told(change: RunChange) -> bool:
    """Whether the event makes a step a human's matter, or settles one."""
    return isinstance(change.event, e.StepEvent) and bool(_kind_of(change.event)[0])


def on_run_changed(change: RunChange) -> None:
    """Tell of what has become a human's matter, and of what is none any more."""
    event = change.event
    if not isinstance(event, e.StepEvent) or change.step is None or change.step_id is None:
        return
    kind, why = _kind_of(event)
    if not kind:
        return
    run, place = change.run, Key.parse(event.key)
    where = f" ({run.incident})" if run.incident is not None else ""
    title = f"{title_of(change.step, place.role)} of {run.runbook.title} {run.version}{where}"
    settled = isinstance(event, e.StepDecided)
    text = f"{title}: {why}" if settled else f"{title}: {_WORDS[kind]}. {why} Somebody has to decide."
    matter_arose(
        Matter(run.project, kind, f"step:{change.step_id}", text, step_url(run.pk, change.step_id), settled)
    )


def _kind_of(event: e.StepEvent) -> tuple[str, str]:
    """The kind of matter that an event makes of a step, with why; empty for most."""
    match event:
        case e.StepUncertain(probe=False):
            code = POISON if event.error.get("code") == POISON else UNCERTAIN
            return code, str(event.error.get("message", ""))
        case e.StepProbed(verdict="unknown"):
            return UNCERTAIN, f"The probe could not tell: {event.words}."
        case e.StepDecided():
            return UNCERTAIN, f"{event.by} said {event.choice}."
        case e.StepFailed() if Key.parse(event.key).role == COMPENSATE:
            return UNDO_FAILED, str(event.error.get("message", ""))
        case e.StepCancelled() if Key.parse(event.key).role == COMPENSATE:
            return UNDO_FAILED, event.reason
    return "", ""


def left_behind(actor: Actor) -> QuerySet[StepRun]:
    """The steps that could not be undone lately, of runs that the actor may decide about; the oldest first.

    Shown while the run's incident is open; without one, for a day after the run has ended; in any case only until
    somebody has ended its dead letter: they have put it right, or said that they will not.
    """
    letters = DeadLetter.objects.filter(kind=DeadLetter.Kind.STEP, ref=OuterRef("pk"))
    dealt_with = Exists(letters) & ~Exists(letters.filter(state=DeadLetter.State.OPEN))
    projects = visible_projects(actor, Permission.RESPOND)
    lately = Q(run__is_open=True) | Q(run__ended_at__gt=database_now() - SHOWN_FOR)
    open_incident = Q(run__incident__isnull=True) | Q(run__incident__is_open=True)
    return (
        StepRun.objects.filter(
            lately, open_incident, run__project__in=projects, role="step", kind="action",
            state=StepRun.State.COMPENSATION_FAILED,
        )
        .exclude(dealt_with)
        .select_related("run__runbook", "run__version", "run__incident")
        .defer("inputs", "outputs")
        .order_by("created_at")
    )  # fmt: skip
