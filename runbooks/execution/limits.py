"""What limits a call at the gate: its target's circuit, its slot, its target's rate; decided in the gate's transaction.

Limits are locked in the order of their keys, and before the incident, so that two gates never wait for each other.
"""

from __future__ import annotations

import hashlib
import time
import uuid
from datetime import datetime, timedelta

from handrail.catalog.kinds import RATE
from handrail.catalog.models import Connection
from handrail.incidents import timeline
from handrail.shared.locks import lock
from runbooks.engine import buckets
from runbooks.engine.commands import StartStep
from runbooks.engine.names import names
from runbooks.engine.sampling import deadline_of
from runbooks.engine.state import STEP
from runbooks.execution import circuits, slots
from runbooks.execution.holds import CHECKS, Hold
from runbooks.execution.transition import Limits, Transition
from runbooks.language.definition import ActionStep, WaitUntilStep
from runbooks.language.expressions import render
from runbooks.language.rates import Rate, rate_of
from runbooks.models import TokenBucket
from runbooks.steps.registry import get

LOOK_AGAIN = timedelta(seconds=60)
"""When a step that waits for a slot looks by itself, should nobody have woken it."""

REMEMBERED_SECONDS = 5.0
"""For so long a process keeps what it has read of the connections' rates."""

LONGEST_KEY = 150


def limits_of(transition: Transition, command: StartStep, target: str) -> Limits:
    """What limits this call. Raises ExpressionError for a key that cannot be rendered.

    The target's own limits are those of a connection; a step may name a circuit and a rate for any other target.
    """
    step, live = command.step, transition.live
    own = step if isinstance(step, ActionStep) and command.role == STEP else None
    connection = target if get(command.call.uses).spec.connection_kind else ""
    rates: list[tuple[str, Rate]] = []
    if connection and (rate := _rates_of(live.run.project_id).get(connection)) is not None:
        rates.append((f"connection:{connection}", rate))
    if own is not None and own.rate:
        wanted = rate_of(own.rate)
        rates.append((_short(f"{target}@{wanted.text}"), wanted))
    if own is None or (own.circuit is None and own.concurrency is None):
        return Limits(circuit=_short(connection), rates=tuple(rates))
    context = names(live.definition, transition.state, command.key)
    circuit = connection
    if own.circuit is not None:
        circuit = str(render(own.circuit, context, path=f"{step.path}.circuit"))
    if own.concurrency is None:
        return Limits(circuit=_short(circuit), rates=tuple(rates))
    key = str(render(own.concurrency.key, context, path=f"{step.path}.concurrency.key"))
    slot = f"slot:{live.run.project_id.hex}:{_short(key)}"
    return Limits(_short(circuit), slot, own.concurrency.limit, tuple(rates))


def check(transition: Transition, command: StartStep, target: str) -> Hold | None:
    """What keeps the call back: an open circuit, a full slot, a rate that is used up. Only then a token is taken."""
    limits = transition.limits.get(command.key, Limits())
    project = transition.live.run.project_id
    watched = limits.circuit if limits.circuit and circuits.may_hold(project, limits.circuit) else ""
    if not (watched or limits.slot or limits.rates) or _must_end(transition, command):
        return None
    wanted = [f"bucket:{project.hex}:{key}" for key, _ in limits.rates]
    wanted += [circuits.lock_name(project, watched)] if watched else []
    wanted += [limits.slot] if limits.slot else []
    if not _lock(transition, wanted):
        return Hold("Another step of the run is at the gate.", "turn", transition.now)
    hold = None
    if limits.slot:
        hold = _slot(transition, limits)
    if hold is None and watched:
        hold = circuits.ask(transition, command, watched)
    for key, rate in limits.rates if hold is None else ():
        hold = hold or _token(transition, command, key, rate)
    return _in_time(transition, command, hold)


def _lock(transition: Transition, names_of_locks: list[str]) -> bool:
    """Take these locks; False where that would break the order, because this transaction holds later ones."""
    wanted = sorted(set(names_of_locks) - set(transition.locked_limits))
    if wanted and transition.locked_limits and wanted[0] < max(transition.locked_limits):
        return False
    incident = transition.live.run.incident_id
    if wanted and incident is not None and timeline.holds(incident):
        # A run that was begun in this transaction has told its incident, for which others wait with these locks.
        return False
    for name in wanted:
        lock(name)
    transition.locked_limits += wanted
    return True


def _slot(transition: Transition, limits: Limits) -> Hold | None:
    taken = slots.taken(limits.slot, transition.ended_rows()) + transition.gated_in(limits.slot)
    if taken < limits.slots:
        return None
    key = limits.slot.split(":", 2)[2]
    words = f"{limits.slots} call{'s' if limits.slots > 1 else ''} at once"
    return Hold(
        f"Waits for its turn: no more than {words} for {key}.", limits.slot, transition.now + LOOK_AGAIN
    )


def _token(transition: Transition, command: StartStep, key: str, rate: Rate) -> Hold | None:
    """Take a token, or wait until one is due. The bucket is this transaction's alone."""
    now, code = transition.now, f"rate:{key}"
    project = transition.live.run.project_id
    row = TokenBucket.objects.filter(project=project, key=key).first()
    known = buckets.full(rate, now) if row is None else buckets.Bucket(row.tokens, row.at, row.line_until)
    node = transition.state.node(command.key)
    bucket, due = buckets.take(known, rate, now, promised=node.held == code)
    fields = {"tokens": bucket.tokens, "at": bucket.at, "line_until": bucket.line_until}
    if row is None:
        TokenBucket.objects.create(project_id=project, key=key, **fields)
    else:
        TokenBucket.objects.filter(pk=row.pk).update(**fields)
    if due is None:
        return None
    name = key.removeprefix("connection:").partition("@")[0]
    return Hold(f"Waits for its turn: {name} takes no more than {rate.text}.", code, due)


def _must_end(transition: Transition, command: StartStep) -> bool:
    """Whether a `wait_until` has reached its end: its last look is made whatever limits it."""
    ends = _ends(transition, command)
    return ends is not None and transition.now >= ends


def _in_time(transition: Transition, command: StartStep, hold: Hold | None) -> Hold | None:
    """A `wait_until` is not held for longer than its own time."""
    ends = _ends(transition, command)
    if hold is None or ends is None:
        return hold
    return Hold(hold.reason, hold.code, ends if hold.until is None else min(hold.until, ends))


def _ends(transition: Transition, command: StartStep) -> datetime | None:
    step = command.step
    return deadline_of(transition.state.node(command.key), step) if isinstance(step, WaitUntilStep) else None


def _short(key: str) -> str:
    """A key that fits into its column; a longer one is told apart by its digest."""
    if len(key) <= LONGEST_KEY:
        return key
    return f"{key[: LONGEST_KEY - 17]}~{hashlib.sha256(key.encode()).hexdigest()[:16]}"


_rates: dict[uuid.UUID, tuple[float, dict[str, Rate]]] = {}
"""By project, the rates of its connections and when they were read."""


def _rates_of(project_id: uuid.UUID) -> dict[str, Rate]:
    known = _rates.get(project_id)
    if known is not None and time.monotonic() - known[0] < REMEMBERED_SECONDS:
        return known[1]
    rows = Connection.objects.filter(project=project_id, options__has_key=RATE)
    found = {name: rate_of(str(options[RATE])) for name, options in rows.values_list("name", "options")}
    _rates[project_id] = (time.monotonic(), found)
    return found


CHECKS.append(check)
