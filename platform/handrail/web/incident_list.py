"""The incidents that one may see, by state, severity, service and words."""

from __future__ import annotations

from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse

from handrail.accounts.permissions import Permission, visible_projects
from handrail.catalog.models import Service
from handrail.incidents.models import Incident
from handrail.incidents.queries import incidents_visible_to
from handrail.incidents.severities import Sev
from handrail.shared.actors import Actor
from handrail.web.cursors import by_birth
from handrail.web.pages import page, shown

STATES = {"open": "Open", "ended": "Over", "all": "All"}
LONGEST_WORDS = 200


@page("GET")
def incident_list(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Newest first; ``?state=open|ended|all`` (open), ``?severity=SEV1``, ``?service=``, ``?q=`` words or INC-7."""
    chosen = {name: _clean(request.GET.get(name, "")) for name in ("state", "severity", "service", "q")}
    if chosen["state"] not in STATES:
        chosen["state"] = "open"
    visible = incidents_visible_to(actor)
    listed = by_birth(request, _filtered(visible, chosen))
    projects = visible_projects(actor)
    context = {
        "incidents": listed.rows,
        "previous_url": listed.newer_url,
        "next_url": listed.older_url,
        "chosen": chosen,
        "filtered": bool(chosen["severity"] or chosen["service"] or chosen["q"]),
        "states": STATES,
        "severities": list(Sev),
        "services": Service.objects.filter(project__in=projects).values_list("slug", flat=True).distinct(),
        "any_at_all": bool(listed.rows) or Incident.objects.filter(project__in=projects).exists(),
        "several_projects": projects[1:2].exists(),
        "may_open": visible_projects(actor, Permission.RESPOND).exists(),
    }
    return shown(request, "web/incidents/list.html", context)


def _filtered(incidents: QuerySet[Incident], chosen: dict[str, str]) -> QuerySet[Incident]:
    if chosen["state"] != "all":
        incidents = incidents.filter(is_open=chosen["state"] == "open")
    if chosen["severity"]:
        incidents = incidents.filter(severity=chosen["severity"].upper())
    if chosen["service"]:
        incidents = incidents.filter(service__slug=chosen["service"])
    return incidents.filter(words_filter(chosen["q"]))


def words_filter(words: str) -> Q:
    """Every word is in the title, the service or the environment; or the words are a number: ``INC-7``, ``7``."""
    number = words.strip().upper().removeprefix("INC").removeprefix("-").strip()
    if number.isascii() and number.isdigit() and len(number) < 9:
        return Q(number=int(number)) | Q(title__icontains=words.strip())
    wanted = Q()
    for word in words.split():
        wanted &= (
            Q(title__icontains=word) | Q(service__slug__icontains=word) | Q(environment__slug__icontains=word)
        )
    return wanted


def _clean(text: str) -> str:
    return text.replace("\x00", "").strip()[:LONGEST_WORDS]
