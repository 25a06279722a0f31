"""One alert episode: what the source said, what was decided because of it, and the bodies that were sent."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.dateparse import parse_datetime

from handrail.accounts.permissions import Permission, allows
from handrail.alerts.models import Alert, Delivery
from handrail.alerts.queries import alerts_visible_to, deliveries_of
from handrail.incidents.queries import incidents_of
from handrail.shared.actors import Actor
from handrail.shared.errors import NotFound
from handrail.web.pages import page, shown
from handrail.web.sent_bodies import without_secret

LONGEST_BODY = 40_000
"""Characters of a body on the page; the rest is said to be cut."""
MOST_INCIDENTS = 5
"""An alert belongs to one or two; the newest of more are shown."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One delivery with its body as text."""

    delivery: Delivery
    body: str
    cut: bool


@page("GET")
def alert(request: HttpRequest, actor: Actor, alert_id: uuid.UUID) -> HttpResponse:
    """The page. Bodies may hold what a viewer need not see: they are shown to operators alone."""
    found = alerts_visible_to(actor).filter(pk=alert_id).first()
    if found is None:
        raise NotFound("There is no such alert, or you may not see it.")
    context = {
        "alert": found,
        "links": [link for link in map(_link, found.links) if link["url"]],
        "decisions": [_decision(each) for each in reversed(found.decisions)],
        "incidents": incidents_of(found).order_by("-joined_at")[:MOST_INCIDENTS],
        "may_operate": allows(actor, Permission.OPERATE, found),
        "sent": [_sent(each) for each in deliveries_of(found, actor).defer(None)],
        "episodes": _other_episodes(actor, found),
    }
    return shown(request, "web/alerts/alert.html", context)


def _other_episodes(actor: Actor, found: Alert) -> list[Alert]:
    same = alerts_visible_to(actor).filter(source=found.source_id, fingerprint=found.fingerprint)
    return list(same.exclude(pk=found.pk)[:5])


def _decision(entry: Any) -> dict[str, object]:
    fields = entry if isinstance(entry, dict) else {"text": entry}
    at: datetime | None = parse_datetime(str(fields.get("at", "")))
    return {"at": at, "by": fields.get("by", ""), "text": fields.get("text", "")}


def _link(entry: Any) -> dict[str, str]:
    """A link that came with the alert, ``{"name", "url"}``; only web addresses become links."""
    fields = entry if isinstance(entry, dict) else {}
    url = str(fields.get("url", ""))
    return {
        "url": url if url.startswith(("https://", "http://")) else "",
        "name": str(fields.get("name", "")),
    }


def _sent(delivery: Delivery) -> Sent:
    text = bytes(delivery.body).decode("utf-8", "replace")
    try:
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        # Not JSON, or too deep to be written again: shown as it came.
        text = text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
    text = without_secret(text, delivery.source)
    return Sent(delivery, text[:LONGEST_BODY], len(text) > LONGEST_BODY)
