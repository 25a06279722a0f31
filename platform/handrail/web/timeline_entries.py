"""Timeline events as a page shows them: sign and colour, where the evidence is, and which filter they pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import Q

from handrail.incidents.models import TimelineEvent
from handrail.web.signs import sign_of

SHOWS: Mapping[str, str] = {
    "": "All",
    "decisions": "Decisions",
    "runs": "Runs",
    "messages": "Messages",
    "alerts": "Alerts",
}
"""The timeline's filters, by the value of ``?show=``, and their words."""

_FILTERS: Mapping[str, Q] = {
    "decisions": Q(kind__startswith="incident.")
    | Q(kind__startswith="approval.")
    | Q(kind__startswith="trigger."),
    "runs": Q(kind__startswith="run.") | Q(kind__startswith="step."),
    "messages": Q(kind="note") | Q(kind__startswith="message."),
    "alerts": Q(kind__startswith="alert."),
}

_SIGNS: Mapping[str, tuple[str, str]] = {
    "incident.opened": ("failed", "flame"),
    "incident.acknowledged": ("waiting", "eye"),
    "incident.investigating": ("waiting", "search"),
    "incident.identified": ("waiting", "search"),
    "incident.contained": ("ok", "shield-check"),
    "incident.mitigated": ("running", "shield-check"),
    "incident.resolved": ("ok", "circle-check"),
    "incident.resolve_blocked": ("waiting", "hourglass"),
    "incident.closed": ("skipped", "archive"),
    "incident.cancelled": ("skipped", "ban"),
    "incident.merged": ("skipped", "link"),
    "incident.absorbed": ("neutral", "link"),
    "incident.reopened": ("failed", "flame"),
    "incident.severity_changed": ("waiting", "triangle-alert"),
    "incident.command_taken": ("neutral", "user-check"),
    "incident.corrected": ("neutral", "pencil"),
    "alert.fired": ("failed", "bell"),
    "alert.changed": ("waiting", "bell"),
    "alert.resolved": ("ok", "bell"),
    "run.started": ("running", "play"),
    "run.skipped": ("skipped", "skip-forward"),
    "run.attached": ("neutral", "link"),
    "run.stopped": ("waiting", "circle-stop"),
    "trigger.decided": ("neutral", "route"),
    "trigger.failed": ("failed", "triangle-alert"),
    "approval.asked": ("waiting", "hand"),
    "approval.expired": ("failed", "timer"),
    "note": ("neutral", "message-square"),
}
"""Kind -> (tone, icon), where the kind alone says it; outcomes are read from the event's data."""

_CHANNELS = {"web": "web", "slack": "Slack", "api": "API", "cli": "command line"}
_EVIDENCE = {
    "run": "Open the run",
    "step": "Open the step",
    "steprun": "Open the step",
    "approval": "Open the approval",
    "alert": "Open the alert",
    "incident": "Open the incident",
}
_PAGES = {
    "alert": "/alerts/{}/",
    "incident": "/incidents/{}/",
    "run": "/runs/{}/",
    "approval": "/approvals/{}/",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the timeline. ``new_day`` is set where the day differs from the line above."""

    n: int
    at: datetime
    kind: str
    tone: str
    sign: str
    text: str
    actor: str
    channel: str
    evidence_url: str
    evidence_word: str
    new_day: datetime | None = None

    @property
    def anchor(self) -> str:
        """Where links to this event lead."""
        return f"event-{self.n}"


def filter_of(show: str) -> Q:
    """The condition of a filter; an unknown one shows everything."""
    return _FILTERS.get(show, Q())


def entries_of(events: Iterable[TimelineEvent]) -> Sequence[Entry]:
    """The events in the order given, each with the day when it is another one than before."""
    entries: list[Entry] = []
    day = None
    for event in events:
        another = event.at.date() != day
        entries.append(_entry(event, event.at if another else None))
        day = event.at.date()
    return entries


def _entry(event: TimelineEvent, new_day: datetime | None) -> Entry:
    tone, sign = _sign(event)
    by_a_person = event.actor_kind == "user"
    url = _evidence_url(event)
    return Entry(
        n=event.n,
        at=event.at,
        kind=event.kind,
        tone=tone,
        sign=sign,
        text=event.text,
        # Other events name their actor in their own words.
        actor=event.actor_name if event.kind == "note" else "",
        channel=_CHANNELS.get(event.channel, "") if by_a_person else "",
        evidence_url=url,
        evidence_word=_evidence_word(url, event.subject_type) if url else "",
        new_day=new_day,
    )


def _sign(event: TimelineEvent) -> tuple[str, str]:
    known = _SIGNS.get(event.kind)
    if known is not None:
        return known
    data = event.data if isinstance(event.data, dict) else {}
    if event.kind in ("run.finished", "approval.decided"):
        word = data.get("state") or data.get("outcome") or data.get("decision") or "done"
        sign = sign_of(word if isinstance(word, str) else "done")
        return sign.tone, sign.icon
    area, _, what = event.kind.partition(".")
    if area in ("run", "step", "approval"):
        sign = sign_of(what)
        return sign.tone, sign.icon
    return "neutral", "circle-dot"


def _evidence_word(url: str, subject_type: str) -> str:
    """What the link opens: a step's event may lead to its approval."""
    if url.startswith("/approvals/"):
        return _EVIDENCE["approval"]
    return _EVIDENCE.get(subject_type, "Open the evidence")


def _evidence_url(event: TimelineEvent) -> str:
    """A path of this site where the event's own address is one; nothing that is not a web address."""
    base: str = settings.BASE_URL
    if base and event.url.startswith(f"{base}/"):
        return event.url.removeprefix(base)
    if event.url.startswith(("https://", "http://")) or (
        event.url.startswith("/") and not event.url.startswith("//")
    ):
        return event.url
    page = _PAGES.get(event.subject_type)
    if page is None or event.subject_id == str(event.incident_id):
        return ""
    return page.format(event.subject_id)
