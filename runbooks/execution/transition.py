"""One transition of a run: under its lock, events are recorded, the plan goes on, and all is one commit."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from handrail.shared.ids import new_id
from handrail.shared.statements.writing import Batch, Lost, Value, new_row, written
from handrail.shared.wakeups import before_others
from runbooks.approvals import close_open
from runbooks.engine import events as e
from runbooks.engine.apply import apply
from runbooks.engine.changes import needless_probes
from runbooks.engine.commands import StartStep
from runbooks.engine.deadlines import ready_until
from runbooks.engine.state import COMPENSATE, STEP, Key, NodeState, RunState, changed, key_of
from runbooks.engine.transitions import StepStatus
from runbooks.execution import rows
from runbooks.execution.auditing import audit
from runbooks.execution.hints import Hints
from runbooks.execution.history import Addition, added
from runbooks.execution.live import LiveRun, locked
from runbooks.execution.slots import slot_freed
from runbooks.execution.switching import any_on
from runbooks.hooks import RunChange, run_changed
from runbooks.language.definition import ActionStep, Json, Step
from runbooks.language.rates import Rate
from runbooks.models import Approval, Run, RunEvent, StepAttempt, StepRun

NEEDLESS = "Nobody needs its answer any more."
S = StepStatus


class NeedsLock(Exception):
    """What was begun without the run's lock cannot be done without it: nothing was written, begin again under it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What limits a call, by keys within its project: its circuit, its slot of so many, its rates. Empty: nothing."""

    circuit: str = ""
    slot: str = ""
    slots: int = 1
    rates: tuple[tuple[str, Rate], ...] = ()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt that ended: under which fence, by whom, since when, and how."""

    fence: int
    number: int
    worker: str
    started_at: datetime
    outcome: str
    error: Json = None


class Transition:
    """Opened under the run's lock, inside ``transaction.atomic()``; nothing is written before :meth:`commit`.

    Or, see :mod:`runbooks.execution.at_once`, without either, to be written by :meth:`write_at_once`.

    ``state`` is the run as it will be. ``columns`` are further columns of rows, by key, ``run_columns`` of the run's
    own row; ``guards`` are the conditions without which the whole transition is refused
    (:class:`~handrail.shared.statements.writing.Lost`).
    """

    def __init__(
        self, live: LiveRun, now: datetime, *, switches: bool = True, locked: bool = True, new: bool = False
    ) -> None:
        """Use :func:`open_transition`. ``switches``: whether any kill switch is on, so that the gate has to look.

        Not ``locked``, nothing in memory changes before it is written. ``new``: the run has no row yet.
        """
        self.live = live
        self.now = now
        self.switches = switches
        self.locked = locked
        self._is_new = new
        if locked:
            self._unsettle()
        self.state: RunState = live.state
        self.events: list[e.Event] = []
        self.columns: dict[str, dict[str, Value]] = {}
        self.run_columns: dict[str, Value] = {}
        self.guards: dict[str, dict[str, Value]] = {}
        self._attempts: list[dict[str, Value]] = []
        self.started: list[StartStep] = []
        self.scheduled_at_end: tuple[str, RunState] | None = None
        self.limits: dict[str, Limits] = {}
        self.locked_limits: list[str] = []
        self.to_audit: list[tuple[Run, list[e.Event]]] = []
        self.last_of: dict[str, NodeState] = {}
        self._touched: dict[str, None] = {}
        self._new: dict[str, uuid.UUID] = {}
        self._addition: Addition | None = None
        self._hints = Hints()

    def _unsettle(self) -> None:
        """Until the transaction commits, what stands in memory may be what is rolled back."""
        self.live.settled = False
        transaction.on_commit(self._settle)

    def _settle(self) -> None:
        """What stands in memory is what was committed."""
        self.live.settled = True

    # Recording ----------------------------------------------------------------------------------

    def record(self, event: e.Event) -> None:
        """Append an event to the history-to-be."""
        needless = needless_probes(self.state, event)
        for key in needless:
            node = self.state.node(key)
            self.last_of[key] = node if node.ended else changed(node, status=S.CANCELLED, reason=NEEDLESS)
        before = self.state
        self.state = apply(before, event)
        self.events.append(event)
        self.scheduled_at_end = None
        for key in (*_rows_of(event, self.state), *needless):
            self._touched[key] = None
        if before.paused != self.state.paused:
            self._touched.update(dict.fromkeys(_with_clocks(self.state)))
        if isinstance(event, e.RunFinished):
            self._touched.update(dict.fromkeys(key for key in self.live.ids if self._was_put_back(key)))

    def _was_put_back(self, key: str) -> bool:
        """Whether a step has a row of an earlier time, and its turn did not come again."""
        return Key.parse(key).role == STEP and self.state.node(key).status == S.PENDING

    def schedule(self, command: StartStep) -> None:
        """Make a call claimable from now on."""
        before = self.state
        self.record(e.StepScheduled(at=self.now, key=command.key, attempt=command.attempt, ready_at=self.now))
        self.scheduled_at_end = (command.key, before)
        self.started.append(command)

    def take_back_schedule(self, key: str) -> None:
        """Forget that ``key`` was scheduled if that was the last thing to happen: it starts at once instead."""
        if self.scheduled_at_end is not None and self.scheduled_at_end[0] == key:
            self.events.pop()
            self.state = self.scheduled_at_end[1]
            self.scheduled_at_end = None

    def note_attempt(self, key: str, attempt: Attempt) -> None:
        """One attempt of a step has ended, in whatever way."""
        self._attempts.append(
            {
                "id": new_id(),
                "step_id": self.row_id(key),
                "fence": attempt.fence,
                "number": attempt.number,
                "worker": attempt.worker,
                "started_at": attempt.started_at,
                "ended_at": self.now,
                "outcome": attempt.outcome,
                "error": rows.light(attempt.error),
            }
        )

    def has_touched(self, key: str) -> bool:
        """Whether this transition changes the row of ``key``."""
        return key in self._touched

    def ended_rows(self) -> list[uuid.UUID]:
        """The rows that this transition is about to write, and that do not execute any more."""
        ended = (key for key in self._touched if self.state.node(key).status != S.EXECUTING)
        return [self.live.ids[key] for key in ended if key in self.live.ids]

    def gated_in(self, slot: str) -> int:
        """How many calls of this slot this transition has let through: their rows do not say so yet."""
        return sum(
            limits.slot == slot and self.state.node(key).status == S.EXECUTING
            for key, limits in self.limits.items()
        )

    # Rows ---------------------------------------------------------------------------------------

    def has_row(self, key: str) -> bool:
        """Whether the step has a row already."""
        return key in self.live.ids

    def row_id(self, key: str) -> uuid.UUID:
        """The id of the step's row, which is given to it now if it has none."""
        found = self.live.ids.get(key) or self._new.get(key)
        if found is None:
            found = self._new[key] = new_id()
        return found

    def write_row_now(self, key: str, **values: Value) -> uuid.UUID:
        """Write one row ahead of the others, because somebody refers to it within this transaction."""
        batch = Batch()
        row_id = self.row_id(key)
        if key in self._new:
            row = rows.fresh(self.live.definition, key, row_id, self.live.run, self.now)
            batch.insert(StepRun, [row | rows.following(self.state.node(key)) | values])
        else:
            batch.update(StepRun, row_id, values)
        batch.execute()
        if self._new.pop(key, None) is not None:
            self.live.ids[key], self.live.fences[key] = row_id, 0
        return row_id

    def commit(self, *, within: Transition | None = None) -> None:
        """Write everything and tell the subscribers, inside the transaction; send the hints after it.

        ``within``: the transition that has begun this run. It audits what happened here, last of all.

        Raises :class:`~handrail.shared.statements.writing.Lost` if a guarded row is not what it should be, and
        :class:`NeedsLock` if this was planned without the lock and somebody has moved the run, or thrown a kill
        switch, or taken the key of a new run, meanwhile: nothing is written then.
        """
        if not self.events:
            return
        addition = self.addition()
        if not self._batch(addition).execute():
            raise Lost if self.locked else NeedsLock
        if not self.locked:
            # To write the run's row has locked it, for whoever is told now.
            self.locked = True
            self._unsettle()
        self._remember(addition)
        self._close_questions()
        self._tell()
        self.to_audit.append((self.live.run, self.events))
        if within is not None:
            within.to_audit += self.to_audit
        else:
            for run, events in self.to_audit:
                audit(run, events)
        if self._hints:
            before_others(self._hints.send)

    def is_told(self) -> bool:
        """Whether anybody has to hear of it: a subscriber, or who waits for a slot."""
        if any(self._slot_of(key) for key in self._touched):
            return True
        return any(run_changed.is_heard(change) for change in self._changes())

    def write_at_once(self) -> bool:
        """Write everything if the run is still as it is known; False, and nothing is written, if somebody moved it.

        Only for a transition of which nobody :meth:`is_told`.
        """
        addition = self.addition()
        batch = self._batch(addition)
        # If the answer is lost, nobody knows whether it was written: then memory is not believed.
        self.live.settled = False
        done = batch.execute_at_once()
        self.live.settled = True
        if done:
            self._remember(addition)
            self._hints.send()
        return done

    def addition(self) -> Addition:
        """What it adds to the history and to the run's row; worked out once, when there is nothing more to record."""
        if self._addition is None:
            self._addition = added(self.live.run, self.state, self.events, self.now)
            for name, value in self.run_columns.items():
                self._addition.columns.setdefault(name, value)
        return self._addition

    def _batch(self, addition: Addition) -> Batch:
        """The statements. The run's is the first: whoever finds its revision as it is known writes the others."""
        run = self.live.run
        batch = Batch()
        unless = "" if self.locked else any_on()
        if self._is_new:
            batch.insert_once(Run, new_row(run) | addition.columns)
        else:
            batch.update(Run, run.pk, addition.columns, where={"revision": run.revision}, unless=unless)
        guarded = [key for key in self._touched if key in self.guards]
        others = [key for key in self._touched if key not in self.guards]
        new: list[dict[str, Value]] = []
        for key in (*guarded, *others):
            self._write_row(batch, key, new)
        batch.insert(StepRun, new)
        batch.insert(StepAttempt, self._attempts)
        batch.insert(RunEvent, addition.entries)
        return batch

    def _remember(self, addition: Addition) -> None:
        """What was written is what is known from now on."""
        live = self.live
        if self._is_new:
            written(live.run)
        for name, value in addition.columns.items():
            setattr(live.run, name, value)
        live.ids |= self._new
        live.fences |= dict.fromkeys(self._new, 0)
        for key, values in self.columns.items():
            if isinstance(fence := values.get("fence"), int):
                live.fences[key] = fence
        live.state, live.last_at = self.state, self.now

    def _write_row(self, batch: Batch, key: str, new: list[dict[str, Value]]) -> None:
        node = self.state.nodes.get(key) or self.last_of.get(key) or NodeState()
        row_id = self.row_id(key)
        values = rows.following(node) | self.columns.get(key, {})
        if node.status == S.READY:
            values["due_at"] = ready_until(self.state, self.live.steps[Key.parse(key).node], node)
        if node.status != S.EXECUTING:
            values["lease_until"] = None
            self._free_slot(key, row_id)
        if self.state.paused and not node.ended:
            # Nobody shall find a row to claim or a timer to fire; the history knows when they would be due.
            values |= {"due_at": None, "hinted_at": None}
            if node.status == S.READY:
                values |= {"state": S.WAITING.value, "owner": ""}
        elif self.state.ended and node.status == S.PENDING:
            values |= {"state": S.CANCELLED.value, "reason": "The run ended before its turn came again."}
        elif node.status == S.READY:
            due = node.ready_at is None or node.ready_at <= self.now
            told = due and self._hints.tell_of(row_id, self._pool(key))
            values["hinted_at"] = self.now if told else None
        if key in self._new:
            new.append(rows.fresh(self.live.definition, key, row_id, self.live.run, self.now) | values)
        else:
            guard = self.guards.get(key)
            batch.update(StepRun, row_id, values, where=guard, guarded=guard is not None)

    def _free_slot(self, key: str, row_id: uuid.UUID) -> None:
        """A step that limits its concurrency has ended, or has not begun: whoever waits for its slot is woken."""
        limit = self._slot_of(key)
        if limit and key not in self._new:
            transaction.on_commit(lambda: slot_freed(row_id, limit))

    def _slot_of(self, key: str) -> int:
        """How many of its kind the step lets execute at once; 0 when it does not say."""
        step = self.live.steps[Key.parse(key).node]
        return step.concurrency.limit if isinstance(step, ActionStep) and step.concurrency is not None else 0

    def _pool(self, key: str) -> str:
        return rows.pool_of(self.live.definition, self.live.steps[Key.parse(key).node])

    def _close_questions(self) -> None:
        """Nobody shall be asked for the sake of a step that was cancelled; what others ask stays open."""
        for event in self.events:
            if isinstance(event, e.StepCancelled) and (asked := self.state.node(event.key).approval):
                close_open(asked, Approval.State.CANCELLED, event.reason)

    def _tell(self) -> None:
        for change in self._changes():
            run_changed(change)

    def _changes(self) -> Iterator[RunChange]:
        for event in self.events:
            step: Step | None = None
            step_id: uuid.UUID | None = None
            if isinstance(event, e.StepEvent):
                step = self.live.steps[Key.parse(event.key).node]
                step_id = self.live.ids.get(event.key)
            yield RunChange(self.live.run, event.type, event, self.state, step, step_id)


def open_transition(run_id: uuid.UUID, known: LiveRun | None = None) -> Transition:
    """Lock the run and begin. Inside ``transaction.atomic()``."""
    live, now, switches = locked(run_id, known)
    return Transition(live, now, switches=switches)


def _rows_of(event: e.Event, state: RunState) -> list[str]:
    """The keys of the rows that an event changes. ``state`` is the one after it."""
    if isinstance(event, e.RunReopened):
        # An undoing or a probe that is forgotten keeps its row: it tells of what was.
        return [*event.revived, *(key for key in event.again if Key.parse(key).role == STEP)]
    if not isinstance(event, e.StepEvent):
        return []
    keys = [event.key]
    place = Key.parse(event.key)
    if place.role == COMPENSATE:
        keys.append(key_of(place.node, place.iteration))
    match event:
        case e.StepSkipped() | e.CaseChosen():
            keys += event.inside
        case e.BlockCompensating():
            keys += event.order
        case e.BlockFinished(status=S.COMPENSATION_FAILED):
            keys += state.node(event.key).order
        case e.ApprovalVoided() if event.guarded:
            keys.append(event.guarded)
    return keys


def _with_clocks(state: RunState) -> list[str]:
    """The keys of the rows that wait for a worker or for a time."""
    return [
        key
        for key, node in state.nodes.items()
        if node.status == S.READY or (node.in_flight and node.due_at is not None)
    ]
