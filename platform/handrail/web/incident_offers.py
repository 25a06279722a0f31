"""Which verbs an incident's page offers, in which order, and what each says before it is pressed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from handrail.incidents.lifecycle import Status, Verb, target
from handrail.incidents.models import Incident


@dataclass(frozen=True, slots=True)
class Offer:
    """A verb with its button and its question. ``asks``: a dialog with a reason comes first."""

    verb: str
    word: str
    icon: str
    title: str
    effect: str
    asks: bool = True
    needs_reason: bool = False
    danger: bool = False
    key: str = ""
    reason_hint: str = ""

    @property
    def anchor(self) -> str:
        """The id of its dialog."""
        return f"ask-{self.verb}"


_OFFERS = (
    Offer(
        Verb.ACKNOWLEDGE,
        "Acknowledge",
        "eye",
        "Acknowledge?",
        "Everybody sees that you look at it. Runs go on.",
        asks=False,
        key="a",
    ),
    Offer(
        Verb.INVESTIGATE,
        "Investigating...",
        "search",
        "Back to investigating?",
        "The incident counts as not mitigated again. Runs go on.",
        reason_hint="What did not hold",
    ),
    Offer(
        Verb.IDENTIFY,
        "Cause found...",
        "search",
        "The cause is found?",
        "The incident is “identified”. The cause goes into the postmortem. Runs go on.",
        key="i",
        reason_hint="What it was, as far as you know",
    ),
    Offer(
        Verb.MITIGATE,
        "Mitigated...",
        "shield-check",
        "Customers are well again?",
        "The incident is “mitigated” and stays open until the cause is gone. Runs and alerts go on.",
        key="m",
        reason_hint="What helped",
    ),
    Offer(
        Verb.RESOLVE,
        "Resolve...",
        "circle-check",
        "It is over?",
        "The incident is resolved and its postmortem draft is written. Runs that are still going are not "
        "stopped. An alert that fires again within 30 minutes opens it again.",
        key="r",
        reason_hint="How it ended",
    ),
    Offer(
        Verb.CLOSE,
        "Close...",
        "archive",
        "Put it to rest?",
        "Alerts that fire from now on open a new incident. The postmortem can still be edited.",
    ),
    Offer(
        Verb.REOPEN,
        "Reopen...",
        "flame",
        "It is not over?",
        "The incident is open again and the clocks run on. Alerts join it again.",
        reason_hint="What you see",
    ),
    Offer(
        Verb.MERGE,
        "Merge...",
        "link",
        "Merge into another incident?",
        "This incident ends. Its alerts and their new events go to the other one; its timeline stays readable.",
    ),
    Offer(
        Verb.CANCEL,
        "Cancel...",
        "ban",
        "It never was an incident?",
        "It counts in no figures and gets no postmortem. Runs that are still going are not stopped.",
        needs_reason=True,
        danger=True,
        reason_hint="Why it is none: a drill, a wrong threshold",
    ),
)

OFFERS = {offer.verb: offer for offer in _OFFERS}

_NEXT = {
    Status.TRIAGE: Verb.MITIGATE,
    Status.INVESTIGATING: Verb.MITIGATE,
    Status.IDENTIFIED: Verb.MITIGATE,
    Status.MITIGATED: Verb.RESOLVE,
    Status.RESOLVED: Verb.CLOSE,
}
"""What usually comes next from each status: the one primary button."""


@dataclass(frozen=True, slots=True)
class Offered:
    """The buttons of a page: the next one, those beside it, and the rest in a menu."""

    primary: Offer | None
    beside: Sequence[Offer]
    menu: Sequence[Offer]


def offered(incident: Incident, *, may_respond: bool) -> Offered:
    """What applies now and is permitted; the page of somebody who only looks has no buttons."""
    if not may_respond:
        return Offered(None, (), ())
    status = Status(incident.status)
    possible = [verb for verb in Verb if target(status, verb) is not None]
    if incident.acknowledged_at is not None and Verb.ACKNOWLEDGE in possible:
        possible.remove(Verb.ACKNOWLEDGE)
    first = Verb.ACKNOWLEDGE if Verb.ACKNOWLEDGE in possible else _NEXT.get(status)
    beside: list[Verb] = [
        verb for verb in (Verb.MITIGATE, Verb.RESOLVE) if verb in possible and verb is not first
    ]
    if status in (Status.RESOLVED, Status.CANCELLED, Status.CLOSED):
        beside = [Verb.REOPEN]
    menu = [verb for verb in possible if verb is not first and verb not in beside]
    return Offered(
        OFFERS[first] if first is not None else None,
        [OFFERS[verb] for verb in beside],
        [OFFERS[verb] for verb in menu],
    )
