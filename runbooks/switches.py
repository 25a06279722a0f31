"""Kill switches: turned on and off by people, with a reason. What they hold is not lost: it goes on afterwards."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from handrail.accounts.models import Project
from handrail.accounts.permissions import Permission, authorize, visible_projects
from handrail.audit.actions import record
from handrail.shared.actors import Actor
from handrail.shared.clock import database_now
from handrail.shared.errors import Conflict, Invalid, NotFound
from runbooks.execution.switching import code_of, place_in_words
from runbooks.execution.waking import wake_runs, wake_steps
from runbooks.language.problems import nearest
from runbooks.models import KillSwitch, Runbook, StepRun
from runbooks.steps import registry

Level = KillSwitch.Level
LONGEST_REASON = 500
LONGEST_SUBJECT = 200


@dataclass(frozen=True, slots=True)
class Place:
    """What a switch is to be about. ``project`` None is everywhere; ``subject``: an action type or a target."""

    level: str
    project: Project | None = None
    runbook: Runbook | None = None
    subject: str = ""


@transaction.atomic
def turn_on(place: Place, *, actor: Actor, reason: str) -> KillSwitch:
    """Hold everything back that the place is about, from this commit on: starts, and steps at the gate.

    What executes already is not stopped. Needs ``operate`` in the project, and ``own`` for what is about all
    projects. Conflict when it is on already.
    """
    place = _checked(place)
    _may_switch(actor, place.project)
    reason = _reason(reason, "Say why it is turned on: whoever finds things held will want to know.")
    switch = KillSwitch(
        level=place.level,
        project=place.project,
        runbook=place.runbook,
        subject=place.subject,
        place=_as_text(place),
        reason=reason,
        on_at=database_now(),
        on_by=actor.name[:200],
    )
    try:
        with transaction.atomic():
            switch.save(force_insert=True)
    except IntegrityError:
        raise Conflict(
            f"A kill switch on {place_in_words(switch)} is on already.", code="already_on"
        ) from None
    record(actor, "switch.turned_on", switch, data=_facts(switch, reason))
    return switch


@transaction.atomic
def turn_off(switch_id: uuid.UUID, *, actor: Actor, reason: str = "") -> KillSwitch:
    """Let everything go on that the switch holds, in this commit. The same permission as turning it on."""
    switch = switches_visible_to(actor).filter(pk=switch_id).first()
    if switch is None:
        raise NotFound("There is no such kill switch, or you may not see it.")
    _may_switch(actor, switch.project)
    # From here on nobody finds it on: who has just held something has committed, who comes now waits for us.
    locked = KillSwitch.objects.select_for_update().get(pk=switch_id)
    if locked.off_at is not None:
        raise Conflict(f"It was turned off by {locked.off_by} already.", code="already_off")
    switch.off_at, switch.off_by = database_now(), actor.name[:200]
    switch.off_reason = reason.strip()[:LONGEST_REASON]
    switch.save(update_fields=["off_at", "off_by", "off_reason"])
    steps, runs = wake_steps(code_of(switch.pk)), wake_runs(code_of(switch.pk))
    record(
        actor,
        "switch.turned_off",
        switch,
        data={**_facts(switch, switch.off_reason), "steps": steps, "runs": runs},
    )
    return switch


def switches_visible_to(actor: Actor) -> QuerySet[KillSwitch]:
    """The switches of the projects that the actor may see, and those about everything; newest first."""
    mine = Q(project__in=visible_projects(actor)) | Q(project__isnull=True)
    return KillSwitch.objects.filter(mine).select_related("project", "runbook")


def switches_on_for(actor: Actor) -> list[KillSwitch]:
    """Those that are on, for banners; oldest first."""
    return list(switches_visible_to(actor).filter(off_at__isnull=True).order_by("on_at", "pk")[:20])


def _checked(place: Place) -> Place:
    """The place, if it makes sense. Raises Invalid."""
    if place.level not in Level.values:
        raise Invalid(f"A level is one of {', '.join(Level.values)}, not {place.level!r}.")
    subject = place.subject.strip()
    _refuse_what_would_not_count(place, subject)
    if place.level == Level.INSTALLATION:
        return Place(Level.INSTALLATION)
    if place.level == Level.PROJECT:
        if place.project is None:
            raise Invalid("Say which project.")
        return Place(Level.PROJECT, place.project)
    if place.level == Level.RUNBOOK:
        if place.runbook is None:
            raise Invalid("Say which runbook.")
        return Place(Level.RUNBOOK, place.runbook.project, place.runbook)
    if not subject or len(subject) > LONGEST_SUBJECT:
        what = "action type, such as ssh.run" if place.level == Level.ACTION else "target, as runs show it"
        raise Invalid(f"Name the {what} (at most {LONGEST_SUBJECT} characters).")
    if place.level == Level.ACTION:
        _check_action(subject)
    return Place(place.level, place.project, None, subject)


def _refuse_what_would_not_count(place: Place, subject: str) -> None:
    """Whoever names more than the level takes would hold back more, or other things, than they say."""
    if place.runbook is not None and place.level != Level.RUNBOOK:
        raise Invalid(
            "Only the level 'runbook' takes a runbook: choose that level, or leave the runbook out."
        )
    if place.project is not None and place.level == Level.INSTALLATION:
        raise Invalid(
            "The level 'installation' is about all projects: leave the project out, or choose 'project'."
        )
    if place.runbook is not None and place.project not in (None, place.runbook.project):
        raise Invalid("The runbook is one of another project: choose its own, or leave the project out.")
    if subject and place.level not in (Level.ACTION, Level.TARGET):
        raise Invalid("Only an action type or a target is named so: choose its level, or leave the name out.")


def _check_action(name: str) -> None:
    """A misspelt action type would look held and hold nothing. Raises Invalid."""
    if registry.is_known(name) or StepRun.objects.filter(action=name).exists():
        return
    near = nearest(name, registry.specs())
    hint = (
        f" Did you mean {near!r}?" if near else " The actions are listed in the reference, such as ssh.run."
    )
    raise Invalid(f"There is no action type {name!r} here.{hint}")


def _may_switch(actor: Actor, project: Project | None) -> None:
    if project is None:
        authorize(actor, Permission.OWN, None)
    else:
        authorize(actor, Permission.OPERATE, project)


def _reason(reason: str, missing: str) -> str:
    if not reason.strip():
        raise Invalid(missing)
    return reason.strip()[:LONGEST_REASON]


def _as_text(place: Place) -> str:
    where = str(place.project.pk) if place.project is not None else "*"
    thing = str(place.runbook.pk) if place.runbook is not None else place.subject
    return f"{place.level}:{where}:{thing}"


def _facts(switch: KillSwitch, reason: str) -> dict[str, str]:
    return {"level": switch.level, "place": place_in_words(switch), "reason": reason}
