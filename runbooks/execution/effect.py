"""The effect: the call itself, outside of every transaction, with its secrets, its lease and its redactor."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass, replace

import structlog
from django.db import connection

from handrail.shared.errors import HandrailError
from handrail.shared.failpoints import reach
from handrail.shared.jsonvalue import storable
from handrail.vault.redaction import Redactor
from handrail.vault.references import resolvable, resolve
from runbooks.engine.state import STEP
from runbooks.execution.calls import rendered, secrets_used
from runbooks.execution.contexts import preview_context
from runbooks.execution.gate import Work
from runbooks.execution.heart import Heart, Held, still_ours
from runbooks.execution.logs import StepLog
from runbooks.language.definition import ActionStep, Json
from runbooks.language.durations import words
from runbooks.language.errors import UNSAFE_VALUE, ExpressionError
from runbooks.steps.base import Failure, Outcome, Success
from runbooks.steps.registry import get

log = structlog.get_logger(__name__)


HEARTBEAT_TIMEOUT = "heartbeat_timeout"
"""The error code of an attempt that was silent for too long."""


class RaisedByAction(Exception):
    """The traceback of what an action raised, redacted: what the log gets in its place."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a call ended, redacted. ``lost``: it is no longer ours to tell. ``cancelled``: it was told to stop.

    ``silent``: it was stopped because it had shown nothing for longer than the step's ``heartbeat``. ``held``: its
    lease, which whoever writes the result releases: until then somebody else may be written first.
    """

    outcome: Outcome
    lost: bool = False
    cancelled: bool = False
    silent: bool = False
    held: Held | None = None


def perform(work: Work, heart: Heart, *, aside: bool = False) -> Ended:
    """Make the call that passed the gate.

    ``aside``: beside others of this process. Then it keeps no connection of the database to itself while it lasts: the
    heart, and those who complete, need them. And its lease is renewed until its result is written, which may have to
    wait for that of another one.
    """
    ended = _perform(work, heart, aside=aside)
    if ended.held is not None and not aside:
        heart.release(ended.held)
        return replace(ended, held=None)
    return ended


def _perform(work: Work, heart: Heart, *, aside: bool) -> Ended:
    try:
        secrets = _secrets(work)
    except HandrailError as error:
        return Ended(Failure(error.code, str(error)))
    redactor = Redactor(_known(work, secrets))
    inputs = work.inputs
    try:
        if secrets:
            inputs = rendered(work.live.definition, work.state, work.command, secrets)
    except ExpressionError as error:
        return Ended(_clean(Failure(error.code, _complaint(error)), redactor))
    deadline = time.monotonic() + work.timeout
    held = Held(
        work.step_id,
        work.fence,
        deadline,
        StepLog(work.step_id, work.attempt, redactor),
        heartbeat=_heartbeat(work),
    )
    heart.hold(held)
    try:
        reach("effect.before")
        if not still_ours(held, work.begun):
            refused = Failure("lease_lost", "The lease ended before the call was made.")
            return Ended(refused, lost=True, held=held)
        if aside:
            connection.close()
        outcome = _call(work, inputs, secrets, redactor, held)
        reach("effect.after")
        return _told(held, _clean(outcome, redactor))
    except BaseException:
        heart.release(held)
        raise


def _told(held: Held, outcome: Outcome) -> Ended:
    """The call has ended so; its log is complete."""
    held.log.close()
    if held.silent.is_set() and isinstance(outcome, Failure):
        # Stopped for its silence, not because anybody wanted it to stop.
        return Ended(_silence(held, outcome), held.lost.is_set(), silent=True, held=held)
    return Ended(outcome, held.lost.is_set(), held.cancelled.is_set(), held=held)


def _heartbeat(work: Work) -> float | None:
    """For how many seconds the call may be silent; a step's probe and its undoing have no heartbeat."""
    step = work.command.step
    return step.heartbeat if isinstance(step, ActionStep) and work.command.role == STEP else None


def _silence(held: Held, outcome: Failure) -> Failure:
    """The failure of a call that was stopped because it showed nothing; how far it came is not known."""
    limit = words(held.heartbeat or 0.0)
    said = f" It ended with {outcome.code}: {outcome.message}" if outcome.code != "cancelled" else ""
    return Failure(
        HEARTBEAT_TIMEOUT,
        f"It told of no progress for longer than its heartbeat of {limit}, and was stopped.{said}"[:2_000],
        retryable=True,
        uncertain=True,
        outputs=outcome.outputs,
    )


def _call(
    work: Work, inputs: dict[str, Json], secrets: dict[str, str], redactor: Redactor, held: Held
) -> Outcome:
    context = replace(
        preview_context(work.live, work.key, deadline=held.deadline),
        redactor=redactor,
        log=held.say,
        heartbeat=held.hear,
        cancelled=held.cancelled.is_set,
        register_process_group=held.register_group,
        attempt=work.attempt,
        secrets=secrets,
    )
    try:
        return get(work.command.call.uses).run(inputs, context)
    except Exception as error:
        # An action is somebody's code. What it raised tells nothing about how far it came.
        # The traceback goes through the redactor like everything else: messages quote what they were given.
        told = redactor.text("".join(traceback.format_exception(error)))
        log.exception(
            "action_raised", action=work.command.call.uses, step=work.key, exc_info=RaisedByAction(told)
        )
        return Failure(
            "action_raised", f"The action failed with {type(error).__name__}: {error}", uncertain=True
        )


def _secrets(work: Work) -> dict[str, str]:
    """The runbook's secrets that this call reads, as they are now. Raises SecretNotFound."""
    used = secrets_used(dict(work.command.call.with_))
    references = work.live.definition.secrets
    return {
        name: resolve(references[name], work.live.run.project) for name in sorted(used) if name in references
    }


def _known(work: Work, secrets: dict[str, str]) -> set[str]:
    """Every secret of the runbook: what one step has sent, another one may be told."""
    others = set(work.live.definition.secrets) - set(secrets)
    references = [work.live.definition.secrets[name] for name in sorted(others)]
    return {*secrets.values(), *resolvable(references, work.live.run.project)}


def _complaint(error: ExpressionError) -> str:
    """What an expression complains of; it was well before the secrets' values were there, and may quote them."""
    if error.code == UNSAFE_VALUE:
        return str(error)
    return f"{error.path}: the value of a secret does not fit here (in the expression: {error.expression})"


def _clean(outcome: Outcome, redactor: Redactor) -> Outcome:
    """The outcome without a secret, and without what no database keeps."""
    if isinstance(outcome, Success):
        return Success(_clean_outputs(outcome.outputs, redactor))
    return replace(
        outcome,
        message=str(storable(redactor.text(outcome.message)))[:2_000],
        outputs=_clean_outputs(outcome.outputs, redactor),
    )


def _clean_outputs(outputs: dict[str, Json], redactor: Redactor) -> dict[str, Json]:
    found = storable(redactor.data(outputs))
    return dict(found) if isinstance(found, dict) else {}
