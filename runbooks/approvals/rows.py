"""The rows of approvals, as a decision reads and locks them."""

from __future__ import annotations

import uuid

from handrail.shared.errors import NotFound
from handrail.shared.statements.compiled import Compiled
from runbooks.models import Approval, Run

_APPROVAL = Compiled(lambda approval: Approval.objects.order_by().filter(pk=approval))
_RUN = Compiled(
    lambda approval: Approval.objects.order_by().filter(pk=approval).values_list("run_id", flat=True)
)
_LOCKED = Compiled(
    lambda approval: (
        Approval.objects.order_by().select_for_update(of=("self",)).select_related("step").filter(pk=approval)
    )
)
_RUN_LOCKED = Compiled(
    lambda run: (
        Run.objects.order_by().select_for_update(of=("self",)).select_related("version").filter(pk=run)
    )
)


def read(approval_id: uuid.UUID) -> Approval:
    """The approval as it is now; NotFound."""
    approval = _APPROVAL.first(approval_id)
    if approval is None:
        raise _unseen()
    return approval


def locked(approval_id: uuid.UUID, run_id: uuid.UUID | None = None) -> Approval:
    """The approval under the lock of its run, which every change of a run takes first; NotFound."""
    run_id = run_id or _RUN.first(approval_id)
    run = None if run_id is None else _RUN_LOCKED.first(run_id)
    approval = _LOCKED.first(approval_id)
    if run is None or approval is None:
        raise _unseen()
    approval.run = run
    return approval


def _unseen() -> NotFound:
    return NotFound("There is no such approval, or you may not see it.")
