"""What may be done to a run as a whole now, for its page: paused, resumed, restarted, its checklist, a step skipped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from handrail.accounts.permissions import Permission, allows
from handrail.shared.actors import Actor
from handrail.shared.errors import HandrailError
from runbooks import checklist, resuming, skipping
from runbooks.engine.steering import HAND_OVER, WITH_PARENT
from runbooks.models import Run
from runbooks.queries import StepView

_SKIPPABLE = ("pending", "ready", "waiting", "awaiting_human", "failed", "timed_out")

Found = TypeVar("Found")


def steering_of(actor: Actor, found: Run, chosen: StepView | None) -> dict[str, Any]:
    """What may be done to the run as a whole now, and to the chosen step: for its page."""
    newer, node = found.runbook.live, chosen.node if chosen is not None else ""
    nothing: list[checklist.ChecklistItem] = []
    items = _or(lambda: checklist.checklist(found.pk, actor), nothing)
    told: dict[str, Any] = {
        "checklist": items,
        "open_items": sum(item.state in ("open", "busy", "unknown") for item in items),
        "restarted_as": found.restarts.select_related("version").first(),
    }
    if not allows(actor, Permission.RESPOND, found):
        return told
    if found.is_open:
        held = found.state == Run.State.PAUSED
        skippable = chosen is not None and chosen.state in _SKIPPABLE
        return told | {
            "may_pause": found.state in (Run.State.RUNNING, Run.State.WAITING),
            "may_go_on": held and found.stop_how not in (WITH_PARENT, HAND_OVER),
            "may_skip": skippable and not _or(lambda: skipping.why_not(found.pk, node, actor), "-"),
        }
    preview = _or(lambda: resuming.preview_resume(found.pk, actor), resuming.ResumePreview(refusal="-"))
    is_newer = newer is not None and (newer.number or 0) > (found.version.number or 0)
    linked = told["restarted_as"] is not None or found.parent_step_id is not None
    return told | {
        "reopen": preview if not preview.refusal else None,
        "why_not_resumed": preview.refusal if found.state != Run.State.SUCCEEDED and not linked else "",
        "newer": newer if is_newer and not linked else None,
    }


def _or(look: Callable[[], Found], otherwise: Found) -> Found:
    """What is found; ``otherwise`` where this process cannot read the run."""
    try:
        return look()
    except HandrailError:
        return otherwise
