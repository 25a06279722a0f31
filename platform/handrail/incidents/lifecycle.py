"""The incident lifecycle as one pure table: which verb leads from which status to which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """Where an incident stands, in the order in which it usually goes."""

    TRIAGE = "triage"
    INVESTIGATING = "investigating"
    IDENTIFIED = "identified"
    MITIGATED = "mitigated"
    RESOLVED = "resolved"
    CLOSED = "closed"
    CANCELLED = "cancelled"
    MERGED = "merged"


class Verb(StrEnum):
    """What people, runbooks and alerts do to an incident's status."""

    ACKNOWLEDGE = "acknowledge"
    INVESTIGATE = "investigate"
    IDENTIFY = "identify"
    MITIGATE = "mitigate"
    RESOLVE = "resolve"
    CLOSE = "close"
    CANCEL = "cancel"
    MERGE = "merge"
    REOPEN = "reopen"


OPEN = frozenset({Status.TRIAGE, Status.INVESTIGATING, Status.IDENTIFIED, Status.MITIGATED})
"""Production is not known to be well: alerts join, and the incident's key is taken."""

ENDED = frozenset(Status) - OPEN


@dataclass(frozen=True, slots=True)
class Rule:
    """One verb: its target by the status it starts from, its past tense, and whether it needs a reason."""

    targets: Mapping[Status, Status]
    done: str
    needs_reason: bool = False


def _all_to(target: Status, sources: frozenset[Status]) -> dict[Status, Status]:
    return dict.fromkeys(sorted(sources), target)


TABLE: Mapping[Verb, Rule] = {
    # Acknowledging says "a human looks at it": only an untouched incident moves by it.
    Verb.ACKNOWLEDGE: Rule({**{s: s for s in OPEN}, Status.TRIAGE: Status.INVESTIGATING}, "acknowledged"),
    # Stepping back is allowed: a cause may turn out not to be one, a mitigation not to hold.
    Verb.INVESTIGATE: Rule(
        _all_to(Status.INVESTIGATING, OPEN - {Status.INVESTIGATING}), "under investigation"
    ),
    Verb.IDENTIFY: Rule(_all_to(Status.IDENTIFIED, OPEN - {Status.IDENTIFIED}), "identified"),
    Verb.MITIGATE: Rule(_all_to(Status.MITIGATED, OPEN - {Status.MITIGATED}), "mitigated"),
    Verb.RESOLVE: Rule(_all_to(Status.RESOLVED, OPEN), "resolved"),
    Verb.CLOSE: Rule({Status.RESOLVED: Status.CLOSED}, "closed"),
    Verb.CANCEL: Rule(_all_to(Status.CANCELLED, OPEN), "cancelled", needs_reason=True),
    Verb.MERGE: Rule(_all_to(Status.MERGED, OPEN), "merged"),
    Verb.REOPEN: Rule(
        _all_to(Status.INVESTIGATING, frozenset({Status.RESOLVED, Status.CLOSED, Status.CANCELLED})),
        "reopened",
    ),
}

EVENT_KINDS: Mapping[Verb, str] = {
    Verb.ACKNOWLEDGE: "incident.acknowledged",
    Verb.INVESTIGATE: "incident.investigating",
    Verb.IDENTIFY: "incident.identified",
    Verb.MITIGATE: "incident.mitigated",
    Verb.RESOLVE: "incident.resolved",
    Verb.CLOSE: "incident.closed",
    Verb.CANCEL: "incident.cancelled",
    Verb.MERGE: "incident.merged",
    Verb.REOPEN: "incident.reopened",
}
"""The kind of the timeline event and of the audit entry that a verb leaves behind."""


def target(status: Status, verb: Verb) -> Status | None:
    """The status that ``verb`` leads to from ``status``; None when it does not apply there."""
    return TABLE[verb].targets.get(status)


def verbs_for(status: Status) -> list[Verb]:
    """The verbs that apply in ``status``, in the order of :class:`Verb`: what a page offers as buttons."""
    return [verb for verb in Verb if target(status, verb) is not None]


def refusal(name: str, status: Status, verb: Verb) -> str:
    """Why ``verb`` does not apply to the incident called ``name`` (like INC-12), and what to do instead."""
    if status is Status.MERGED:
        return f"{name} was merged into another incident: act on that one."
    if verb is Verb.REOPEN:
        return f"{name} is still open ({status}): there is nothing to reopen."
    if verb is Verb.CLOSE:
        if status is Status.CLOSED:
            return f"{name} is closed already."
        return f"{name} is {status}: resolve it before closing it."
    if status in ENDED:
        return f"{name} is {status} already: reopen it first if it is not over."
    return f"{name} is {status} already."
