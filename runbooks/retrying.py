"""Whether steps in doubt may be tried again now: for the act itself, and for pages that offer it for many at once."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from handrail.shared.errors import HandrailError
from runbooks.engine.deciding import retry_refusal
from runbooks.engine.state import PROBE, STEP, RunState, key_of
from runbooks.execution.live import states_of
from runbooks.execution.worker import which_are_dead
from runbooks.language.definition import ActionStep, Effect
from runbooks.language.definition import Runbook as Definition
from runbooks.models import StepRun
from runbooks.versions import definition_of

LOST = ("worker_lost", "poison")
"""The codes of steps whose worker fell silent in the middle."""

UNREADABLE = "This process does not understand the run: try it again where the newer Handrail runs."


@dataclass(frozen=True, slots=True)
class Offer:
    """Whether a step in doubt may be tried again. ``refusal``: why not, in words; empty if it may.

    ``owner_may_act``: in words, that its worker was heard of lately: it may only be tried again by somebody who
    has made sure that this worker is dead. Empty where nobody has to.
    """

    refusal: str = ""
    owner_may_act: str = ""


def needs_dead_owner(definition: Definition, row: StepRun) -> bool:
    """Whether the call changes something, and its worker was lost while it did: then that must be dead first.

    Undoings change something, probes never do.
    """
    step = definition.step(row.node)
    is_reading_step = row.role == STEP and isinstance(step, ActionStep) and step.effect == Effect.READ
    reads = row.role == PROBE or is_reading_step
    return (row.error or {}).get("code") in LOST and not reads


def owner_in_words(row: StepRun) -> str:
    """Why a worker that is not known to be dead is in the way, and what to do."""
    return (
        f"The worker {row.owner} was heard of lately and may still act. Wait until it is known dead, "
        "or make sure that it is, and say so."
    )


def offers(
    rows: Sequence[StepRun], states: Mapping[uuid.UUID, RunState] | None = None
) -> Mapping[uuid.UUID, Offer]:
    """For each of these steps in doubt, by its id; in two queries for all of them.

    The rows come with ``run.version``. ``states`` are those of their runs, by the runs' ids, where they were read.
    """
    if not rows:
        return {}
    known = states_of({row.run_id: row.run for row in rows}.values()) if states is None else states
    refused = {row.pk: _refusal(row, known) for row in rows}
    owned = [
        row for row in rows if not refused[row.pk] and needs_dead_owner(definition_of(row.run.version), row)
    ]
    dead = which_are_dead({row.owner for row in owned})
    alive = {row.pk: owner_in_words(row) for row in owned if row.owner not in dead}
    return {row.pk: Offer(refused[row.pk], alive.get(row.pk, "")) for row in rows}


def all_refused(found: Iterable[Offer]) -> bool:
    """Whether none of several may be tried again."""
    return all(offer.refusal for offer in found)


def _refusal(row: StepRun, states: Mapping[uuid.UUID, RunState]) -> str:
    state = states.get(row.run_id)
    try:
        definition = definition_of(row.run.version)
    except HandrailError:
        return UNREADABLE
    if state is None:
        return UNREADABLE
    return retry_refusal(definition, state, key_of(row.node, row.iteration, row.role)) or ""
