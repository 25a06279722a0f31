"""Token buckets: never more than the rate allows, nobody waits for longer than needed, whoever waits comes in turn."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.engine.buckets import Bucket, full, take
from runbooks.language.rates import Rate, rate_of

START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "per_second", "burst"),
    [
        ("10/s", 10, 10),
        ("10/s burst 20", 10, 20),
        ("120/m burst 5", 2, 5),
        ("36/h", 0.01, 36),
        ("1/m burst 1", 1 / 60, 1),
    ],
)
def test_a_rate_is_read(text: str, per_second: float, burst: int) -> None:
    rate = rate_of(text)
    assert (rate.per_second, rate.burst) == (pytest.approx(per_second), burst)


@pytest.mark.parametrize(
    "text", ["", "10", "10/d", "0/s", "10/s burst 0", "10/s burst", "-1/s", "ten/s", "1.5/s"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a rate such as 10/s"):
        rate_of(text)


def test_a_burst_passes_and_the_next_ones_are_told_when_one_after_another() -> None:
    rate = rate_of("2/s burst 3")
    bucket, told = full(rate, at(0)), []
    for _ in range(6):
        bucket, due = take(bucket, rate, at(0), promised=False)
        told.append(None if due is None else (due - START).total_seconds())
    assert told == [None, None, None, *(pytest.approx(due, abs=1e-4) for due in (0.5, 1.0, 1.5))]


def test_who_was_promised_a_token_gets_it_before_who_comes_then() -> None:
    rate = rate_of("1/s burst 1")
    bucket, _ = take(full(rate, at(0)), rate, at(0), promised=False)
    bucket, first = take(bucket, rate, at(0), promised=False)
    bucket, second = take(bucket, rate, at(0), promised=False)
    assert first is not None
    assert second is not None
    assert at(1) < first < at(1.01) < at(2) < second < at(2.01)
    bucket, newcomer = take(bucket, rate, first, promised=False)
    assert newcomer is not None
    assert newcomer > at(3)
    bucket, due = take(bucket, rate, first, promised=True)
    assert due is None
    _, due = take(bucket, rate, second, promised=True)
    assert due is None


def test_a_promise_that_nobody_takes_up_leaves_its_token() -> None:
    rate = rate_of("1/s burst 1")
    bucket, _ = take(full(rate, at(0)), rate, at(0), promised=False)
    bucket, due = take(bucket, rate, at(0), promised=False)
    assert due is not None
    assert take(bucket, rate, due, promised=False)[1] is None


def test_a_clock_that_runs_backwards_adds_nothing() -> None:
    rate = rate_of("1/s burst 1")
    bucket, _ = take(full(rate, at(10)), rate, at(10), promised=False)
    bucket, due = take(bucket, rate, at(0), promised=False)
    assert due is not None
    assert (bucket.at, bucket.tokens) == (at(10), 0.0)


@given(
    gaps=st.lists(st.floats(0, 2), min_size=1, max_size=40),
    per_second=st.integers(1, 20),
    burst=st.integers(1, 10),
)
def test_calls_that_come_when_they_are_told_never_exceed_the_rate(
    gaps: list[float], per_second: int, burst: int
) -> None:
    rate = Rate(float(per_second), burst, "")
    bucket = full(rate, at(0))
    now, coming, passed = 0.0, [], []
    for gap in gaps:
        now += gap
        coming.append((at(now), False))
    while coming:
        coming.sort()
        moment, promised = coming.pop(0)
        bucket, due = take(bucket, rate, moment, promised=promised)
        if due is None:
            passed.append(moment)
        else:
            assert due > moment
            coming.append((due, True))
    assert len(passed) == len(gaps)
    for n, first in enumerate(passed):
        for count, last in enumerate(passed[n:], start=1):
            allowed = burst + (last - first).total_seconds() * per_second
            assert count <= allowed + 1e-3


def test_a_bucket_never_holds_more_than_its_burst() -> None:
    rate = rate_of("10/s burst 4")
    bucket, _ = take(Bucket(4.0, at(0)), rate, at(10_000), promised=False)
    assert bucket.tokens == 3.0
