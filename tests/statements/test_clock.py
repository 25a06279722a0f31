"""Leases and timers follow the database's clock, whatever a process takes for the time."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine

from handrail.shared.clock import TICK, database_now, estimated_now, now


@pytest.mark.django_db
@pytest.mark.parametrize("days", [-1, 1])
def test_a_process_whose_clock_jumps_keeps_the_databases_time(days: int) -> None:
    before = database_now()
    with time_machine.travel(now() + timedelta(days=days), tick=True):
        said, guessed = database_now(), estimated_now()
    after = database_now()
    assert before <= said <= after
    assert guessed is not None
    assert before - TICK <= guessed <= after


@pytest.mark.django_db
def test_an_estimate_is_never_ahead_of_the_database() -> None:
    """A message that is due by the estimate must be due for whoever is told of it at once."""
    for _ in range(200):
        guessed = estimated_now()
        asked = database_now()
        assert guessed is None or guessed <= asked
        assert asked - (estimated_now() or asked) < timedelta(seconds=1)


@pytest.mark.django_db
def test_the_databases_clock_is_about_right() -> None:
    began = now()
    assert abs(database_now() - began) < timedelta(minutes=1)
