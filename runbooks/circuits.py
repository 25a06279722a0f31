"""What people do about circuit breakers: look at them, close one now, keep one open. Web and API alike."""

from __future__ import annotations

import uuid

from django.db import transaction
from django.db.models import QuerySet

from handrail.accounts.permissions import Permission, authorize, visible_projects
from handrail.audit.actions import record
from handrail.shared.actors import Actor
from handrail.shared.clock import database_now
from handrail.shared.errors import Conflict, Invalid, NotFound
from handrail.shared.locks import lock
from runbooks.engine import circuits as pure
from runbooks.execution.circuits import circuit_of, lock_name, write
from runbooks.execution.waking import wake_steps
from runbooks.models import Circuit, StepRun

LONGEST_REASON = 400


def circuits_visible_to(actor: Actor) -> QuerySet[Circuit]:
    """The circuits of the projects that the actor sees, newest first; a target that never failed has none."""
    rows = Circuit.objects.filter(project__in=visible_projects(actor))
    return rows.select_related("project").order_by("-pk")


def circuit_visible_to(actor: Actor, circuit_id: uuid.UUID) -> Circuit:
    """The circuit with this id, or NotFound."""
    found = circuits_visible_to(actor).filter(pk=circuit_id).first()
    if found is None:
        raise NotFound("There is no such circuit, or you may not see it.")
    return found


def held_by(rows: list[Circuit]) -> dict[uuid.UUID, int]:
    """How many steps wait for each of these circuits. One query."""
    codes = {lock_name(row.project_id, row.key): row.pk for row in rows}
    counts = dict.fromkeys(codes.values(), 0)
    waiting = StepRun.objects.filter(state=StepRun.State.READY, held__in=list(codes))
    for code in waiting.values_list("held", flat=True):
        counts[codes[code]] += 1
    return counts


@transaction.atomic
def close_now(circuit_id: uuid.UUID, *, actor: Actor, reason: str) -> Circuit:
    """Let everybody through again: whoever does it knows that the target is well. Needs operate, and a reason."""
    row = _locked(circuit_id, actor)
    words = _checked(reason)
    if row.state == Circuit.State.CLOSED:
        raise Conflict("This circuit is closed already: everybody passes.")
    before = row.state
    write(row, pure.Circuit(), database_now())
    wake_steps(lock_name(row.project_id, row.key))
    record(actor, "circuit.closed", row, data={"key": row.key, "reason": words}, before=before)
    return row


@transaction.atomic
def keep_open(circuit_id: uuid.UUID, *, actor: Actor, reason: str) -> Circuit:
    """Let nobody through until a human closes it, not even one to see. Needs operate, and a reason."""
    row = _locked(circuit_id, actor)
    words = _checked(reason)
    if row.kept:
        raise Conflict(f"{row.by} keeps this circuit open already: {row.reason}")
    now = database_now()
    before = row.state
    row.reason, row.by = words, actor.name[:200]
    write(row, pure.kept_open(circuit_of(row), now), now)
    record(actor, "circuit.kept_open", row, data={"key": row.key, "reason": words}, before=before)
    return row


def _locked(circuit_id: uuid.UUID, actor: Actor) -> Circuit:
    """The circuit under its lock, for somebody who may operate it."""
    found = Circuit.objects.filter(pk=circuit_id).select_related("project").first()
    if found is None:
        raise NotFound("There is no such circuit, or you may not see it.")
    authorize(actor, Permission.OPERATE, found)
    lock(lock_name(found.project_id, found.key))
    return Circuit.objects.select_related("project").get(pk=circuit_id)


def _checked(reason: str) -> str:
    words = reason.strip()
    if not words:
        raise Invalid("Say why: whoever waits for this target will want to know.")
    if len(words) > LONGEST_REASON:
        raise Invalid(f"The reason has {len(words)} characters; {LONGEST_REASON} are kept. Shorten it.")
    return words
