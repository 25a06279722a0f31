"""Histories that were recorded once are replayed for ever: a deploy must understand every run that it finds."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from runbooks.engine import events as e
from runbooks.engine.apply import apply, replay
from runbooks.engine.commands import Record
from runbooks.engine.plan import plan
from runbooks.engine.state import RunState
from runbooks.language.parsing import parse
from tests.runbooks.engine.course import Course
from tests.runbooks.engine.invariants import check_all
from tests.runbooks.engine.recording import ACTIONS, PLAYS, play

HISTORIES = sorted((Path(__file__).parent / "histories").glob("*.json"))
OUTSIDE = (e.StepScheduled, e.StepStarted, e.ApprovalAsked, e.SubrunStarted)
"""What a worker records between the decisions of a plan."""


def load(path: Path) -> tuple[dict[str, Any], list[e.Event]]:
    recorded = json.loads(path.read_text())
    history = [
        e.from_row(row["type"], row["data"], datetime.fromisoformat(row["at"])) for row in recorded["events"]
    ]
    return recorded, history


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
def test_a_recorded_history_replays_to_its_recorded_end(path: Path) -> None:
    recorded, history = load(path)
    state = replay(history)
    assert state.status.value == recorded["end"]["status"]
    assert {key: node.status.value for key, node in state.nodes.items()} == recorded["end"]["steps"]


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
def test_the_plan_still_decides_what_it_decided_then(path: Path) -> None:
    recorded, history = load(path)
    definition = parse(recorded["source"], actions=ACTIONS).runbook
    assert definition is not None
    state = RunState()
    for n, event in enumerate(history):
        state = apply(state, event)
        decided = [c.event for c in plan(definition, state, event.at) if isinstance(c, Record)]
        following = [later for later in history[n + 1 :] if not isinstance(later, OUTSIDE)]
        assert [(d.type, d.data()) for d in decided] == [
            (f.type, f.data()) for f in following[: len(decided)]
        ], f"after event {n + 1}, {event.type}"


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
def test_a_recorded_history_keeps_every_invariant(path: Path) -> None:
    recorded, history = load(path)
    definition = parse(recorded["source"], actions=ACTIONS).runbook
    assert definition is not None
    states: list[RunState] = []
    for event in history:
        states.append(apply(states[-1] if states else RunState(), event))
    check_all(Course(definition, history, states, [], history[-1].at))


@pytest.mark.parametrize("name", PLAYS)
def test_what_was_played_for_the_record_still_ends_so(name: str) -> None:
    """The same doings lead to the same end, in as many events as then."""
    recorded, history = load(next(path for path in HISTORIES if path.stem == name))
    life = play(name)
    assert life.state.status.value == recorded["end"]["status"]
    assert [event.type for event in life.history] == [event.type for event in history]


def test_there_are_recorded_histories() -> None:
    assert len(HISTORIES) >= 14 + len(PLAYS)
