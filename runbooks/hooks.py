"""What runs and approvals tell: in the transaction of the change, to whoever `config/wiring.py` connected."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from handrail.shared.hooks import Hook
from runbooks.engine.events import Event
from runbooks.engine.state import RunState
from runbooks.language.definition import Step
from runbooks.models import Approval, Run, Runbook


@dataclass(frozen=True, slots=True)
class RunChange:
    """A run changed, told in the transaction of the change, while its row is locked.

    ``kind`` is the type of ``event``: ``run.started``, ``step.succeeded``, ``run.finished``... ``run`` has the
    new values. For an event of a step, ``step`` is it in the definition and ``step_id`` is its row.
    """

    run: Run
    kind: str
    event: Event
    state: RunState
    step: Step | None = None
    step_id: uuid.UUID | None = None


run_changed: Hook[RunChange] = Hook("run_changed")
approval_changed: Hook[Approval] = Hook("approval_changed")
live_changed: Hook[Runbook] = Hook("live_changed")
"""Another version of the runbook is live: it was published, or gone back to."""
