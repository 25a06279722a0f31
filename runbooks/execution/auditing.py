"""What of a run goes to the installation's audit trail, beside the run's own chain: its questions, doubts and ends."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction

from handrail.audit.actions import record
from handrail.shared.actors import Actor
from runbooks.engine import events as e
from runbooks.language.definition import Json
from runbooks.models import Approval, Run

ENGINE = Actor.system("engine")
"""Who acts when the engine itself does."""


def audit(run: Run, events: Sequence[e.Event]) -> None:
    """Record what these events of the run mean to an auditor; last in the transaction."""
    for event in events:
        if isinstance(event, e.ApprovalAsked):
            asked = Approval.objects.get(pk=event.approval)
            record(
                ENGINE,
                "approval.asked",
                asked,
                data={
                    "run": str(run.pk),
                    "step": event.key,
                    "digest": asked.digest,
                    "quorum": asked.quorum,
                },
            )
        elif isinstance(event, e.ApprovalVoided):
            record(ENGINE, "approval.voided", run, data={"step": event.key, "reason": event.reason})
        elif isinstance(event, e.RunStarted) and run.parent_step_id is not None:
            data = {
                "runbook": run.runbook.slug,
                "version": run.version.number,
                "step": str(run.parent_step_id),
            }
            record(ENGINE, "run.started", run, data={**data, "inputs": run.inputs})
        elif isinstance(event, e.StepUncertain):
            record(ENGINE, "step.uncertain", run, data={"step": event.key, "error": event.error})
        elif isinstance(event, e.RunFinished):
            # The head of the run's own chain is anchored here: nobody can rewrite a finished run's history.
            record(
                ENGINE,
                "run.finished",
                run,
                data={
                    "state": event.status,
                    "outcome": event.outcome,
                    "history_n": run.history_n,
                    "history_hash": run.history_hash,
                },
            )


def audit_refusal(run: Run, key: str, *, fence: int, worker: str, outcome: str) -> None:
    """Record that a worker told how a step ended which had been taken from it: what it did stands in no history."""
    data: dict[str, Json] = {"step": key, "fence": fence, "worker": worker, "outcome": outcome}
    with transaction.atomic():
        record(ENGINE, "step.completion_refused", run, data=data)
