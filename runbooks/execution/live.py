"""A run in memory: loaded from its history once; when its revision moved under us, only what is new is read."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import cast

from django.db import connection

from handrail.shared.artifacts import ArtifactMissing, expand
from handrail.shared.clock import clock_expression, steady, tell_time
from handrail.shared.errors import HandrailError, NotFound
from handrail.shared.retention import Removed, removed_words
from handrail.shared.statements.reading import Row, columns, fetch
from handrail.shared.statements.shapes import table
from runbooks.engine import events as e
from runbooks.engine.apply import replay
from runbooks.engine.compensation import inside
from runbooks.engine.events import Event, from_row
from runbooks.engine.state import RunState, key_of
from runbooks.execution.switching import any_on, now_and_switches
from runbooks.language.definition import ActionStep, ApprovalStep, Json, Runbook, Step
from runbooks.models import Run, RunbookVersion, RunEvent, StepRun
from runbooks.removed import VALUES, removal
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
    the process's monotonic clock, ``run`` and what it points to were read. ``history``: the events, if it was read
    for a page; it has neither ``ids`` nor ``fences`` then.
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
    history: Sequence[Event] = ()

    def __post_init__(self) -> None:
        """Index the steps by id, and the approvals by the ids of the actions that they guard."""
        self.steps = {step_id: place.step for step_id, place in self.definition.places.items()}
        for step in self.steps.values():
            if isinstance(step, ApprovalStep):
                for guarded in guarded_steps(self.definition, step):
                    self.guards[guarded.id] = (*self.guards.get(guarded.id, ()), step)


FRESH_SECONDS = 10.0
"""For so long the incident, the alert and the project of a run in memory are not read again."""

WAITED_SECONDS = 0.05
"""Whoever got the run's row later than this may have waited for somebody: what was read with it may be out of date."""

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
    began = steady()
    row = lock_row(run_id)
    if connection.vendor == "postgresql" and steady() - began > WAITED_SECONDS:
        # It has read its clock, and whether a switch is on, before it waited for the lock.
        now, switches = now_and_switches()
        row = replace(row, now=now, switches=switches)
    if known is not None and known.settled and known.run.revision == row.run.revision:
        live = known
    else:
        live = _caught_up(known or _memory.find(run_id), row.run) or load(row.run)
    _memory.keep(live)
    # PostgreSQL may have read its clock before it got the lock; a history never goes back in time.
    return live, max(row.now, live.last_at), row.switches


@dataclass(frozen=True, slots=True)
class Seen:
    """A run's row, the database's time, and whether any kill switch is on; ``ready_at`` of the step asked about."""

    run: Run
    now: datetime
    switches: bool
    ready_at: datetime | None = None


def lock_row(run_id: uuid.UUID) -> Seen:
    """Lock the run's row. Inside a transaction. Raises NotFound."""
    lock = "FOR UPDATE OF run" if connection.vendor == "postgresql" else ""
    text = [*_looking(), "FROM", table(Run), "AS run WHERE run.id = %s", lock]
    began = steady()
    rows = fetch(" ".join(text), [run_id])
    if not rows:
        raise NotFound("There is no such run.")
    return _seen(rows[0], began)


def see(step_id: uuid.UUID) -> Seen | None:
    """The run of a step that is ready, without any lock; None if it is not, or not any more."""
    text = [*_looking(), ", step.ready_at FROM", table(StepRun), "AS step JOIN", table(Run)]
    text += ["AS run ON run.id = step.run_id WHERE step.id = %s AND step.state = 'ready'"]
    began = steady()
    rows = fetch(" ".join(text), [step_id])
    if not rows:
        return None
    *row, ready_at = rows[0]
    return replace(_seen(tuple(row), began), ready_at=_aware(ready_at))


def _looking() -> list[str]:
    return ["SELECT", columns(Run).of("run"), ",", clock_expression(), ",", any_on()]


def _seen(row: Row, began: float) -> Seen:
    *values, moment, switches = row
    return Seen(columns(Run).instance(tuple(values)), tell_time(moment, began), bool(switches))


def _aware(moment: datetime | None) -> datetime | None:
    """SQLite's driver gives UTC without saying so."""
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def remembered(run: Run) -> LiveRun | None:
    """What this thread knows of the run if it is what the row says, and nothing has been added since."""
    known = _memory.find(run.pk)
    return known if known is not None and known.settled and known.run.revision == run.revision else None


def remember(live: LiveRun) -> None:
    """Keep a run of which is known what was committed."""
    _memory.keep(live)


def _caught_up(known: LiveRun | None, row: Run) -> LiveRun | None:
    """What is known with what was added to the history since; None when it cannot be relied upon."""
    if known is None or not known.settled:
        return None
    if time.monotonic() - known.read_at > FRESH_SECONDS:
        known.run, known.read_at = _complete(row), time.monotonic()
    elif row.revision != known.run.revision:
        for name in _MOVING:
            setattr(known.run, name, getattr(row, name))
    if known.run.history_n > known.state.n:
        added = history_of(row.pk, after=known.state.n)
        known.state, known.last_at = replay(added, known.state), added[-1].at
    known.ids, known.fences = _steps(row.pk)
    return known if known.state.n == known.run.history_n else None


def load(row: Run | uuid.UUID) -> LiveRun:
    """Replay the history of a run, given by its row or its id. Raises :class:`Unreadable`."""
    run = _complete(row if isinstance(row, Run) else Run.objects.get(pk=row))
    live = look_into(run)
    live.ids, live.fences = _steps(run.pk)
    live.history = ()
    return live


def unreadable(run: Run) -> Unreadable | None:
    """Why this process cannot go on with the run, as its row shows; None where it can."""
    if run.engine_schema not in e.SUPPORTED_SCHEMAS:
        known = " and ".join(str(schema) for schema in e.SUPPORTED_SCHEMAS)
        return Unreadable(
            f"This run was started by a newer Handrail (engine schema {run.engine_schema}; known here: {known}). "
            "Newer workers go on with it; to act on it here, upgrade this process, too."
        )
    if (gone := removal(run, VALUES)) is not None:
        words = removed_words("What it needs to go on", *gone)
        return Unreadable(f"{words} The run can be read, but not acted on.", code=Removed.code)
    return None


def look_into(run: Run) -> LiveRun:
    """The same for a page, in one query: of a row that was read with its version, runbook and project.

    Nobody acts on it: it does not know the rows of its steps.
    """
    if (refusal := unreadable(run)) is not None:
        raise refusal
    history = history_of(run.pk)
    return LiveRun(
        run=run,
        definition=definition_of(run.version),
        state=replay(history),
        ids={},
        fences={},
        last_at=history[-1].at if history else run.created_at,
        history=history,
    )


def _complete(run: Run) -> Run:
    """The row with what it points to. Eight tables in one query cost the ORM more than the query costs."""
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
    text = " ".join(["SELECT id, node, iteration, role, fence FROM", table(StepRun), "WHERE run_id = %s"])
    for step_id, node, iteration, role, fence in fetch(text, [run_id]):
        key = key_of(node, iteration, role)
        ids[key] = step_id if isinstance(step_id, uuid.UUID) else uuid.UUID(step_id)
        fences[key] = fence
    return ids, fences


def history_of(run_id: uuid.UUID, *, after: int = 0) -> list[Event]:
    """The run's events in order, with what was too large for their rows. Raises :class:`Unreadable`."""
    text = " ".join(
        ["SELECT type, data, at FROM", table(RunEvent), "WHERE run_id = %s AND n > %s ORDER BY n"]
    )
    try:
        return [
            from_row(name, expanded(json.loads(data)), cast("datetime", _aware(at)))
            for name, data, at in fetch(text, [run_id, after])
        ]
    except (e.UnknownEvent, ArtifactMissing) as error:
        # Another process may have the file: nothing here is kept from its work by this run.
        raise Unreadable(str(error)) from error


def states_of(runs: Iterable[Run]) -> dict[uuid.UUID, RunState]:
    """The states of several runs by their ids, in one query; without those that this process does not understand."""
    known = [run.pk for run in runs if run.engine_schema in e.SUPPORTED_SCHEMAS]
    if not known:
        return {}
    places = ", ".join(["%s"] * len(known))
    text = [
        "SELECT run_id, type, data, at FROM",
        table(RunEvent),
        f"WHERE run_id IN ({places}) ORDER BY run_id, n",
    ]
    told: dict[uuid.UUID, list[tuple[str, str, datetime]]] = {run_id: [] for run_id in known}
    for run_id, name, data, at in fetch(" ".join(text), known):
        key = run_id if isinstance(run_id, uuid.UUID) else uuid.UUID(run_id)
        told[key].append((name, data, cast("datetime", _aware(at))))
    found: dict[uuid.UUID, RunState] = {}
    for run_id, events in told.items():
        try:
            found[run_id] = replay(
                [from_row(name, expanded(json.loads(data)), at) for name, data, at in events]
            )
        except (e.UnknownEvent, ArtifactMissing):
            continue
    return found


def expanded(data: dict[str, Json]) -> dict[str, Json]:
    """The data of an event with its artifacts read."""
    return cast("dict[str, Json]", {name: expand(value) for name, value in data.items()})
