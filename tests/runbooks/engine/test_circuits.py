"""The state machine of a circuit breaker, as a table of stories."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from runbooks.engine.circuits import Circuit, CircuitState, Policy, Says, ask, kept_open, tell

START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
POLICY = Policy(failures=3, window=10.0, pause=30.0, longest=100.0)
LASTS = 60.0


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def play(story: str, circuit: Circuit = Circuit()) -> tuple[Circuit, list[bool]]:  # noqa: B008 - immutable
    """``4:ask a`` at 4 s, ``5:a ill``; the circuit in the end, and who passed."""
    passed: list[bool] = []
    for part in story.split(", "):
        moment, what = part.split(":")
        now, words = at(float(moment)), what.split()
        if words[0] == "ask":
            answer = ask(circuit, words[1], now, LASTS)
            circuit = answer.circuit
            passed.append(answer.passes)
        else:
            circuit = tell(circuit, words[0], Says(words[1]), now, POLICY)
    return circuit, passed


OPENED = "0:a ill, 1:b ill, 2:c ill"


@pytest.mark.parametrize(
    ("story", "state", "passed"),
    [
        ("0:ask a, 0:a well", "closed", [True]),
        ("0:a ill, 1:b ill", "closed", []),
        ("0:a ill, 1:b well, 2:c ill, 3:d ill", "open", []),
        ("0:a ill, 1:b ill, 11.5:c ill", "closed", []),
        ("0:a nothing, 1:b nothing, 2:c nothing", "closed", []),
        (OPENED, "open", []),
        (f"{OPENED}, 3:ask d, 31:ask d", "open", [False, False]),
        (f"{OPENED}, 32:ask d, 33:ask e", "half_open", [True, False]),
        (f"{OPENED}, 32:ask d, 33:ask d", "half_open", [True, True]),
        (f"{OPENED}, 32:ask d, 34:d well, 35:ask e", "closed", [True, True]),
        (f"{OPENED}, 32:ask d, 34:d ill, 65:ask e, 95:ask e", "half_open", [True, False, True]),
        (f"{OPENED}, 32:ask d, 34:d nothing, 35:ask e", "half_open", [True, True]),
        (f"{OPENED}, 32:ask d, 91:ask e, 93:ask e", "half_open", [True, False, True]),
        (f"{OPENED}, 32:ask d, 33:x well", "half_open", [True]),
        (f"{OPENED}, 32:ask d, 33:x ill", "half_open", [True]),
        (f"{OPENED}, 5:x well", "open", []),
    ],
)
def test_a_circuit_opens_on_failures_and_lets_one_see(story: str, state: str, passed: list[bool]) -> None:
    circuit, who = play(story)
    assert (circuit.state.value, who) == (state, passed)


def test_the_pause_grows_with_each_failure_of_who_sees_up_to_a_bound() -> None:
    circuit, _ = play(OPENED)
    pauses: list[float] = []
    now = at(2)
    for n in range(6):
        assert circuit.try_at is not None
        pauses.append((circuit.try_at - now).total_seconds())
        now = circuit.try_at
        answer = ask(circuit, f"p{n}", now, LASTS)
        assert answer.passes
        circuit = tell(answer.circuit, f"p{n}", Says.ILL, now, POLICY)
    assert pauses == [30, 60, 100, 100, 100, 100]
    assert circuit.opened_at == at(2)


def test_closing_forgets_what_was() -> None:
    circuit, _ = play(f"{OPENED}, 32:ask d, 34:d well")
    assert circuit == Circuit()


def test_what_a_human_keeps_open_lets_nobody_through_and_hears_nothing() -> None:
    kept = kept_open(Circuit(), at(0))
    for seconds in (1, 1_000_000):
        answer = ask(kept, "a", at(seconds), LASTS)
        assert (answer.passes, answer.until) == (False, None)
    assert tell(kept, "a", Says.WELL, at(1), POLICY) == kept
    half_open, _ = play(f"{OPENED}, 32:ask d")
    assert not ask(kept_open(half_open, at(33)), "d", at(34), LASTS).passes
    assert kept_open(half_open, at(33)).state is CircuitState.OPEN
