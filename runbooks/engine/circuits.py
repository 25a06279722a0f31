"""A circuit breaker: whether a target that has failed may be called, and what a call's end says about it.

Closed, everybody passes. So many failures within the window open it: nobody passes before the pause is over, then
one call does, to see (half-open). Its success closes the circuit; its failure opens it for twice as long.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum


class CircuitState(StrEnum):
    """What a circuit does with calls."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Says(StrEnum):
    """What the end of a call says about its target: it answers, it does not, or nothing."""

    WELL = "well"
    ILL = "ill"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Policy:
    """So many failures within ``window`` seconds open it, first for ``pause`` seconds, never for over ``longest``."""

    failures: int = 5
    window: float = 60.0
    pause: float = 30.0
    longest: float = 900.0

    def pause_of(self, openings: int) -> timedelta:
        """How long it stays open when it opens for the ``openings``-th time in a row."""
        return timedelta(seconds=min(self.pause * 2 ** min(openings - 1, 30), self.longest))


@dataclass(frozen=True, slots=True)
class Circuit:
    """One circuit. ``openings`` counts how often in a row it opened; ``probe`` names the call that may see.

    ``kept``: a human keeps it open, until they say otherwise. ``try_at``: when the next call may see; while one does,
    when it is believed to be lost.
    """

    state: CircuitState = CircuitState.CLOSED
    failures: tuple[datetime, ...] = ()
    openings: int = 0
    opened_at: datetime | None = None
    try_at: datetime | None = None
    probe: str = ""
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Passage:
    """Whether a call may pass. ``until``: when it may ask again; None when nobody knows."""

    circuit: Circuit
    passes: bool
    until: datetime | None = None


def ask(circuit: Circuit, who: str, now: datetime, lasts: float) -> Passage:
    """Whether the call ``who`` may pass now; it is believed to be lost when it has not ended in ``lasts`` seconds."""
    if circuit.state is CircuitState.CLOSED or (circuit.probe == who and not circuit.kept):
        return Passage(circuit, passes=True)
    if circuit.kept:
        return Passage(circuit, passes=False)
    if circuit.try_at is not None and now < circuit.try_at:
        return Passage(circuit, passes=False, until=circuit.try_at)
    lost_at = now + timedelta(seconds=lasts)
    return Passage(replace(circuit, state=CircuitState.HALF_OPEN, probe=who, try_at=lost_at), passes=True)


def tell(circuit: Circuit, who: str, says: Says, now: datetime, policy: Policy) -> Circuit:
    """The circuit after the call ``who`` has ended. What a straggler says of an open circuit changes nothing."""
    if circuit.kept:
        return circuit
    if circuit.state is CircuitState.CLOSED:
        return _counted(circuit, now, policy) if says is Says.ILL else circuit
    if circuit.state is CircuitState.OPEN or circuit.probe != who:
        return circuit
    if says is Says.WELL:
        return Circuit()
    if says is Says.ILL:
        return _opened(replace(circuit, failures=(*circuit.failures, now)), now, policy)
    # It has seen nothing: the next call may see.
    return replace(circuit, state=CircuitState.OPEN, probe="", try_at=now)


def _counted(circuit: Circuit, now: datetime, policy: Policy) -> Circuit:
    recent = [at for at in circuit.failures if now - at < timedelta(seconds=policy.window)]
    failed = replace(circuit, failures=(*recent, now)[-policy.failures :])
    return _opened(failed, now, policy) if len(failed.failures) >= policy.failures else failed


def _opened(circuit: Circuit, now: datetime, policy: Policy) -> Circuit:
    openings = circuit.openings + 1
    return replace(
        circuit,
        state=CircuitState.OPEN,
        failures=circuit.failures[-policy.failures :],
        openings=openings,
        opened_at=circuit.opened_at or now,
        try_at=now + policy.pause_of(openings),
        probe="",
    )


def kept_open(circuit: Circuit, now: datetime) -> Circuit:
    """A human keeps it open: nobody passes until they close it."""
    return replace(
        circuit,
        state=CircuitState.OPEN,
        opened_at=circuit.opened_at or now,
        try_at=None,
        probe="",
        kept=True,
    )
