"""Approvals as the engine asks them: the plan that is shown, its digest, and whether it is still the same."""

from __future__ import annotations

import time
import uuid
from datetime import timedelta

from handrail.catalog import connections
from runbooks import approvals
from runbooks.engine import events as e
from runbooks.engine.commands import AskApproval
from runbooks.engine.deciding import part_that_is_over
from runbooks.engine.digest import PlannedCall, approval_digest, render_known
from runbooks.engine.flow import error_of
from runbooks.engine.names import masked_secrets, names
from runbooks.engine.state import Key, NodeState, RunState, key_of
from runbooks.engine.transitions import StepStatus
from runbooks.execution.calls import secrets_used
from runbooks.execution.contexts import preview_context
from runbooks.execution.live import LiveRun, guarded_steps
from runbooks.execution.transition import NeedsLock, Transition
from runbooks.language.definition import ApprovalStep, Json
from runbooks.language.errors import ExpressionError
from runbooks.language.expressions import render_text
from runbooks.models import StepRun
from runbooks.steps.base import InvalidInputs
from runbooks.steps.registry import UnknownAction, get


def ask(transition: Transition, command: AskApproval) -> bool:
    """Open an approval for the step: its plan rendered, its digest taken, its people told.

    False when its prompt cannot be rendered: then the step has failed.
    """
    live, state, step = transition.live, transition.state, command.step
    try:
        known = names(live.definition, state, command.key)
        prompt = render_text(step.prompt, known, path=f"{step.path}.prompt")
    except ExpressionError as error:
        transition.record(
            e.StepFailed(at=transition.now, key=command.key, error=error_of("expression", str(error)))
        )
        return False
    plan, undecided = planned(live, state, command.key)
    digest = approval_digest(live.run.version_digest, plan)
    expires_at = transition.now + timedelta(seconds=step.timeout) if step.timeout is not None else None
    row_id = transition.write_row_now(command.key, state=StepStatus.AWAITING_APPROVAL)
    place = Key.parse(command.key)
    row = StepRun(
        pk=row_id, run=live.run, node=place.node, iteration=place.iteration, kind=step.kind, title=step.title
    )
    places = _places(live, plan)
    question = approvals.Question(
        prompt=prompt,
        plan=[_shown(live, call, places.get(call.step)) for call in plan],
        digest=digest,
        expires_at=expires_at,
    )
    approval = approvals.ask(live.run, row, step, question, at=transition.now)
    transition.record(
        e.ApprovalAsked(
            at=transition.now,
            key=command.key,
            approval=str(approval.pk),
            digest=digest,
            round=command.round,
            expires_at=expires_at,
            undecided=undecided,
        )
    )
    return True


def planned(
    live: LiveRun, state: RunState, key: str, keep: tuple[str, ...] | None = None
) -> tuple[list[PlannedCall], list[str]]:
    """The calls that the approval ``key`` guards in its iteration, rendered, and the paths that cannot be yet.

    ``keep``: the paths that could not when it was asked; they stand as written, so that digests compare.
    """
    calls: list[PlannedCall] = []
    undecided: list[str] = []
    place = Key.parse(key)
    step = live.steps[place.node]
    for guarded in guarded_steps(live.definition, step) if isinstance(step, ApprovalStep) else ():
        template = dict(guarded.call.with_)
        context = names(
            live.definition,
            state,
            key_of(guarded.id, place.iteration),
            secrets=masked_secrets(live.definition),
        )
        found = render_known(template, context, path=f"{guarded.path}.with", keep=keep or ())
        undecided += found.undecided
        inputs = found.inputs if isinstance(found.inputs, dict) else {}
        references = tuple(live.definition.secrets.get(name, name) for name in sorted(secrets_used(template)))
        calls.append(
            PlannedCall(
                step=guarded.id,
                action=guarded.call.uses,
                effect=guarded.effect.value,
                target=_target(guarded.call.uses, inputs),
                inputs=inputs,
                secrets=references,
            )
        )
    return calls, undecided


def _target(action: str, inputs: dict[str, Json]) -> str:
    """What would be acted upon; empty when that cannot be told before the gate."""
    try:
        return get(action).bind(inputs).target()
    except (InvalidInputs, UnknownAction):
        return ""


def _shown(live: LiveRun, call: PlannedCall, place: str | None) -> dict[str, Json]:
    """A planned call as :class:`~runbooks.models.Approval` keeps it for the card and for the gate."""
    step = live.steps[call.step]
    inputs = call.inputs if isinstance(call.inputs, dict) else {}
    try:
        context = preview_context(live, call.step, deadline=time.monotonic() + 10)
        preview = get(call.action).bind(inputs).preview(context)
    except (InvalidInputs, UnknownAction) as error:
        preview = f"{call.action}: {error}"
    shown: dict[str, Json] = {
        "step": call.step,
        "title": step.title or call.step,
        "action": call.action,
        "effect": call.effect,
        "inputs": inputs,
        "preview": preview,
        "target": call.target,
    }
    return shown if place is None else shown | {"place": place}


def _connection(call: PlannedCall) -> str:
    """The name of the connection that the call uses; empty without one, and for an action nobody here knows."""
    try:
        named = isinstance(call.inputs, dict) and bool(get(call.action).spec.connection_kind)
    except UnknownAction:
        return ""
    name = call.inputs.get("connection") if named and isinstance(call.inputs, dict) else None
    return name if isinstance(name, str) else ""


def _places(live: LiveRun, plan: list[PlannedCall]) -> dict[str, str]:
    """Where the connections of these calls lead now, as digests by step; calls without one are left out."""
    named = {call.step: name for call in plan if (name := _connection(call))}
    places = connections.places(live.run.project, set(named.values())) if named else {}
    return {step: places[name] for step, name in named.items()}


def _moved(live: LiveRun, plan: list[PlannedCall], approved: list[dict[str, Json]]) -> str:
    """Which connections lead elsewhere than when people were asked, in words; else empty.

    A plan that an older release showed says nothing about places.
    """
    noted = {call["step"]: call["place"] for call in approved if "place" in call}
    if not noted:
        return ""
    places = _places(live, plan)
    moved = {_connection(call) for call in plan if places.get(call.step) != noted.get(call.step)}
    if not moved:
        return ""
    return f"Where {' and '.join(sorted(moved))} leads, or as whom, was changed after people had been asked."


def denial(transition: Transition, key: str) -> str:
    """Why this step never runs: an approval that guards it was rejected, or nobody answered. Else empty."""
    place = Key.parse(key)
    for step in transition.live.guards.get(place.node, ()):
        decision = transition.state.node(key_of(step.id, place.iteration)).decision
        if decision in ("rejected", "expired"):
            return (
                f"The approval {step.id} was {decision}, so what it guards does not run. To leave the step out then, "
                f'give it when: steps.{step.id}.decision == "approved".'
            )
    return ""


CHANGED = "What would run is no longer what was approved."


def void_if_unsound(transition: Transition, key: str) -> bool:
    """Whether an approval that guards this step no longer holds: then it is void, and asked anew.

    It holds while what would run is what was approved, and where, and while those who approved still may. The step
    fails where the run has gone on from the question: resuming the run asks it anew.
    """
    place = Key.parse(key)
    for step in transition.live.guards.get(place.node, ()):
        asked = key_of(step.id, place.iteration)
        answered = transition.state.node(asked)
        if answered.decision != "approved":
            continue
        if not transition.locked:
            raise NeedsLock
        plan, _ = planned(transition.live, transition.state, asked, answered.undecided)
        for call in plan:
            # Whoever does not know an action cannot say what it would do: UnknownAction leaves it to another worker.
            get(call.action)
        reason = _unsound(transition.live, plan, answered)
        if not reason:
            continue
        approvals.void(answered.approval, reason)
        over = part_that_is_over(transition.live.definition, transition.state, asked)
        if over:
            # Nobody would be asked: the walk does not come to the question again.
            words = (
                f"The approval {asked} no longer holds: {reason} {over} is over, so nobody is asked again. "
                "Resume the run, or start it anew, to have them asked."
            )
            error = error_of("approval_void", words[:2_000])
            transition.record(e.StepFailed(at=transition.now, key=key, error=error))
        else:
            transition.record(e.ApprovalVoided(at=transition.now, key=asked, guarded=key, reason=reason))
        return True
    return False


def _unsound(live: LiveRun, plan: list[PlannedCall], answered: NodeState) -> str:
    """Why this answer does not count for this plan; empty where it does."""
    if approval_digest(live.run.version_digest, plan) != answered.digest:
        return CHANGED
    approval = approvals.read(uuid.UUID(answered.approval))
    return _moved(live, plan, approval.plan) or approvals.lost_standing(approval)
