"""A run in memory: loaded from its history once; when its revision moved under us, only what is new is read."""

from __future__ import annotations

import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

from django.db import connection

from handrail.shared.artifacts import ArtifactMissing, expand
from handrail.shared.clock import steady, tell_time
from handrail.shared.errors import HandrailError, NotFound
from runbooks.engine import events as e
from runbooks.engine.apply import replay
from runbooks.engine.compensation import inside
from runbooks.engine.events import Event, from_row
from runbooks.engine.state import RunState, key_of
from runbooks.execution.shapes import table
from runbooks.execution.writing import adapted
from runbooks.language.definition import ActionStep, ApprovalStep, Json, Runbook, Step
from runbooks.models import KillSwitch, Run, RunbookVersion, RunEvent, StepRun
from runbooks.versions import definition_of


class Unreadable(HandrailError):
    """This process does not understand the run: a newer Handrail, or one with more plugins, has to go on."""

    code = "run_unreadable"
    status = 503


@dataclass(slots=True)
class LiveRun:
    """What a worker keeps of a run between its steps. ``fences`` and ``ids`` are by key.

    ``steps``: every step by id. ``guards``: the approvals that guard an action, by its id. ``settled`` is False
    from the opening of a transition to its commit: what a transaction that was rolled back has left here is never
    taken for the truth, even where another worker's commit gave the row the same revision. ``read_at``: when, on
    the process's monotonic clock, ``run`` and what it points to were read.
    """

    run: Run
    definition: Runbook
    state: RunState
    ids: dict[str, uuid.UUID]
    fences: dict[str, int]
    last_at: datetime
    steps: dict[str, Step] = field(default_factory=dict)
    guards: dict[str, tuple[ApprovalStep, ...]] = field(default_factory=dict)
    settled: bool = True
    read_at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        """Index the steps by id, and the approvals by the ids of the actions that they guard."""
        self.steps = {step_id: place.step for step_id, place in self.definition.places.items()}
        for step in self.steps.values():
            if isinstance(step, ApprovalStep):
                for guarded in guarded_steps(self.definition, step):
                    self.guards[guarded.id] = (*self.guards.get(guarded.id, ()), step)


FRESH_SECONDS = 10.0
"""For so long the incident, the alert and the project of a run in memory are not read again."""

_MOVING = (
    "state", "is_open", "outcome", "error", "deadline", "cancel_requested", "cancel_reason",
    "revision", "history_n", "history_hash", "started_at", "ended_at", "held", "held_reason", "look_at",
    "stop_how", "hold_reason",
)  # fmt: skip
"""The columns of a run that its transitions write."""

VERSIONS_REMEMBERED = 64

REMEMBERED = 8
"""So many runs a thread keeps in memory: those on which it has worked last."""


class _Memory(threading.local):
    """The open runs on which this thread has worked lately, by id."""

    def __init__(self) -> None:
        self._runs: OrderedDict[uuid.UUID, LiveRun] = OrderedDict()

    def find(self, run_id: uuid.UUID) -> LiveRun | None:
        return self._runs.get(run_id)

    def keep(self, live: LiveRun) -> None:
        self._runs.pop(live.run.pk, None)
        if not live.state.ended:
            self._runs[live.run.pk] = live
        while len(self._runs) > REMEMBERED:
            self._runs.popitem(last=False)


_memory = _Memory()


def guarded_steps(definition: Runbook, step: ApprovalStep) -> Iterator[ActionStep]:
    """The action steps that the approval is for; a guarded block stands for everything inside it."""
    for guard in step.guards:
        for inner in (definition.step(guard), *inside(definition.step(guard))):
            if isinstance(inner, ActionStep):
                yield inner


def locked(run_id: uuid.UUID, known: LiveRun | None = None) -> tuple[LiveRun, datetime, bool]:
    """Lock the run's row; what is known of it, the database's time, and whether any kill switch is on.

    Inside a transaction.

    ``known`` is used as it is while the row's revision says that nobody else has changed anything.
    """
    revision, moment, switches = lock_row(run_id)
    if known is not None and known.settled and known.run.revision == revision:
        live = known
    else:
        live = _caught_up(known or _memory.find(run_id), revision) or load(run_id)
    _memory.keep(live)
    # PostgreSQL may have read its clock before it got the lock; a history never goes back in time.
    return live, max(moment, live.last_at), switches


def switched() -> str:
    """The condition that any kill switch is on."""
    return " ".join(["EXISTS (SELECT 1 FROM", table(KillSwitch), "WHERE off_at IS NULL)"])


def lock_row(run_id: uuid.UUID) -> tuple[int, datetime, bool]:
    """Lock the run's row: its revision, the database's time, and whether any kill switch is on."""
    lock, clock = ("FOR UPDATE", "clock_timestamp()") if connection.vendor == "postgresql" else ("", "0")
    sql = " ".join(["SELECT revision,", clock, ",", switched(), "FROM", table(Run), "WHERE id = %s", lock])
    began = steady()
    with connection.cursor() as cursor:
        cursor.execute(sql, [adapted(run_id)])
        row = cursor.fetchone()
    if row is None:
        raise NotFound("There is no such run.")
    # SQLite runs in this process, on this machine's clock.
    moment = tell_time(row[1], began) if isinstance(row[1], datetime) else datetime.now(UTC)
    return row[0], moment, bool(row[2])


def _caught_up(known: LiveRun | None, revision: int) -> LiveRun | None:
    """What is known with what was added to the history since; None when it cannot be relied upon."""
    if known is None or not known.settled:
        return None
    run = known.run
    if time.monotonic() - known.read_at > FRESH_SECONDS:
        known.run, known.read_at = _row(run.pk), time.monotonic()
    elif revision != run.revision:
        for name, value in Run.objects.values(*_MOVING).get(pk=run.pk).items():
            setattr(run, name, value)
    if known.run.history_n > known.state.n:
        added = history_of(run.pk, after=known.state.n)
        known.state, known.last_at = replay(added, known.state), added[-1].at
    known.ids, known.fences = _steps(run.pk)
    return known if known.state.n == known.run.history_n else None


def load(run_id: uuid.UUID) -> LiveRun:
    """Read the run, replay its history. Raises :class:`Unreadable`."""
    run = _row(run_id)
    if run.engine_schema not in e.SUPPORTED_SCHEMAS:
        known = " and ".join(str(schema) for schema in e.SUPPORTED_SCHEMAS)
        raise Unreadable(
            f"This run was started by a newer Handrail (engine schema {run.engine_schema}; known here: {known}). "
            "Newer workers go on with it; to act on it here, upgrade this process, too."
        )
    history = history_of(run_id)
    ids, fences = _steps(run_id)
    return LiveRun(
        run=run,
        definition=definition_of(run.version),
        state=replay(history),
        ids=ids,
        fences=fences,
        last_at=history[-1].at if history else run.created_at,
    )


def _row(run_id: uuid.UUID) -> Run:
    """The run's row with what it points to. Eight tables in one query cost the ORM more than the query costs."""
    run = Run.objects.get(pk=run_id)
    run.version = _version(run.version_id)
    run.runbook = run.version.runbook
    if run.project_id == run.runbook.project_id:
        run.project = run.runbook.project
    return run


_versions: OrderedDict[uuid.UUID, tuple[float, RunbookVersion]] = OrderedDict()
"""Versions with their runbooks and projects, and when they were read: the runs of one share them for a while."""


def _version(version_id: uuid.UUID) -> RunbookVersion:
    read_at, version = _versions.get(version_id, (0.0, None))
    if version is None or time.monotonic() - read_at > FRESH_SECONDS:
        version = RunbookVersion.objects.select_related("runbook__project").get(pk=version_id)
        _versions[version_id] = (time.monotonic(), version)
        while len(_versions) > VERSIONS_REMEMBERED:
            _versions.popitem(last=False)
    return version


def _steps(run_id: uuid.UUID) -> tuple[dict[str, uuid.UUID], dict[str, int]]:
    """The ids and the fences of the rows that the run's steps have, by key."""
    ids: dict[str, uuid.UUID] = {}
    fences: dict[str, int] = {}
    sql = " ".join(["SELECT id, node, iteration, role, fence FROM", table(StepRun), "WHERE run_id = %s"])
    with connection.cursor() as cursor:
        cursor.execute(sql, [adapted(run_id)])
        for step_id, node, iteration, role, fence in cursor.fetchall():
            key = key_of(node, iteration, role)
            ids[key] = step_id if isinstance(step_id, uuid.UUID) else uuid.UUID(step_id)
            fences[key] = fence
    return ids, fences


def history_of(run_id: uuid.UUID, *, after: int = 0) -> list[Event]:
    """The run's events in order, with what was too large for their rows. Raises :class:`Unreadable`."""
    rows = RunEvent.objects.filter(run_id=run_id, n__gt=after).order_by("n").values_list("type", "data", "at")
    try:
        return [from_row(name, expanded(data), at) for name, data, at in rows]
    except (e.UnknownEvent, ArtifactMissing) as error:
        # Another process may have the file: nothing here is kept from its work by this run.
        raise Unreadable(str(error)) from error


def expanded(data: dict[str, Json]) -> dict[str, Json]:
    """The data of an event with its artifacts read."""
    return cast("dict[str, Json]", {name: expand(value) for name, value in data.items()})
