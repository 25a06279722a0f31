"""Which kill switch holds a run, or one call of it. Turned on and off in :mod:`runbooks.switches`."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from handrail.shared.clock import clock_expression, steady, tell_time
from handrail.shared.statements.reading import fetch
from handrail.shared.statements.shapes import table
from handrail.shared.statements.writing import adapted
from runbooks.models import KillSwitch, Run

CODE = "switch:"
"""What ``held`` of steps and runs begins with; the switch's id follows."""

_OF_RUNS = (KillSwitch.Level.INSTALLATION, KillSwitch.Level.PROJECT, KillSwitch.Level.RUNBOOK)


@dataclass(frozen=True, slots=True)
class Reach:
    """What a switch may be about: a run, and of a call its action type and target."""

    project_id: uuid.UUID
    runbook_id: uuid.UUID
    action: str = ""
    target: str = ""

    @classmethod
    def of_run(cls, run: Run, action: str = "", target: str = "") -> Reach:
        """The reach of a run, or of one call of it."""
        return cls(run.project_id, run.runbook_id, action, target)


def code_of(switch_id: uuid.UUID) -> str:
    """What rows that the switch holds say."""
    return f"{CODE}{switch_id}"


def now_and_switches() -> tuple[datetime, bool]:
    """The database's time, and whether any kill switch is on, in one question."""
    began = steady()
    [(moment, switches)] = fetch(f"SELECT {clock_expression()}, {any_on()}", [])
    return tell_time(moment, began), bool(switches)


def any_on() -> str:
    """The condition that any kill switch is on."""
    return " ".join(["EXISTS (SELECT 1 FROM", table(KillSwitch), "WHERE off_at IS NULL)"])


def switch_for(reach: Reach) -> KillSwitch | None:
    """The oldest switch that is on for this; None when there is none.

    Inside a transaction. The switch is locked for reading until its end: who turns it off waits for that, and then
    finds what was held; who comes after that finds it off.
    """
    # Nearly always none is on: that costs a question that is prepared, not one that is compiled.
    if not fetch(" ".join(["SELECT 1 FROM", table(KillSwitch), "WHERE off_at IS NULL LIMIT 1"]), []):
        return None
    found = _matching(_on(), reach)
    if found is None:
        return None
    # Turned off while we waited for it: there may be another one.
    return found if _is_still_on(found) else switch_for(reach)


def _is_still_on(switch: KillSwitch) -> bool:
    """Whether it is, until this transaction ends."""
    share = "FOR SHARE" if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        sql = ["SELECT id FROM", table(KillSwitch), "WHERE id = %s AND off_at IS NULL", share]
        cursor.execute(" ".join(sql), [adapted(switch.pk)])
        return cursor.fetchone() is not None


def switches_on(reaches: Iterable[Reach]) -> dict[Reach, KillSwitch]:
    """Which of these are held, and by what, to be shown; nothing is locked."""
    switches = _on()
    found = {reach: _matching(switches, reach) for reach in reaches} if switches else {}
    return {reach: switch for reach, switch in found.items() if switch is not None}


def _on() -> list[KillSwitch]:
    return list(
        KillSwitch.objects.filter(off_at__isnull=True)
        .select_related("project", "runbook")
        .order_by("on_at", "pk")
    )


def _matching(switches: Iterable[KillSwitch], reach: Reach) -> KillSwitch | None:
    return next((switch for switch in switches if _is_about(switch, reach)), None)


def _is_about(switch: KillSwitch, reach: Reach) -> bool:
    if switch.project_id is not None and switch.project_id != reach.project_id:
        return False
    match switch.level:
        case KillSwitch.Level.RUNBOOK:
            return switch.runbook_id == reach.runbook_id
        case KillSwitch.Level.ACTION:
            return bool(reach.action) and switch.subject == reach.action
        case KillSwitch.Level.TARGET:
            return bool(reach.target) and switch.subject == reach.target
    return True


def words_of(switch: KillSwitch) -> str:
    """Why something is held, for people."""
    since = f"{switch.on_at:%Y-%m-%d %H:%M} UTC"
    return (
        f"Held by a kill switch on {place_in_words(switch)}: {switch.reason} ({switch.on_by}, since {since})"
    )


def place_in_words(switch: KillSwitch) -> str:
    """What the switch is about: ``the runbook checkout-errors``, ``the action ssh.run in every project``."""
    where = "in every project" if switch.project is None else f"in {switch.project.name}"
    match switch.level:
        case KillSwitch.Level.INSTALLATION:
            return "the whole installation"
        case KillSwitch.Level.PROJECT:
            return f"the project {switch.project.name if switch.project is not None else ''}"
        case KillSwitch.Level.RUNBOOK:
            return f"the runbook {switch.runbook.slug if switch.runbook is not None else ''}"
        case KillSwitch.Level.ACTION:
            return f"the action {switch.subject} {where}"
    return f"the target {switch.subject} {where}"
