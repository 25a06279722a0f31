"""What may be done to a run as a whole now, for its page: paused, resumed, restarted, its checklist, a step skipped."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from handrail.web.cursors import by_number
from runbooks import checklist, resuming, skipping
from runbooks.engine.steering import HAND_OVER, WITH_PARENT
from runbooks.execution.live import LiveRun, unreadable
from runbooks.models import Run
from runbooks.queries import StepView

ITEMS_A_PAGE = 25
_SKIPPABLE = ("pending", "ready", "waiting", "awaiting_human", "failed", "timed_out")


def steering_of(
    found: Run, live: LiveRun | None, chosen: StepView | None, *, may_respond: bool
) -> dict[str, Any]:
    """What may be done to the run as a whole now, and to the chosen step: for its page.

    ``live`` is None where this process cannot read the run.
    """
    newer, node = found.runbook.live, chosen.node if chosen is not None else ""
    told: dict[str, Any] = {"restarted_as": found.restarts.select_related("version").first()}
    if not may_respond:
        return told
    if found.is_open:
        held = found.state == Run.State.PAUSED
        skippable = chosen is not None and chosen.state in _SKIPPABLE
        return told | {
            "may_pause": found.state in (Run.State.RUNNING, Run.State.WAITING),
            "may_go_on": held and found.stop_how not in (WITH_PARENT, HAND_OVER),
            "may_skip": skippable and live is not None and not skipping.why_not(live, node),
        }
    preview = (
        resuming.preview_of(live) if live is not None else resuming.ResumePreview(refusal=_unread(found))
    )
    is_newer = newer is not None and (newer.number or 0) > (found.version.number or 0)
    linked = told["restarted_as"] is not None or found.parent_step_id is not None
    return told | {
        "reopen": preview if not preview.refusal else None,
        "why_not_resumed": preview.refusal if found.state != Run.State.SUCCEEDED and not linked else "",
        "newer": newer if is_newer and not linked else None,
    }


def _unread(found: Run) -> str:
    refusal = unreadable(found)
    return refusal.message if refusal is not None else "Its history cannot be read here."


def checklist_page(request: HttpRequest, found: Run, live: LiveRun | None) -> dict[str, Any]:
    """One page of the checklist, how many items there are and are left, and the addresses of its neighbours."""
    items = checklist.checklist_of(live) if live is not None else []
    offset, previous, following = by_number(request, len(items), ITEMS_A_PAGE)
    # After a refused form the address is the form's, which answers no GET.
    place = f"/runs/{found.pk}/" if request.method == "POST" else ""
    return {
        "checklist": items[offset : offset + ITEMS_A_PAGE],
        "items_total": len(items),
        "open_items": sum(item.state in ("open", "busy", "unknown") for item in items),
        "items_page": offset // ITEMS_A_PAGE + 1,
        "previous_url": previous and f"{place}{previous}#checklist-title",
        "next_url": following and f"{place}{following}#checklist-title",
    }
