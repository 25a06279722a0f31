"""What surrounds a call of an action: built from the run for a preview, or for one real attempt."""

from __future__ import annotations

from handrail.vault.redaction import Redactor
from runbooks.engine.state import STEP, Key
from runbooks.execution.live import LiveRun
from runbooks.execution.rows import pool_of
from runbooks.steps.base import ActionContext


def idempotency_key(run_id: object, key: str, reopened: int = 0) -> str:
    """``<run>:<node>:<iteration>``, constant over attempts; an undoing is another effect, so it has its own.

    ``reopened``: how often the run was resumed after its end. What is done again then is meant to happen again: a
    target that knows the old key would answer with the old failure, or with what was undone since.
    """
    place = Key.parse(key)
    suffix = "" if place.role == STEP else f":{place.role}"
    again = f":again{reopened}" if reopened else ""
    return f"{run_id}:{place.node}:{place.iteration}{suffix}{again}"


def preview_context(live: LiveRun, key: str, *, deadline: float) -> ActionContext:
    """A context in which nothing is logged, cancelled or known to be secret."""
    place = Key.parse(key)
    return ActionContext(
        project=live.run.project,
        run_id=str(live.run.pk),
        node=place.node,
        iteration=place.iteration,
        idempotency_key=idempotency_key(live.run.pk, key, live.state.reopened),
        deadline_monotonic=deadline,
        redactor=Redactor(()),
        log=lambda _stream, _text: None,
        cancelled=lambda: False,
        register_process_group=lambda _group: None,
        incident_id=str(live.run.incident_id) if live.run.incident_id else None,
        actor_name=live.run.starter_name,
        starter_id=live.run.starter_id,
        mode=live.run.mode,
        pool=pool_of(live.definition, live.steps[place.node]),
    )
