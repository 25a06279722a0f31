"""Now: what needs a human first, then what is wrong, then whether Handrail itself is well."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

from handrail.accounts.permissions import Permission, visible_projects
from handrail.incidents.models import Incident
from handrail.incidents.queries import incidents_visible_to
from handrail.letters.queries import Figures, figures, letters_besides
from handrail.shared.actors import Actor
from handrail.shared.clock import now as wall_clock
from handrail.web.live import live
from handrail.web.machine_room import MachineRoom, machine_room
from handrail.web.pages import page, shown
from runbooks import refusals
from runbooks.matters import left_behind
from runbooks.models import Approval, KillSwitch, RefusedStart, Run, StepRun
from runbooks.queries import approvals_for, runs_visible_to, states_in_words
from runbooks.queries.machine import steps_to_decide
from runbooks.switches import switches_on_for

MOST_NEEDS = 20
MOST_INCIDENTS = 50
MOST_RUNS = 20
FAILED_LATELY = timedelta(hours=24)
LOOK_EVERY = 2.0
FIRST_ALERT = """\
curl -X POST {base}/hooks/v1/alertmanager/KEY -H 'Content-Type: application/json' -d '{{
  "version": "4", "status": "firing", "receiver": "handrail", "groupKey": "try", "groupLabels": {{}},
  "commonLabels": {{}}, "commonAnnotations": {{}}, "externalURL": "http://alertmanager", "truncatedAlerts": 0,
  "alerts": [{{"status": "firing", "startsAt": "2026-01-01T00:00:00Z", "endsAt": "0001-01-01T00:00:00Z",
    "labels": {{"alertname": "HighErrorRate", "service": "checkout", "severity": "critical"}},
    "annotations": {{"summary": "A first try"}}, "generatorURL": "http://prometheus", "fingerprint": "1"}}]}}'
"""
"""What a newcomer sends to see an incident open. KEY is the source's, which is shown once."""


@dataclass(frozen=True, slots=True)
class OpenIncident:
    """An open incident and what its newest run does, in words."""

    incident: Incident
    run: Run | None
    run_words: str
    alerts_open: int


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything on the page, of what one person may see. ``letters``: those that are not among the steps."""

    approvals: Sequence[Approval]
    uncertain: Sequence[StepRun]
    not_undone: Sequence[StepRun]
    refused: Sequence[RefusedStart]
    switches: Sequence[KillSwitch]
    incidents: Sequence[OpenIncident]
    failed: Sequence[Run]
    going: Sequence[Run]
    words: Mapping[uuid.UUID, str]
    letters: Figures
    room: MachineRoom

    @property
    def needs(self) -> int:
        """How many things wait for this person."""
        found = len(self.approvals) + len(self.uncertain) + len(self.not_undone) + len(self.refused)
        return found + bool(self.letters.open)

    @property
    def headline(self) -> str:
        """The state of the world in one line."""
        if self.needs:
            return "1 thing needs you" if self.needs == 1 else f"{self.needs} things need you"
        if self.incidents:
            count = len(self.incidents)
            return "1 incident is open" if count == 1 else f"{count} incidents are open"
        return "All quiet"


@page("GET")
def now(request: HttpRequest, actor: Actor) -> HttpResponse:
    """The page."""
    situation = situation_of(actor)
    projects = visible_projects(actor)
    context = {
        "now": situation,
        "quiet": not (situation.needs or situation.incidents or situation.going or situation.failed),
        "first_steps": not Incident.objects.filter(project__in=projects).exists(),
        "may_declare": visible_projects(actor, Permission.RESPOND).exists(),
        "operated": visible_projects(actor, Permission.OPERATE).first(),
        "several_projects": projects[1:2].exists(),
        "first_alert": FIRST_ALERT.format(base=settings.BASE_URL),
    }
    return shown(request, "web/now.html", context)


@page("GET")
def now_live(request: HttpRequest, actor: Actor) -> StreamingHttpResponse:
    """The stream of the page's changes."""
    return live(request, lambda: _look(actor), every=LOOK_EVERY)


def situation_of(actor: Actor) -> Situation:
    """What the page shows, in a constant number of queries."""
    runs = runs_visible_to(actor)
    responding = visible_projects(actor, Permission.RESPOND)
    opened = list(
        incidents_visible_to(actor).filter(is_open=True).order_by("severity", "-started_at")[:MOST_INCIDENTS]
    )
    going = list(runs.filter(is_open=True)[:MOST_RUNS])
    of_incidents = list(runs.filter(incident__in=opened, is_open=True)) if opened else []
    failed = runs.filter(state=Run.State.FAILED, ended_at__gt=wall_clock() - FAILED_LATELY)
    failing = list(failed[:MOST_RUNS])
    words = states_in_words({run.pk: run for run in [*going, *of_incidents, *failing]}.values())
    uncertain = list(steps_to_decide(actor)[:MOST_NEEDS])
    not_undone = list(left_behind(actor)[:MOST_NEEDS])
    newest = {run.incident_id: run for run in reversed(of_incidents)}
    return Situation(
        approvals=approvals_for(actor)[:MOST_NEEDS],
        uncertain=uncertain,
        not_undone=not_undone,
        refused=list(refusals.unseen(actor).filter(project__in=responding)[:MOST_NEEDS]),
        switches=switches_on_for(actor),
        incidents=[_with_run(incident, newest.get(incident.pk), words) for incident in opened],
        failed=failing,
        # A run of an open incident is told with the incident.
        going=[run for run in going if run.incident_id not in newest],
        words=words,
        letters=figures(letters_besides(actor, [step.pk for step in (*uncertain, *not_undone)])),
        room=machine_room(),
    )


def _with_run(incident: Incident, run: Run | None, words: Mapping[uuid.UUID, str]) -> OpenIncident:
    # The query counts its alerts into the row.
    alerts_open: int = vars(incident)["alerts_open"]
    return OpenIncident(incident, run, words[run.pk] if run is not None else "", alerts_open)


def _look(actor: Actor) -> Mapping[str, object]:
    """What each region depends on: states and counts, not ages, which the page counts on by itself."""
    situation = situation_of(actor)
    needs = [
        *((row.pk, len(row.votes.all()), row.given, row.state) for row in situation.approvals),
        *((step.pk, step.state) for step in (*situation.uncertain, *situation.not_undone)),
        *((row.pk, row.times) for row in situation.refused),
        *(switch.pk for switch in situation.switches),
        situation.letters,
    ]
    incidents = [
        (row.incident.pk, row.incident.updated_at, row.alerts_open, row.run_words)
        for row in situation.incidents
    ]
    runs = [(run.pk, run.state, situation.words[run.pk]) for run in (*situation.going, *situation.failed)]
    return {
        "head": (situation.needs, len(incidents)),
        "needs": needs,
        "incidents": incidents,
        "runs": runs,
        "room": situation.room.marks,
    }
