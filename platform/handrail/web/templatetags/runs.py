"""Template tags of runs and approvals: look-ups, differences, JSON for people, a run's summary."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django import template

from runbooks import queries
from runbooks.execution.switching import place_in_words
from runbooks.models import KillSwitch, Run, StepRun

register = template.Library()


@register.filter
def at(mapping: Mapping[Any, Any], key: object) -> Any:
    """The value of a mapping at a key that is itself a variable; nothing when it is not there."""
    return mapping.get(key, "")


@register.filter
def took(end: datetime | None, start: datetime | None) -> timedelta | None:
    """The time between two instants; None while one is missing."""
    return end - start if end is not None and start is not None else None


@register.filter
def step_name(row: StepRun) -> str:
    """What people call a step of a run, with its item: ``Shift traffic, item 3``."""
    return queries.step_in_words(row)


@register.filter
def spaced(name: str) -> str:
    """A name of the language as people read it: ``wait_until`` is ``wait until``."""
    return name.replace("_", " ")


@register.filter
def as_json(value: object) -> str:
    """JSON data as people read it: indented, in its own order."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


@register.simple_tag
def run_view(run: Run) -> dict[str, Any]:
    """What a summary of a run shows: its sentence, its graph and the node to centre on."""
    steps = queries.steps_of(run)
    return {
        "words": queries.state_in_words(run),
        "graph": queries.graph(run, steps),
        "current": queries.current_node(steps, run.error),
    }


@register.filter
def held_back(switch: KillSwitch) -> str:
    """What a kill switch holds, in words: ``the action ssh.run in Shop``."""
    return place_in_words(switch)
