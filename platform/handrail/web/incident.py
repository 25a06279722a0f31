"""One incident: where it stands, the clock, what runs, who is there, its alerts and its timeline."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from django.db.models import Count, Max, Q, QuerySet, Sum
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

from handrail.accounts.permissions import Permission, allows
from handrail.alerts.models import Alert
from handrail.incidents import queries
from handrail.incidents.models import Incident, IncidentAlert, Postmortem, TimelineEvent
from handrail.incidents.severities import Sev
from handrail.shared.actors import Actor
from handrail.shared.errors import HandrailError, NotFound
from handrail.web.incident_offers import OFFERS, offered
from handrail.web.live import live
from handrail.web.pages import page, shown
from handrail.web.timeline_entries import SHOWS, entries_of, filter_of
from runbooks.models import Run
from runbooks.queries import approvals_visible_to, runs_visible_to, states_in_words

PAGE_SIZE = 200
"""Timeline events on one page; older ones are a link away."""
MOST_ALERTS = 20
MOST_APPROVALS = 10
"""The most urgent ones; all stand under Approvals."""
MOST_OTHERS = 50
"""Open incidents that a merge may go to: more than fit into a choice are merged by number."""


@page("GET")
def incident(request: HttpRequest, actor: Actor, incident_id: uuid.UUID) -> HttpResponse:
    """The page; ``?show=decisions|runs|messages|alerts`` filters the timeline, ``?before=N`` pages it."""
    found = incident_visible_to(actor, incident_id)
    return shown(request, "web/incidents/incident.html", incident_context(request, actor, found))


@page("GET")
def incident_live(request: HttpRequest, actor: Actor, incident_id: uuid.UUID) -> StreamingHttpResponse:
    """The stream of the page's changes."""
    return live(request, lambda: _look(actor, incident_id))


def incident_visible_to(actor: Actor, incident_id: uuid.UUID) -> Incident:
    """The incident with this id, or NotFound."""
    found = queries.incidents_visible_to(actor).filter(pk=incident_id).first()
    if found is None:
        raise NotFound("There is no such incident, or you may not see it.")
    return found


def incident_context(
    request: HttpRequest, actor: Actor, found: Incident, *, refusal: HandrailError | None = None
) -> dict[str, Any]:
    """What the page shows; ``refusal`` is what a verb met, told at the top."""
    runs = list(runs_visible_to(actor).filter(incident=found)[:10])
    pending = approvals_visible_to(actor).filter(run__incident=found, state="pending")
    waiting = list(pending.order_by("expires_at", "pk")[: MOST_APPROVALS + 1])
    may_respond = allows(actor, Permission.RESPOND, found)
    alerts = list(queries.alerts_of(found)[: MOST_ALERTS + 1])
    return {
        "incident": found,
        # The page also answers for a refused verb, below another address: its links are absolute.
        "here": f"/incidents/{found.pk}/",
        "clock": _clock(found),
        "offers": offered(found, may_respond=may_respond),
        "questions": [offer for offer in OFFERS.values() if offer.asks] if may_respond else [],
        "may_respond": may_respond,
        "severities": list(Sev),
        "others": _others(actor, found) if may_respond and found.is_open else [],
        "main_run": _main_run(runs),
        "runs": runs,
        "run_words": states_in_words(runs),
        "approvals": waiting[:MOST_APPROVALS],
        "more_approvals": len(waiting) > MOST_APPROVALS,
        "alerts": alerts[:MOST_ALERTS],
        "more_alerts": len(alerts) > MOST_ALERTS,
        "alerts_seen": _seen(found),
        "command_since": _command_since(found),
        "postmortem": Postmortem.objects.filter(incident=found).first(),
        "refusal": refusal,
        **_timeline(request, found),
    }


def _timeline(request: HttpRequest, found: Incident) -> dict[str, Any]:
    show = request.GET.get("show", "")
    show = show if show in SHOWS else ""
    before = request.GET.get("before", "")
    events = TimelineEvent.objects.filter(incident=found)
    edge = _event(events, before)
    if edge is not None:
        events = events.filter(Q(at__lt=edge.at) | Q(at=edge.at, n__lt=edge.n))
    # By when it happened: what was told late stands where it belongs.
    newest = list(events.filter(filter_of(show)).order_by("-at", "-n")[: PAGE_SIZE + 1])
    return {
        "entries": entries_of(newest[:PAGE_SIZE]),
        "older": newest[PAGE_SIZE - 1].n if len(newest) > PAGE_SIZE else None,
        "before": edge is not None,
        "show": show,
        "shows": SHOWS,
    }


def _event(events: QuerySet[TimelineEvent], n: str) -> TimelineEvent | None:
    """The event of that number; None for what is no number of an event."""
    return events.filter(n=int(n)).first() if n.isascii() and n.isdigit() and len(n) < 10 else None


def _clock(found: Incident) -> list[dict[str, Any]]:
    """The milestones: what happened, when, and how long after the start (detection for the first two)."""
    took = queries.durations_of(found)
    steps = [
        ("detected", found.detected_at, took.detect),
        ("acknowledged", found.acknowledged_at, took.acknowledge),
        ("contained", found.contained_at, took.contain),
        ("mitigated", found.mitigated_at, took.mitigate),
        ("resolved", found.resolved_at, took.resolve),
    ]
    return [{"word": word, "at": at, "after": after} for word, at, after in steps]


def _main_run(runs: list[Run]) -> Run | None:
    """The run to draw: the newest that is going on, else the newest one."""
    going = [run for run in runs if run.is_open]
    return next(iter(going or runs), None)


def _seen(found: Incident) -> int:
    """How often its alerts were told to us, repetitions included."""
    return Alert.objects.filter(incident_alerts__incident=found).aggregate(n=Sum("seen_count"))["n"] or 0


def _command_since(found: Incident) -> TimelineEvent | None:
    if found.commander_id is None:
        return None
    taken = TimelineEvent.objects.filter(incident=found, kind="incident.command_taken")
    return taken.order_by("-n").first()


def _others(actor: Actor, found: Incident) -> list[Incident]:
    others = queries.incidents_visible_to(actor).filter(project=found.project_id, is_open=True)
    return list(others.exclude(pk=found.pk)[:MOST_OTHERS])


def _look(actor: Actor, incident_id: uuid.UUID) -> Mapping[str, object]:
    """What each region of the page depends on. Raises NotFound when the incident is out of sight."""
    found = incident_visible_to(actor, incident_id)
    row = (found.status, found.updated_at, found.severity, found.commander_id, found.contained_at)
    alerts = IncidentAlert.objects.filter(incident=found).aggregate(
        n=Count("pk"),
        firing=Count("pk", filter=Q(alert__is_open=True)),
        seen=Sum("alert__seen_count"),
        at=Max("alert__last_seen_at"),
    )
    runs = list(Run.objects.filter(incident=found).order_by("pk").values_list("pk", "state", "revision"))
    postmortem = Postmortem.objects.filter(incident=found).values_list("generated_at", flat=True).first()
    return {
        "head": (row, postmortem, runs),
        "clock": row,
        "needs": (found.status, runs),
        "runs": runs,
        "people": row,
        "alerts": alerts,
        "timeline": found.timeline_n,
    }
