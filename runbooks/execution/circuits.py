"""Circuit breakers in their rows: asked at the gate, told after a call has ended.

Most targets are well. So a process remembers for a second which circuits are not closed, and a call to any other
target costs nothing. What is decided about a circuit that is not closed is decided under its lock.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from datetime import datetime

import structlog
from django.conf import settings
from django.db import Error, transaction

from handrail.audit.actions import record
from handrail.shared.clock import database_now
from handrail.shared.locks import lock
from runbooks.engine import circuits as pure
from runbooks.engine.circuits import CircuitState, Policy, Says
from runbooks.engine.commands import StartStep
from runbooks.execution.auditing import ENGINE
from runbooks.execution.holds import Hold
from runbooks.execution.transition import Transition
from runbooks.execution.waking import wake_steps
from runbooks.execution.worker import lease
from runbooks.models import Circuit
from runbooks.steps.base import Outcome, Success

log = structlog.get_logger(__name__)

LOOK_EVERY = 1.0
"""Seconds for which a process relies on what it knows of a project's circuits."""

USUAL_CALL = 60.0
"""Seconds that a call may take whose step does not say otherwise."""

LONGEST_REASON = 500

ILL = frozenset(
    {
        *("timeout", "connect_failed", "connection_lost", "dns_failed"),
        *("server_error", "bad_response", "heartbeat_timeout"),
    }
)
"""The codes of failures that say that a target is not well: no connection, no answer, a fault of its own."""

NOTHING = frozenset(
    {"cancelled", "action_raised", "killed", "not_installed", "secret_not_found", "connection_not_found"}
)
"""The codes of failures that say nothing about it. Any other failure is an answer: the target is there."""


@dataclass(frozen=True, slots=True)
class Heard:
    """How a call went. ``who`` is the id of its step's row, ``step`` its name for people."""

    project_id: uuid.UUID
    key: str
    who: str
    step: str
    outcome: Outcome


def lock_name(project_id: uuid.UUID, key: str) -> str:
    """The name of a circuit's lock, and of what it holds (``StepRun.held``)."""
    return f"circuit:{project_id.hex}:{key}"


def may_hold(project_id: uuid.UUID, key: str) -> bool:
    """Whether this circuit may be other than closed, as far as this process knows."""
    return key in _memory.of(project_id)


def ask(transition: Transition, command: StartStep, key: str) -> Hold | None:
    """Whether the circuit lets this call through; inside the gate's transaction, which has locked the circuit."""
    run, now = transition.live.run, transition.now
    row = Circuit.objects.filter(project=run.project_id, key=key).first()
    if row is None:
        return None
    known = circuit_of(row)
    lasts = (command.step.timeout or USUAL_CALL) + lease().total_seconds()
    answer = pure.ask(known, str(transition.row_id(command.key)), now, lasts)
    if answer.circuit != known:
        write(row, answer.circuit, now)
    if answer.passes:
        return None
    return Hold(words_of(row, answer.until), lock_name(run.project_id, key), answer.until)


def words_of(row: Circuit, until: datetime | None) -> str:
    """Why a step waits for this circuit, and for how long."""
    since = f" since {row.opened_at:%H:%M:%S} UTC" if row.opened_at else ""
    if row.kept:
        return f"{row.by} keeps the circuit of {row.key} open{since}: {row.reason}"
    if row.probe:
        return f"The circuit of {row.key} is open{since}; another step sees whether it is well again."
    tries = f" Tried again at {until:%H:%M:%S} UTC." if until else ""
    return f"The circuit of {row.key} is open{since}: {row.reason}.{tries}"


def heard(call: Heard) -> None:
    """Tell the circuit how a call went; after the commit of its completion, in a transaction of its own.

    What is lost between the two is one observation; a probe that is never told of is believed to be lost in time.
    A database that fails just now must not cost the next step, which the worker has in hand already.
    """
    try:
        _heard(call, says_of(call.outcome))
    except Error as error:
        log.warning("circuit_not_told", key=call.key, error=str(error))


def _heard(call: Heard, says: Says) -> None:
    watched = may_hold(call.project_id, call.key)
    if not watched and (says is not Says.ILL or not settings.CIRCUIT_FAILURES):
        return
    with transaction.atomic():
        lock(lock_name(call.project_id, call.key))
        now = database_now()
        row = Circuit.objects.filter(project=call.project_id, key=call.key).first()
        if row is None:
            if says is not Says.ILL:
                return
            row = Circuit(project_id=call.project_id, key=call.key, created_at=now, updated_at=now)
            row.save(force_insert=True)
        before = circuit_of(row)
        after = pure.tell(before, call.who, says, now, policy())
        if after == before:
            return
        if after.state is CircuitState.OPEN and says is Says.ILL:
            row.reason, row.by = _why(call), ""
        write(row, after, now)
        if after.state is not before.state:
            _tell_of_change(row, before)


def _why(call: Heard) -> str:
    failure = call.outcome
    if isinstance(failure, Success):
        return ""
    message = " ".join(failure.message.split()).rstrip(".")
    return f"{call.step}: {failure.code}: {message}"[:LONGEST_REASON]


def _tell_of_change(row: Circuit, before: pure.Circuit) -> None:
    """A circuit opened, or closed, or waits for the next who may see: those that it holds, and the auditor, know."""
    log.warning("circuit_changed", key=row.key, before=before.state.value, after=row.state, reason=row.reason)
    if row.state == Circuit.State.CLOSED or row.try_at == row.updated_at:
        wake_steps(lock_name(row.project_id, row.key))
    verb = {"closed": "circuit.closed", "open": "circuit.opened"}.get(row.state)
    if verb is not None:
        record(ENGINE, verb, row, data={"key": row.key, "reason": row.reason, "openings": row.openings})


def policy() -> Policy:
    """When circuits of this installation open; one that never does by itself needs more failures than there are."""
    return Policy(
        failures=settings.CIRCUIT_FAILURES or 1_000_000,
        window=settings.CIRCUIT_WINDOW_SECONDS,
        pause=settings.CIRCUIT_PAUSE_SECONDS,
    )


def says_of(outcome: Outcome) -> Says:
    """What the end of a call says about its target."""
    if isinstance(outcome, Success):
        return Says.WELL
    if outcome.code in ILL:
        return Says.ILL
    return Says.NOTHING if outcome.code in NOTHING else Says.WELL


def circuit_of(row: Circuit) -> pure.Circuit:
    """The circuit that a row is."""
    return pure.Circuit(
        state=CircuitState(row.state),
        failures=tuple(datetime.fromisoformat(str(at)) for at in row.failures),
        openings=row.openings,
        opened_at=row.opened_at,
        try_at=row.try_at,
        probe=row.probe,
        kept=row.kept,
    )


def write(row: Circuit, circuit: pure.Circuit, now: datetime) -> None:
    """Make the row say this; inside the transaction that has locked it."""
    row.state = Circuit.State(circuit.state.value)
    row.failures = [at.isoformat() for at in circuit.failures]
    row.openings, row.opened_at, row.try_at = circuit.openings, circuit.opened_at, circuit.try_at
    row.probe, row.kept, row.updated_at = circuit.probe, circuit.kept, now
    if circuit.state is CircuitState.CLOSED:
        row.reason = row.by = ""
    row.save()
    _memory.forget(row.project_id)
    transaction.on_commit(lambda: _memory.forget(row.project_id))


class _Memory:
    """By project, the keys of the circuits that are not closed, and when they were read. Safe without a lock:
    whoever is overtaken has read what was true less than a second ago.
    """

    def __init__(self) -> None:
        self._known: dict[uuid.UUID, tuple[float, frozenset[str]]] = {}

    def of(self, project_id: uuid.UUID) -> frozenset[str]:
        known = self._known.get(project_id)
        if known is not None and time.monotonic() - known[0] < LOOK_EVERY:
            return known[1]
        rows = Circuit.objects.filter(project=project_id).exclude(state=Circuit.State.CLOSED)
        found = frozenset(rows.values_list("key", flat=True))
        self._known[project_id] = (time.monotonic(), found)
        return found

    def forget(self, project_id: uuid.UUID) -> None:
        self._known.pop(project_id, None)


_memory = _Memory()
