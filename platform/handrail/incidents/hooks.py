"""What incidents tell those above them, and the one thing that they ask: may this be resolved by itself?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from handrail.alerts.models import Alert, Source
from handrail.incidents.models import Incident
from handrail.shared.actors import Actor
from handrail.shared.hooks import Hook


class ChangeKind(StrEnum):
    """What happened to an incident."""

    OPENED = "opened"
    JOINED = "joined"
    ALERT_RESOLVED = "alert_resolved"
    ACKNOWLEDGED = "acknowledged"
    INVESTIGATING = "investigating"
    IDENTIFIED = "identified"
    CONTAINED = "contained"
    MITIGATED = "mitigated"
    RESOLVED = "resolved"
    CLOSED = "closed"
    CANCELLED = "cancelled"
    MERGED = "merged"
    REOPENED = "reopened"
    SEVERITY_CHANGED = "severity_changed"
    COMMAND_TAKEN = "command_taken"
    NOTED = "noted"
    CORRECTED = "corrected"


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentChange:
    """One change, told in the transaction that makes it, while the incident's row is locked.

    ``alert`` and ``source`` are set when an alert is behind it. ``storm`` is True when the incident gathers a storm:
    the budget for new incidents was used up. ``reopens`` is True when an alert joins the incident that it has just
    reopened: the change of the kind ``reopened`` before it is the status alone, told without what the alert brings.
    ``starter``: whose runs the change starts, where ``actor`` is a runbook: the starter of its run.
    """

    incident: Incident
    kind: ChangeKind
    actor: Actor
    alert: Alert | None = None
    source: Source | None = None
    storm: bool = False
    reopens: bool = False
    starter: Actor | None = None


incident_changed: Hook[IncidentChange] = Hook("incident_changed")

asks_blockers: list[Callable[[Incident], str | None]] = []
"""Asked before an incident is resolved by its alerts: each answers None, or in words what goes on."""


def blocker_of(incident: Incident) -> str | None:
    """The first thing that speaks against resolving the incident by itself, in words, or None."""
    for ask in asks_blockers:
        answer = ask(incident)
        if answer:
            return answer
    return None
