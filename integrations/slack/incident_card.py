"""The incident's message: what is wrong, how bad, who has it, what is being done. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from handrail.shared.printable import printable
from integrations.slack.card import Message
from integrations.slack.mrkdwn import cut, cut_escaped, escape, link, literal, moment

_SIGNS = {
    "triage": ":rotating_light:",
    "investigating": ":rotating_light:",
    "identified": ":rotating_light:",
    "mitigated": ":large_yellow_circle:",
    "resolved": ":large_green_circle:",
    "closed": ":large_green_circle:",
    "cancelled": ":heavy_minus_sign:",
    "merged": ":heavy_minus_sign:",
}

MAX_RUNS = 5


@dataclass(frozen=True, slots=True)
class ShownRun:
    """A run of the incident: the runbook with its version, and its state in words."""

    title: str
    state: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentCard:
    """Everything that the message shows, read from the row."""

    label: str
    title: str
    severity: str
    status: str
    url: str
    started_at: datetime
    service: str = ""
    environment: str = ""
    commander: str = ""
    alerts_open: int = 0
    alerts_seen: int = 0
    resolved_at: datetime | None = None
    runs: tuple[ShownRun, ...] = ()
    postmortem_url: str = ""


def render(card: IncidentCard) -> Message:
    """The message that shows this incident as it is now."""
    sign = _SIGNS.get(card.status, "")
    heading = f"{card.severity} {card.label} {card.title}"
    blocks: list[dict[str, Any]] = [
        {
            "type": "header",
            "block_id": "title",
            "text": {"type": "plain_text", "text": cut(printable(heading), 150), "emoji": False},
        },
        _section("state", f"{sign} *{literal(card.status)}*{_where(card)}"),
    ]
    if card.runs:
        lines = [
            f"{link(run.url, cut(run.title, 150))}: {cut_escaped(run.state, 150)}"
            for run in card.runs[-MAX_RUNS:]
        ]
        blocks.append(_section("runs", "\n".join(lines)))
    facts = [f"since {moment(card.started_at)}"]
    if card.resolved_at is not None:
        facts.append(f"resolved {moment(card.resolved_at)}")
    facts.append(f"commander: {literal(card.commander)}" if card.commander else "no commander yet")
    if card.alerts_seen:
        facts.append(f"alerts: {card.alerts_open} firing of {card.alerts_seen}")
    facts.append(link(card.url, "Open the incident"))
    if card.postmortem_url:
        facts.append(link(card.postmortem_url, "Postmortem draft"))
    element = {"type": "mrkdwn", "text": " · ".join(facts), "verbatim": True}
    blocks.append({"type": "context", "block_id": "facts", "elements": [element]})
    text = escape(cut(printable(f"{card.severity} {card.label} {card.title}: {card.status}"), 500))
    return Message(text=text, blocks=tuple(blocks))


def _where(card: IncidentCard) -> str:
    places = [cut_escaped(place, 200) for place in (card.service, card.environment) if place]
    return f" · {' in '.join(places)}" if places else ""


def _section(block_id: str, text: str) -> dict[str, Any]:
    return {
        "type": "section",
        "block_id": block_id,
        "text": {"type": "mrkdwn", "text": text, "verbatim": True},
    }
