"""A person leaves a step of a run out, for a reason."""

from __future__ import annotations

import uuid

from django.db import transaction

from handrail.audit.actions import record
from handrail.shared.actors import Actor, ActorKind
from handrail.shared.errors import Conflict, Forbidden, NotFound
from handrail.shared.failpoints import reach
from runbooks.acting import given_reason, opened_run
from runbooks.engine import events as e
from runbooks.engine.skipping import inside_keys, refusal
from runbooks.engine.state import Key
from runbooks.execution.advancing import advance
from runbooks.execution.live import LiveRun
from runbooks.execution.transition import Transition
from runbooks.models import Run, StepRun

LONGEST_REASON = 400


@transaction.atomic
def skip_step(run_id: uuid.UUID, step: str, *, actor: Actor, reason: str) -> Run:
    """Leave a step out that does not execute: for expressions it is skipped, and the run goes on. Audited.

    ``step``: its name in the run (``drain``, ``check[3]``) or the id of its row. Needs ``respond``, a reason, and to
    be a person. A `wait` is cut short so; an approval is never skipped. Conflict where it cannot be left out.
    """
    opened = opened_run(run_id, actor)
    if actor.kind is ActorKind.SYSTEM or actor.user_id is None:
        raise Forbidden("Only people skip steps.")
    key = _key(opened, step)
    words = given_reason(reason, "Say why it is skipped: the reason stands in the run's history.")[
        :LONGEST_REASON
    ]
    why = refusal(opened.live.definition, opened.state, key)
    if why:
        raise Conflict(why)
    inside = inside_keys(opened.live.definition, key)
    opened.record(e.StepSkipped(at=opened.now, key=key, reason=words, inside=inside, by=actor.name))
    advance(opened)
    opened.commit()
    record(actor, "step.skipped", opened.live.run, data={"step": key, "reason": words})
    reach("steer.before_commit")
    transaction.on_commit(lambda: reach("steer.after_commit"))
    return opened.live.run


def why_not(live: LiveRun, step: str) -> str:
    """Why this step of a run that was read cannot be skipped now, in words; empty if it can."""
    return refusal(live.definition, live.state, step)


def _key(opened: Transition, step: str) -> str:
    """The key that a name or the id of a row stands for. NotFound for neither."""
    try:
        row = StepRun.objects.filter(run=opened.live.run, pk=uuid.UUID(step)).first()
    except ValueError:
        row = None
    if row is not None:
        return str(Key(row.node, row.iteration, row.role))
    try:
        place = Key.parse(step)
    except ValueError as error:
        raise NotFound(f"This run has no step {step!r}.") from error
    if place.node not in opened.live.definition.places:
        raise NotFound(f"This run has no step {step!r}.")
    return str(place)
