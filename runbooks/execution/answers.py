"""The answer to an approval moves its run on, in the transaction of the decision."""

from __future__ import annotations

from runbooks.engine import events as e
from runbooks.engine.state import key_of
from runbooks.engine.transitions import StepStatus
from runbooks.execution.advancing import advance
from runbooks.execution.transition import open_transition
from runbooks.language.definition import ApprovalStep, Json
from runbooks.models import Approval

_DECISIONS = {
    Approval.State.APPROVED: "approved",
    Approval.State.REJECTED: "rejected",
    Approval.State.EXPIRED: "expired",
}


def on_approval(approval: Approval) -> None:
    """The engine's ear at ``approval_changed``: move the waiting step on, in the transaction of the decision.

    What is not decided, or was asked by an earlier round, changes nothing.
    """
    decision = _DECISIONS.get(Approval.State(approval.state))
    if decision is None:
        return
    transition = open_transition(approval.run_id)
    key = key_of(approval.step.node, approval.step.iteration)
    node = transition.state.node(key)
    step = transition.live.steps[approval.step.node]
    if node.status != StepStatus.AWAITING_APPROVAL or node.approval != str(approval.pk):
        return
    if not isinstance(step, ApprovalStep):
        return
    inputs: dict[str, Json] = {}
    for vote in approval.votes.all():
        if vote.counts:
            # Whoever leaves an answer empty takes away none that was given before.
            inputs |= {
                name: value for name, value in vote.inputs.items() if value is not None or name not in inputs
            }
    transition.record(
        e.ApprovalDecided(
            at=transition.now,
            key=key,
            decision=decision,
            goes_on=_goes_on(step, decision),
            by=approval.decided_by,
            channel=approval.decided_channel,
            reason=approval.reason,
            inputs=inputs,
        )
    )
    advance(transition)
    transition.commit()


def _goes_on(step: ApprovalStep, decision: str) -> bool:
    """Whether the sequence continues after this answer. A timeout counts as a rejection, or fails at once."""
    if decision == "approved":
        return True
    if decision == "expired" and step.on_timeout == "fail":
        return False
    return step.on_reject == "continue"
