"""When schedules are due, over the days on which clocks change and after outages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.language.schedules import MOST_TICKS, due, next_tick

BERLIN = "Europe/Berlin"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def ticks(cron: str, timezone: str | None, after: str, count: int) -> list[datetime]:
    found: list[datetime] = []
    moment = at(after)
    for _ in range(count):
        following = next_tick(cron, timezone, moment)
        assert following is not None
        found.append(following)
        moment = following
    return found


@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        pytest.param(
            "30 2 * * *",
            "2026-03-28T12:00+01:00",
            ["2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"],
            id="a daily time in the gap comes right after it",
        ),
        pytest.param(
            "30 2 * * *",
            "2026-10-24T12:00+02:00",
            ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"],
            id="a daily time that is there twice comes once",
        ),
        pytest.param(
            "0 * * * *",
            "2026-10-25T01:30+02:00",
            ["2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00", "2026-10-25T03:00+01:00"],
            id="an hourly one follows real hours when clocks go back",
        ),
        pytest.param(
            "0 * * * *",
            "2026-03-29T01:30+01:00",
            ["2026-03-29T03:00+02:00", "2026-03-29T04:00+02:00"],
            id="and when they go forward",
        ),
        pytest.param("0 0 29 2 *", "2026-01-01T00:00+01:00", ["2028-02-29T00:00+01:00"], id="a leap day"),
    ],
)
def test_local_time_is_followed(cron: str, after: str, expected: list[str]) -> None:
    assert ticks(cron, BERLIN, after, len(expected)) == [at(text) for text in expected]


def test_without_a_time_zone_it_is_utc() -> None:
    assert ticks("0 3 * * *", None, "2026-07-01T00:00+00:00", 1) == [at("2026-07-01T03:00+00:00")]


def test_what_lies_ahead_is_not_due() -> None:
    assert due("0 3 * * *", None, at("2026-07-01T03:00+00:00"), at("2026-07-01T02:59+00:00")) is None


def test_after_an_outage_the_newest_tick_counts_and_the_others_are_missed() -> None:
    found = due("0 * * * *", None, at("2026-07-01T03:00+00:00"), at("2026-07-01T07:10+00:00"))
    assert found is not None
    assert (found.newest, found.missed) == (at("2026-07-01T07:00+00:00"), 4)
    assert found.following == at("2026-07-01T08:00+00:00")


def test_after_a_year_not_every_minute_is_looked_at() -> None:
    found = due("* * * * *", None, at("2025-07-01T00:00+00:00"), at("2026-07-01T00:00:30+00:00"))
    assert found is not None
    assert found.missed == MOST_TICKS
    assert found.newest == at("2026-07-01T00:00+00:00"), "it may be recent enough to be caught up"
    assert found.following == at("2026-07-01T00:01+00:00")


@given(
    st.sampled_from(["* * * * *", "*/7 * * * *", "30 2 * * *", "0 */3 * * 1", "59 23 28-31 * *"]),
    st.sampled_from([BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", None]),
    st.timedeltas(timedelta(), timedelta(days=730)).map(lambda later: at("2026-01-01T00:00+00:00") + later),
    st.timedeltas(timedelta(), timedelta(days=3)),
)
def test_ticks_only_go_forward_and_the_next_one_lies_ahead(
    cron: str, timezone: str | None, start: datetime, length: timedelta
) -> None:
    first = next_tick(cron, timezone, start)
    assert first is not None
    assert first > start
    assert (first.second, first.microsecond) == (0, 0)
    found = due(cron, timezone, first, start + length)
    if found is None:
        assert first > start + length
    else:
        assert first <= found.newest <= start + length
        assert found.following is not None
        assert found.following > start + length
        assert next_tick(cron, timezone, found.newest) == found.following
