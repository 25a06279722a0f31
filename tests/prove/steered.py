"""Runs that a person steers while processes crash: for the simulation. Each ends as it says, whoever dies when."""

from __future__ import annotations

from dataclasses import dataclass

from runbooks.engine.state import UNDO
from runbooks.engine.steering import CANCEL, HAND_OVER
from runbooks.engine.transitions import StepStatus
from tests.prove.acts import (
    Act,
    deals_with,
    has_begun,
    has_ended,
    is_now,
    nothing_executes,
    pauses,
    reopens,
    resumes,
    skips,
    stops,
    waits_for_its_turn,
)

S = StepStatus


@dataclass(frozen=True, slots=True)
class Steered:
    """``steps`` in YAML, the ``state`` in which the run ends, and what is done to it; see ``Sample``."""

    name: str
    steps: str
    state: str
    acts: tuple[Act, ...]
    waits: bool = False
    has_its_turn: bool = True
    mended: str = ""


STEERED = (
    Steered(
        "paused",
        """
- {id: a, uses: prove.effect}
- {id: b, uses: prove.effect, idempotent: true}
- {id: rest, kind: wait, for: 5s}
- {id: c, uses: prove.effect}
""",
        "succeeded",
        (pauses(has_begun("b")), resumes(nothing_executes)),
        waits=True,
    ),
    Steered(
        "pressed",
        """
- id: both
  kind: parallel
  steps: [{id: a, uses: prove.effect}, {id: b, uses: prove.effect}, {id: c, uses: prove.effect}]
""",
        "succeeded",
        (pauses(has_begun("a")), resumes(nothing_executes)),
    ),
    Steered(
        "left-out",
        """
- id: both
  kind: parallel
  steps:
    - {id: bad, uses: prove.effect, with: {fails: true}}
    - {id: rest, kind: wait, for: 1h}
- {id: later, uses: prove.effect}
- {id: last, uses: prove.effect}
""",
        "succeeded",
        (
            skips("bad", is_now("bad", S.FAILED)),
            skips("later", is_now("bad", S.SKIPPED)),
            skips("rest", is_now("rest", S.WAITING)),
        ),
    ),
    Steered(
        "undone",
        """
- {id: a, uses: prove.effect, compensate: {uses: prove.effect}}
- id: block
  kind: group
  steps: [{id: b, uses: prove.effect, idempotent: true, compensate: {uses: prove.effect}}]
- {id: rest, kind: wait, for: 1h}
- {id: never, uses: prove.effect}
""",
        "cancelled",
        (pauses(is_now("rest", S.WAITING)), stops(UNDO, lambda life: life.state.paused)),
    ),
    Steered(
        "undone-in-its-middle",
        """
- {id: a, uses: prove.effect, compensate: {uses: prove.effect}}
- {id: busy, uses: prove.effect, compensate: {uses: prove.effect}}
- {id: rest, kind: wait, for: 1h}
- {id: never, uses: prove.effect}
""",
        "cancelled",
        (stops(UNDO, has_begun("busy")),),
    ),
    Steered(
        "resumed",
        """
- {id: a, uses: prove.effect}
- id: block
  kind: group
  on_failure: {compensate: true, then: fail}
  steps:
    - {id: b, uses: prove.effect, compensate: {uses: prove.effect}}
    - {id: mended, uses: prove.effect}
- {id: after, uses: prove.effect}
""",
        "succeeded",
        (reopens(has_ended),),
        mended="mended",
    ),
    Steered(
        "handed-over",
        """
- {id: a, uses: prove.effect}
- {id: rest, kind: wait, for: 1h}
- {id: b, uses: prove.effect}
""",
        "cancelled",
        (
            stops(HAND_OVER, is_now("rest", S.WAITING)),
            deals_with("rest", "skipped"),
            deals_with("b", "done"),
            deals_with("report", "done"),
        ),
        waits=True,
    ),
    Steered(
        "never-begun",
        "- {id: never, uses: prove.effect}",
        "cancelled",
        (stops(CANCEL, waits_for_its_turn),),
        waits=True,
        has_its_turn=False,
    ),
)
