"""What comes next in a run: ``plan(definition, state, now) -> [Command]``, deterministic, without effects."""

from __future__ import annotations

from datetime import datetime

from runbooks.engine.blocks import BLOCKS
from runbooks.engine.commands import Command
from runbooks.engine.planning import Planner
from runbooks.engine.state import RunState
from runbooks.language.definition import Runbook


def plan(definition: Runbook, state: RunState, now: datetime) -> list[Command]:
    """Everything that should be done now, in order; empty when the run is over or has to wait.

    Record the events of the :class:`Record` commands in this order, and do the others. Planning again
    with the state that results gives only what that state newly allows.
    """
    planner = Planner(definition, state, now, BLOCKS)
    planner.advance()
    return planner.commands
