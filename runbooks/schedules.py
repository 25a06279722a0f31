"""Schedules: live runbooks whose triggers name a time. Each tick is one row, so that it starts one run at most.

Any number of sweepers look at what is due; whoever locks the schedule first decides about the tick, in one
transaction with the run that it starts. A schedule acts as the person who published the version: as the starter
they approve nothing of it, and when they may start runs no longer, neither may the schedule.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog
from django.db import transaction

from handrail.accounts.actors import actor_of_user
from handrail.shared.actors import Actor, Channel
from handrail.shared.clock import database_now
from handrail.shared.errors import Forbidden, HandrailError
from handrail.shared.failpoints import reach
from handrail.shared.ids import short
from runbooks import runs
from runbooks.language import ExpressionError, condition, render
from runbooks.language.definition import Runbook as Definition
from runbooks.language.definition import Trigger
from runbooks.language.schedules import due, next_tick
from runbooks.models import Run, Runbook, Schedule, ScheduleTick
from runbooks.priorities import SCHEDULED
from runbooks.refusals import NotAdmitted
from runbooks.versions import definition_of

log = structlog.get_logger(__name__)

BATCH = 100
"""How many due schedules one look of the sweeper takes."""

TICKS_KEPT = 100
"""So many ticks of a schedule are kept; older ones are forgotten, their runs are not."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a tick, in words."""

    words: str
    run: Run | None = None


@transaction.atomic
def follow(runbook: Runbook, definition: Definition | None) -> None:
    """Let the schedules of a runbook be those of its live version; one that did not change keeps its next tick."""
    now = database_now()
    triggers = definition.triggers if definition is not None else ()
    wanted = {trigger.id: trigger for trigger in triggers if trigger.on == "schedule" and trigger.cron}
    known = {row.trigger: row for row in Schedule.objects.select_for_update().filter(runbook=runbook)}
    Schedule.objects.filter(pk__in=[row.pk for name, row in known.items() if name not in wanted]).delete()
    for name, trigger in wanted.items():
        row = known.get(name) or Schedule(runbook=runbook, trigger=name)
        cron, timezone = trigger.cron or "", trigger.timezone or ""
        if (row.cron, row.timezone) != (cron, timezone):
            row.cron, row.timezone = cron, timezone
            row.next_at = next_tick(cron, timezone, now)
            row.save()


def on_live_changed(runbook: Runbook) -> None:
    """The runbook has another live version: publishing or going back, in the same transaction."""
    follow(runbook, definition_of(runbook.live) if runbook.live is not None else None)


def fire_due() -> int:
    """Decide about the schedules whose time has come; how many."""
    found = Schedule.objects.filter(next_at__lte=database_now()).order_by("next_at")
    return sum(fire(schedule_id) for schedule_id in list(found.values_list("pk", flat=True)[:BATCH]))


@transaction.atomic
def fire(schedule_id: uuid.UUID) -> bool:
    """Decide about one schedule's tick; False when somebody was faster, or it is not due after all."""
    row = Schedule.objects.select_for_update(skip_locked=True, of=("self",)).filter(pk=schedule_id).first()
    now = database_now()
    if row is None or row.next_at is None:
        return False
    tick = due(row.cron, row.timezone or None, row.next_at, now)
    if tick is None:
        return False
    verdict = _decide(row, tick.newest, tick.missed, now)
    ScheduleTick.objects.create(
        runbook_id=row.runbook_id, trigger=row.trigger, due_at=tick.newest, decided_at=now,
        missed=tick.missed, decision=verdict.words[:500], run=verdict.run,
    )  # fmt: skip
    row.next_at = tick.following
    row.save(update_fields=["next_at"])
    _forget_old(row)
    reach("schedule.before_commit")
    transaction.on_commit(lambda: reach("schedule.after_commit"))
    return True


def _decide(row: Schedule, due_at: datetime, missed: int, now: datetime) -> Verdict:
    """Start the run, or say why not; nothing that goes wrong here keeps the next tick from coming."""
    runbook = Runbook.objects.select_related("live", "project", "live__publisher").get(pk=row.runbook_id)
    missed_too = f" {missed} earlier {'tick was' if missed == 1 else 'ticks were'} missed." if missed else ""
    try:
        with transaction.atomic():
            verdict = _start(runbook, row.trigger, due_at, now)
    except (HandrailError, ExpressionError) as error:
        log.warning("schedule_failed", runbook=runbook.slug, trigger=row.trigger, error=str(error))
        verdict = Verdict(f"Could not start: {error}")
    return replace(verdict, words=verdict.words + missed_too)


def _start(runbook: Runbook, name: str, due_at: datetime, now: datetime) -> Verdict:
    trigger = _trigger(runbook, name)
    late = now - due_at
    if late > timedelta(seconds=trigger.catch_up):
        return Verdict(
            f"Missed: it was noticed {_in_words(late)} late (catch_up allows {trigger.catch_up:g} s)."
        )
    if trigger.when is not None and not condition(trigger.when, {}):
        return Verdict(f"Not started: its condition is false: {trigger.when}")
    if trigger.mode != "enforce":
        return Verdict(f"Would have started (mode {trigger.mode}).")
    key = f"{trigger.id}:{due_at:%Y-%m-%dT%H:%MZ}"
    if trigger.dedupe is not None:
        key = f"{trigger.id}:{render(trigger.dedupe.key, {})}"
    inputs = render(dict(trigger.inputs), {})
    if not isinstance(inputs, dict):
        raise TypeError("the inputs of a trigger are a mapping")
    try:
        result = runs.start(
            runbook,
            inputs=inputs,
            actor=_actor(runbook, trigger),
            trigger=trigger.id,
            dedupe_key=key[:300],
            priority=SCHEDULED,
        )
    except NotAdmitted as refusal:
        return Verdict(f"Not started: {refusal.reason}")
    if not result.created:
        return Verdict(f"Not started: run {short(result.run.pk)} goes on. {result.reason}", result.run)
    return Verdict(f"Queued: {result.reason}" if result.reason else "Started.", result.run)


def _trigger(runbook: Runbook, name: str) -> Trigger:
    if runbook.live is None or runbook.archived_at is not None:
        raise Forbidden("The runbook is archived, or has no live version.")
    found = [one for one in definition_of(runbook.live).triggers if one.id == name and one.on == "schedule"]
    if not found:
        raise Forbidden(f"The live version has no schedule {name!r}.")
    return found[0]


def _actor(runbook: Runbook, trigger: Trigger) -> Actor:
    publisher = runbook.live.publisher if runbook.live is not None else None
    if publisher is None:
        raise Forbidden(
            "Nobody stands for it: the account that published the live version is gone. Publish it again."
        )
    actor = actor_of_user(publisher, Channel.AUTOMATION)
    return replace(actor, on_behalf_of=f"schedule {runbook.slug}/{trigger.id}")


def _in_words(late: timedelta) -> str:
    minutes = int(late.total_seconds() // 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"


def _forget_old(row: Schedule) -> None:
    ticks = ScheduleTick.objects.filter(runbook_id=row.runbook_id, trigger=row.trigger).order_by("-due_at")
    old = list(ticks.values_list("pk", flat=True)[TICKS_KEPT : 2 * TICKS_KEPT])
    if old:
        ScheduleTick.objects.filter(pk__in=old).delete()
