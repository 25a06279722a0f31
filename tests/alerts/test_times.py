"""Times are read in every way that monitoring systems write them, and never guessed."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handrail.alerts.times import read_time, rfc3339

NOON = "2026-03-01T12:00:00Z"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-03-01T12:00:00Z", NOON),
        ("2026-03-01t12:00:00z", NOON),
        ("2026-03-01T14:00:00+02:00", NOON),
        ("2026-03-01T12:00:00.000+0000", NOON),
        ("2026-03-01T13:00:00.5+01.00", "2026-03-01T12:00:00.5Z"),
        ("2026-03-01T12:00:00.123456789Z", "2026-03-01T12:00:00.123456Z"),
        ("2026-03-01T12:00:00.1Z", "2026-03-01T12:00:00.1Z"),
        ("2026-03-01 12:00:00.5 +0000 UTC m=+12.25", "2026-03-01T12:00:00.5Z"),
        ("2026-03-01 04:00:00 -0800 PST", NOON),
        ("2026-03-01 04:00:00 PST", NOON),
        ("2026-03-01 12:00:00 UTC", NOON),
        ("2026-03-01 12:00:00", NOON),
        ("2026.03.01 12:00", NOON),
        ("2026-03-01", "2026-03-01T00:00:00Z"),
        ("2026-12-31T23:59:60Z", "2026-12-31T23:59:59Z"),
        ("Sun, 01 Mar 2026 12:00:00 GMT", NOON),
        ("03/25/2026 1:02:03 PM", "2026-03-25T13:02:03Z"),
        ("25/03/2026 13:02", "2026-03-25T13:02:00Z"),
        (1772366400, NOON),
        ("1772366400", NOON),
        ("1772366400.5", "2026-03-01T12:00:00.5Z"),
        (1772366400000, NOON),
        (1772366400000000, NOON),
        (1772366400000000123, NOON),
        ("1772366400000000123", NOON),
    ],
)
def test_a_time_is_read(value: object, expected: str) -> None:
    assert rfc3339(read_time(value)) == expected


@pytest.mark.parametrize(
    "value",
    [
        None, "", "  ", "null", "Never", "never", "np", "$DATE", "0001-01-01T00:00:00Z",
        "0001-01-01 00:00:00 +0000 UTC",
        0, -1, 5, True, False, float("nan"), float("inf"), 10**40,
        "9" * 60, "03/04/2026 10:00", "2026-13-01T00:00:00Z",
        "2026-02-30", "9999-12-31T23:59:59-23:00",
        "2026-03-01T12:00:00+99:99", "2026-03-01 12:00:00 IST", [], {},
        "x" * 5_000,
    ],
)  # fmt: skip
def test_what_names_no_moment_is_none(value: object) -> None:
    assert read_time(value) is None


@given(
    st.one_of(
        st.text(), st.integers(), st.floats(), st.from_regex(r"\d{1,4}[-/.]\d{2}[-/.]\d{2,4}[T ][\d:.+ -]*")
    )
)
def test_nothing_makes_the_reader_fail(value: object) -> None:
    moment = read_time(value)
    assert moment is None or (moment.tzinfo is not None and rfc3339(moment))


@given(st.integers(63_072_000, 7_000_000_000).map(lambda s: dt.datetime.fromtimestamp(s + 0.25, dt.UTC)))
def test_what_is_written_is_read_back(moment: dt.datetime) -> None:
    assert read_time(rfc3339(moment)) == moment
