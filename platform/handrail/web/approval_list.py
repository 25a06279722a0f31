"""The approvals that wait for the reader, and all that they may see."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from handrail.shared.actors import Actor
from handrail.web.cursors import Shown, by_birth, by_number
from handrail.web.pages import page, shown
from runbooks import quorum
from runbooks.models import Approval
from runbooks.queries import approvals_for, approvals_visible_to

PAGE_SIZE = 25


@page("GET")
def approval_list(request: HttpRequest, actor: Actor) -> HttpResponse:
    """``?show=mine`` (first): those that the reader may decide now; ``pending``; ``all``."""
    show = request.GET.get("show", "mine")
    mine = approvals_for(actor)
    visible = approvals_visible_to(actor)
    pending = visible.filter(state=Approval.State.PENDING)
    if show == "all":
        listed = by_birth(request, visible)
    elif show == "pending":
        listed = by_birth(request, pending)
    else:
        # By urgency, not by age: counted pages.
        show = "mine"
        offset, sooner, later = by_number(request, len(mine), PAGE_SIZE)
        listed = Shown(mine[offset : offset + PAGE_SIZE], sooner, later)
    context = {
        "entries": [_entry(approval) for approval in listed.rows],
        "show": show,
        "mine_count": len(mine),
        "pending_count": pending.count(),
        "previous_url": listed.newer_url,
        "next_url": listed.older_url,
    }
    return shown(request, "web/approvals/list.html", context)


def _entry(approval: Approval) -> dict[str, object]:
    given = approval.given
    return {
        "approval": approval,
        "given": given,
        "places": [place < given for place in range(approval.quorum)],
        "needs": quorum.needs(approval),
    }
