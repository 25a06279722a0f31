"""The audit trail: who did what to what, from where, in a chain that shows every change made afterwards."""

from __future__ import annotations

from datetime import datetime, time
from typing import Any

from django.contrib import messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.timezone import is_naive, make_aware

from handrail.accounts.permissions import Permission, allows, visible_projects
from handrail.accounts.queries import audit_visible_to
from handrail.audit.models import AuditEntry
from handrail.shared.actors import Actor
from handrail.shared.errors import Forbidden
from handrail.shared.ids import short
from handrail.web.audit_verification import verify_recent
from handrail.web.cursors import by_birth
from handrail.web.pages import after, page, shown

PAGE_SIZE = 50
FIELDS = ("actor", "action", "object", "since", "until")
LONGEST = 100

_PAGES = {
    "incident": "/incidents/{}/",
    "run": "/runs/{}/",
    "approval": "/approvals/{}/",
    "alert": "/alerts/{}/",
}


@page("GET")
def audit(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Newest first; ``?actor=``, ``?action=run.``, ``?object=`` id or name, ``?since=``, ``?until=`` filter."""
    _must_see(actor)
    chosen = {name: request.GET.get(name, "").replace("\x00", "").strip()[:LONGEST] for name in FIELDS}
    listed = by_birth(request, _filtered(audit_visible_to(actor), chosen), PAGE_SIZE)
    context = {
        "entries": [_shown_entry(entry) for entry in listed.rows],
        "previous_url": listed.newer_url,
        "next_url": listed.older_url,
        "chosen": chosen,
        "filtered": any(chosen.values()),
        "everything": allows(actor, Permission.AUDIT, None),
    }
    return shown(request, "web/audit.html", context)


@page("POST")
def audit_verify(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Check the chain's newest part now and say what was found."""
    if not allows(actor, Permission.AUDIT, None):
        raise Forbidden("Owners and auditors of the installation verify the chain.")
    found = verify_recent()
    if found.is_intact:
        messages.success(request, found.words)
    else:
        messages.error(request, found.words)
    return after(request, "/audit/")


def _must_see(actor: Actor) -> None:
    if allows(actor, Permission.AUDIT, None) or visible_projects(actor, Permission.ADMINISTER).exists():
        return
    raise Forbidden(
        "The audit trail is read by owners and auditors, and by admins for their own projects. "
        "Ask an owner of the installation for the auditor role."
    )


def _filtered(entries: QuerySet[AuditEntry], chosen: dict[str, str]) -> QuerySet[AuditEntry]:
    if chosen["actor"]:
        entries = entries.filter(
            Q(actor_name__icontains=chosen["actor"]) | Q(on_behalf_of__icontains=chosen["actor"])
        )
    if chosen["action"]:
        entries = entries.filter(action__istartswith=chosen["action"])
    if chosen["object"]:
        named = chosen["object"]
        entries = entries.filter(
            Q(object_name__icontains=named) | Q(object_id=named) | Q(object_type__iexact=named)
        )
    since, until = _moment(chosen["since"], time.min), _moment(chosen["until"], time.max)
    if since is not None:
        entries = entries.filter(at__gte=since)
    if until is not None:
        entries = entries.filter(at__lte=until)
    return entries


def _moment(text: str, at: time) -> datetime | None:
    """A date (at ``at``) or a date and time, UTC unless it says otherwise; None for anything else."""
    try:
        moment = parse_datetime(text) if "T" in text or " " in text else None
        day = parse_date(text) if moment is None else None
    except ValueError:
        # The form is right, but there is no such day.
        return None
    if moment is None and day is not None:
        moment = datetime.combine(day, at)
    if moment is None:
        return None
    return make_aware(moment) if is_naive(moment) else moment


def _shown_entry(entry: AuditEntry) -> dict[str, Any]:
    page_of = _PAGES.get(entry.object_type)
    return {
        "row": entry,
        "name": _name(entry),
        "url": page_of.format(entry.object_id) if page_of else "",
        "data": entry.data if isinstance(entry.data, dict) else {},
    }


def _name(entry: AuditEntry) -> str:
    """What people call the object; its short id where it has no name of its own."""
    if entry.object_name and entry.object_id not in entry.object_name:
        return entry.object_name
    return short(entry.object_id) if entry.object_id else entry.object_type
