"""Takes a run as far as it goes within one transaction; a worker takes the next call with it: the fast path."""

from __future__ import annotations

from runbooks.engine.commands import Record, StartRun, StartStep
from runbooks.engine.plan import plan
from runbooks.engine.transitions import StepStatus
from runbooks.execution.asking import ask
from runbooks.execution.gate import Work, gate
from runbooks.execution.rows import pool_of
from runbooks.execution.subruns import begin
from runbooks.execution.transition import Transition
from runbooks.execution.worker import Me
from runbooks.steps.registry import UnknownAction

_CLAIMABLE_BEFORE = (
    "waiting", "succeeded", "failed", "timed_out", "cancelled", "uncertain", "skipped", "compensated",
)  # fmt: skip
"""The states of a row that exists already and is started again: by a void approval, a second probe, a resumed run."""


def advance(transition: Transition, me: Me | None = None, *, room: int = 1) -> list[Work]:
    """Do what the plan commands until it commands nothing more.

    Calls become ready, to be announced on commit. ``me`` takes the first ones of its pools at once, as many as it has
    ``room`` for: claimed, gated and executing in this very transaction.
    """
    taken: list[Work] = []
    offered: set[str] = set()
    while True:
        # Obeyed as planned, a plan leads to nothing more; a refusal at the gate, or a failed question, does.
        as_planned = _obey(transition)
        while me is not None and len(taken) < room and as_planned:
            offer = _offer(transition, me, offered)
            if offer is None:
                break
            offered.add(offer.key)
            before = len(transition.events)
            work = _take(transition, offer, me)
            if work is not None:
                taken.append(work)
            as_planned = work is not None or len(transition.events) == before
        if as_planned:
            return taken


def _obey(transition: Transition) -> bool:
    """Do what the plan commands; False when something failed that the plan could not foresee."""
    as_planned = True
    for command in plan(transition.live.definition, transition.state, transition.now):
        if isinstance(command, Record):
            transition.record(command.event)
        elif isinstance(command, StartStep):
            transition.schedule(command)
        elif isinstance(command, StartRun):
            as_planned = begin(transition, command, advance) and as_planned
        else:
            as_planned = ask(transition, command) and as_planned
    return as_planned


def _offer(transition: Transition, me: Me, offered: set[str]) -> StartStep | None:
    """The first call that this transition made ready, in a pool of mine."""
    for command in transition.started:
        ready = transition.state.node(command.key).status == StepStatus.READY
        if (
            ready
            and command.key not in offered
            and pool_of(transition.live.definition, command.step) in me.pools
        ):
            return command
    return None


def _take(transition: Transition, command: StartStep, me: Me) -> Work | None:
    """Claim and gate in one; a call whose action this process does not know is left for another worker."""
    key = command.key
    known = transition.has_row(key)
    fence = transition.live.fences.get(key, 0) + 1
    try:
        work = gate(transition, command, me, fence)
    except UnknownAction:
        return None
    if known:
        transition.guards[key] = {"fence": fence - 1, "state": _CLAIMABLE_BEFORE}
    return work
