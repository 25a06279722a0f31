"""What it means for a step that its worker was lost, or that a call did not succeed: the one event that follows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from runbooks.engine import events as e
from runbooks.engine.commands import StartStep
from runbooks.engine.deadlines import close_by, too_long
from runbooks.engine.retry import CRASHES_ALLOWED, delay, policy_of
from runbooks.engine.state import STEP, NodeState
from runbooks.language.definition import ActionStep, Effect, Json


@dataclass(frozen=True, slots=True)
class Attempted:
    """An attempt that is over: of which call, under which fence, by whom; ``node`` is its step before that."""

    command: StartStep
    node: NodeState
    fence: int
    worker: str
    at: datetime


def is_repeatable(command: StartStep) -> bool:
    """Whether the call may be made again though it may have been made already."""
    return command.idempotent or command.effect == Effect.READ


def is_probed(command: StartStep) -> bool:
    """Whether a probe can say what became of the call. Probes speak for steps, not for their undoing."""
    step = command.step
    return isinstance(step, ActionStep) and step.probe is not None and command.role == STEP


def loss(worker: str) -> dict[str, Json]:
    """The error of an attempt whose worker was lost, or, without a name, has let go of it."""
    silent = f"The worker {worker} fell silent in the middle of this step."
    return {
        "code": "worker_lost",
        "message": silent if worker else "Its worker let go of this step without a result.",
        "retryable": True,
    }


def lost(attempt: Attempted) -> e.Event:
    """The worker fell silent between the intent and the result: nobody knows how far it came."""
    command, node = attempt.command, attempt.node
    if node.cancelling and command.effect == Effect.READ:
        return e.StepCancelled(at=attempt.at, key=command.key, reason=node.reason)
    error = loss(attempt.worker)
    if node.cancelling or not is_repeatable(command):
        return _uncertain(attempt, error, probe=is_probed(command))
    crashes = node.crashes + 1
    if crashes < CRASHES_ALLOWED:
        return _crashed(attempt, crashes)
    poison = error | {"code": "poison", "message": f"Its worker was lost {crashes} times in this step."}
    return _uncertain(attempt, poison, probe=False)


def silent(attempt: Attempted, error: dict[str, Json]) -> e.Event | None:
    """A call that may be repeated and fell silent is like one whose worker died: ready again, or parked.

    None for one that may not, or that shall stop: then its error says what it means.
    """
    command, node = attempt.command, attempt.node
    if node.cancelling or not is_repeatable(command):
        return None
    crashes = node.crashes + 1
    if crashes < CRASHES_ALLOWED:
        return _crashed(attempt, crashes)
    told = f"Silent or lost {crashes} times. {error.get('message', '')}"
    return _uncertain(attempt, error | {"message": told}, probe=False)


def unsuccessful(
    attempt: Attempted, error: dict[str, Json], *, uncertain: bool, stopped: bool, random: float
) -> e.Event:
    """The call did not succeed. ``uncertain``: it may have had its effect all the same.

    ``stopped``: it was told to end before it was through. ``random`` is the jitter of a retry, 0 to 1.
    """
    command, node = attempt.command, attempt.node
    if uncertain and not is_repeatable(command):
        return _uncertain(attempt, error, probe=is_probed(command))
    halting = stopped or node.cancelling
    code = error.get("code")
    if halting and code == "cancelled":
        reason = node.reason or "The run was stopped."
        return e.StepCancelled(at=attempt.at, key=command.key, reason=reason)
    wait = None
    if not halting:
        policy = policy_of(command.step.retry, command.effect)
        wait = delay(policy, attempts=node.attempt - node.crashes, error=error, random=random)
    closes = close_by(command.step, node)
    if wait is not None and closes is not None and attempt.at + timedelta(seconds=wait) >= closes:
        late = too_long(command.step, error)
        return e.StepFailed(at=attempt.at, key=command.key, error=late, timed_out=True)
    if wait is not None:
        ready_at = attempt.at + timedelta(seconds=wait)
        return e.StepRetrying(
            at=attempt.at, key=command.key, attempt=node.attempt + 1, ready_at=ready_at, error=error
        )
    return e.StepFailed(at=attempt.at, key=command.key, error=error, timed_out=code == "timeout")


def _crashed(attempt: Attempted, crashes: int) -> e.StepCrashed:
    return e.StepCrashed(
        at=attempt.at,
        key=attempt.command.key,
        attempt=attempt.node.attempt + 1,
        crashes=crashes,
        worker=attempt.worker,
        fence=attempt.fence,
    )


def _uncertain(attempt: Attempted, error: dict[str, Json], *, probe: bool) -> e.StepUncertain:
    return e.StepUncertain(
        at=attempt.at,
        key=attempt.command.key,
        error=error,
        worker=attempt.worker,
        fence=attempt.fence,
        probe=probe,
    )
