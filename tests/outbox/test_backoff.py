"""How long a failed message waits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from handrail.outbox.backoff import LONGEST_SECONDS, MAX_ATTEMPTS, delay_seconds


def test_each_failure_doubles_the_wait_up_to_five_minutes() -> None:
    assert [delay_seconds(n) for n in (1, 2, 3, 4)] == [2.0, 4.0, 8.0, 16.0]
    assert delay_seconds(MAX_ATTEMPTS - 1) == LONGEST_SECONDS


def test_the_last_attempt_is_the_end() -> None:
    assert delay_seconds(MAX_ATTEMPTS) is None


@given(st.integers(min_value=1, max_value=MAX_ATTEMPTS - 2))
def test_waits_never_shrink(attempts: int) -> None:
    sooner, later = delay_seconds(attempts), delay_seconds(attempts + 1)
    assert sooner is not None
    assert later is not None
    assert 0 < sooner <= later <= LONGEST_SECONDS
