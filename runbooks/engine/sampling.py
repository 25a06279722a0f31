"""Judges one sample of a `wait_until`: met for long enough, to be asked again, or too late."""

from __future__ import annotations

from datetime import datetime, timedelta

from runbooks.engine import events as e
from runbooks.engine.names import names
from runbooks.engine.state import NodeState, RunState
from runbooks.engine.words import explain
from runbooks.language.definition import Json, Runbook, WaitUntilStep
from runbooks.language.errors import ExpressionError
from runbooks.language.expressions import condition


def judge(
    definition: Runbook, state: RunState, work: tuple[str, WaitUntilStep], outputs: Json, now: datetime
) -> list[e.Event]:
    """The events of a sample that was read: it is recorded, and it may end the step. ``work``: key and step."""
    key, step = work
    context = names(definition, state, key, result=outputs)
    try:
        met = condition(step.until, context, path=f"{step.path}.until")
    except ExpressionError as error:
        return _recorded(
            state, work, met=False, words=f"It cannot be told: {error.message}", outputs=outputs, now=now
        )
    words = explain(step.until, context, hint=str(step.call.with_)) or f"`{step.until}` is {str(met).lower()}"
    return _recorded(state, work, met=met, words=words, outputs=outputs, now=now)


def unread(state: RunState, work: tuple[str, WaitUntilStep], why: str, now: datetime) -> list[e.Event]:
    """The events of a sample that could not be read, for a reason that may pass."""
    return _recorded(state, work, met=False, words=f"It could not be read: {why}", outputs=None, now=now)


def deadline_of(node: NodeState, step: WaitUntilStep) -> datetime | None:
    """When the step gives up: its timeout counts from its first start, without the pauses of the run."""
    if step.timeout is None or node.started_at is None:
        return None
    return node.started_at + timedelta(seconds=step.timeout + node.paused)


def _recorded(
    state: RunState, work: tuple[str, WaitUntilStep], *, met: bool, words: str, outputs: Json, now: datetime
) -> list[e.Event]:
    key, step = work
    node = state.node(key)
    since = (node.true_since or now) if met else None
    deadline = deadline_of(node, step)
    held = since is not None and now - since >= timedelta(seconds=step.sustained)
    late = deadline is not None and now >= deadline
    next_at = None
    if not held and not late:
        next_at = now + timedelta(seconds=step.interval)
        if since is not None:
            next_at = min(next_at, since + timedelta(seconds=step.sustained))
        if deadline is not None:
            next_at = min(next_at, deadline)
    found: list[e.Event] = [
        e.Sampled(
            at=now, key=key, n=node.samples + 1, met=met, words=words[:500], since=since, next_at=next_at,
            outputs=outputs,
        )
    ]  # fmt: skip
    if held:
        found.append(e.StepSucceeded(at=now, key=key, outputs=outputs))
    elif late:
        error: dict[str, Json] = {
            "code": "not_reached",
            "message": f"`{step.until}` was not true for {step.sustained:g} s within {step.timeout:g} s; last: {words}",
            "retryable": False,
        }
        found.append(e.StepFailed(at=now, key=key, error=error, timed_out=True))
    return found
