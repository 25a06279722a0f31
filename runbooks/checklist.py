"""The checklist of a run that was handed over: what is left, what people did about it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from handrail.audit.actions import record
from handrail.shared.actors import Actor, ActorKind
from handrail.shared.errors import Conflict, Forbidden, Invalid, NotFound
from handrail.shared.failpoints import reach
from runbooks.acting import LONGEST_REASON, opened_run, read_run
from runbooks.engine import events as e
from runbooks.engine.state import Key, RunState
from runbooks.engine.steering import item_state, tick_refusal
from runbooks.execution.advancing import advance
from runbooks.execution.live import LiveRun
from runbooks.language.definition import ActionStep, Json, ManualStep
from runbooks.language.definition import Runbook as Definition
from runbooks.models import Run
from runbooks.stopping import title_of_key

CHOICES = ("done", "skip")
_WORDS = {"done": "done", "skip": "skipped"}


@dataclass(frozen=True, slots=True)
class ChecklistItem:
    """One item. ``uses`` and ``asks`` tell what the run would have done.

    ``state``: ``open``, ``busy`` (it still executes), ``unknown`` (to be decided first), ``done`` (by hand),
    ``skipped``, ``succeeded`` (by itself).
    """

    key: str
    title: str
    kind: str
    state: str
    uses: str = ""
    asks: str = ""
    by: str = ""
    note: str = ""
    at: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether somebody can deal with it now."""
        return self.state == "open"


def checklist(run_id: uuid.UUID, actor: Actor) -> list[ChecklistItem]:
    """The items in the order as written; empty for a run that was not handed over."""
    return checklist_of(read_run(run_id, actor))


def checklist_of(live: LiveRun) -> list[ChecklistItem]:
    """The same for a run that was looked into already."""
    if live.run.stop_how != "hand_over":
        return []
    ticked = {event.key: event for event in live.history if isinstance(event, e.ItemTicked)}
    return [_item(live.definition, live.state, key, ticked.get(key)) for key in live.state.items or ()]


def _item(definition: Definition, state: RunState, key: str, ticked: e.ItemTicked | None) -> ChecklistItem:
    step = definition.step(Key.parse(key).node)
    return ChecklistItem(
        key=key,
        title=title_of_key(definition, key),
        kind=step.kind,
        state=item_state(state, key),
        uses=step.call.uses if isinstance(step, ActionStep) else "",
        asks=str(step.prompt) if isinstance(step, ManualStep) else "",
        by=ticked.by if ticked is not None else "",
        note=ticked.reason if ticked is not None else "",
        at=ticked.at if ticked is not None else None,
    )


@transaction.atomic
def tick(run_id: uuid.UUID, *, actor: Actor, items: Sequence[str], choice: str, note: str = "") -> Run:
    """Say of items that they are ``done`` by hand, or that one does without them (``skip``, with a note); audited.

    All of them or none. The run ends with the last one. Needs ``respond``, and to be a person.
    """
    if choice not in CHOICES:
        raise Invalid(f"An item is done or skip, not {choice!r}.")
    opened = opened_run(run_id, actor)
    if actor.kind is ActorKind.SYSTEM or actor.user_id is None:
        raise Forbidden("Only people say what people have done.")
    wanted = list(dict.fromkeys(items))
    note = note.strip()[:LONGEST_REASON]
    if not wanted:
        raise Invalid("Choose at least one item.")
    if choice == "skip" and not note:
        raise Invalid("Say why it is left out: whoever reads this later will want to know.")
    if opened.state.items is None:
        raise Conflict("This run was not handed over: it has no checklist.")
    for key in wanted:
        _refuse(opened.state, key)
        opened.record(e.ItemTicked(at=opened.now, key=key, choice=_WORDS[choice], by=actor.name, reason=note))
    advance(opened)
    opened.commit()
    listed: list[Json] = [*wanted]
    record(actor, "run.item_ticked", opened.live.run, data={"items": listed, "choice": choice, "note": note})
    reach("steer.before_commit")
    transaction.on_commit(lambda: reach("steer.after_commit"))
    return opened.live.run


def _refuse(state: RunState, key: str) -> None:
    """Raise for an item that nobody can deal with now."""
    if key not in (state.items or ()):
        raise NotFound(f"The checklist has no item {key!r}.")
    refusal = tick_refusal(state, key)
    if refusal:
        raise Conflict(refusal)
