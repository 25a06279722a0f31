"""The lifecycle's table, the durations and the severities: pure, and whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handrail.incidents import models
from handrail.incidents.lifecycle import (
    ENDED,
    EVENT_KINDS,
    OPEN,
    TABLE,
    Status,
    Verb,
    refusal,
    target,
    verbs_for,
)
from handrail.incidents.metrics import Timestamps, durations, in_words, quantile
from handrail.incidents.severities import severity_of_alert, worse

T, I, D, M, R, C, X, G = Status  # noqa: E741

EXPECTED: dict[Verb, dict[Status, Status]] = {
    Verb.ACKNOWLEDGE: {T: I, I: I, D: D, M: M},
    Verb.INVESTIGATE: {T: I, D: I, M: I},
    Verb.IDENTIFY: {T: D, I: D, M: D},
    Verb.MITIGATE: {T: M, I: M, D: M},
    Verb.RESOLVE: {T: R, I: R, D: R, M: R},
    Verb.CLOSE: {R: C},
    Verb.CANCEL: {T: X, I: X, D: X, M: X},
    Verb.MERGE: {T: G, I: G, D: G, M: G},
    Verb.REOPEN: {R: I, C: I, X: I},
}


@pytest.mark.parametrize("verb", Verb)
@pytest.mark.parametrize("status", Status)
def test_every_cell_of_the_table_is_as_reviewed(verb: Verb, status: Status) -> None:
    assert target(status, verb) == EXPECTED[verb].get(status)


@pytest.mark.parametrize("verb", Verb)
@pytest.mark.parametrize("status", Status)
def test_a_refusal_names_the_incident_and_says_what_to_do(verb: Verb, status: Status) -> None:
    if target(status, verb) is None:
        words = refusal("INC-12", status, verb)
        assert words.startswith("INC-12")
        assert words.endswith(".")
        assert status in words or status is Status.MERGED


def test_the_rows_know_the_same_statuses_as_the_table() -> None:
    assert models.Incident.Status.values == list(Status)
    assert set(Status) == ENDED | OPEN
    assert set(TABLE) == set(EVENT_KINDS) == set(Verb)


def test_a_merged_incident_offers_no_verb() -> None:
    assert verbs_for(Status.MERGED) == []
    assert verbs_for(Status.RESOLVED) == [Verb.CLOSE, Verb.REOPEN]


@given(st.lists(st.sampled_from(Verb)))
def test_only_reopening_leads_back_from_the_end(verbs: list[Verb]) -> None:
    status = Status.TRIAGE
    for verb in verbs:
        after = target(status, verb)
        if after is None:
            continue
        if status in ENDED and after in OPEN:
            assert verb is Verb.REOPEN
        status = after


NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_durations_are_counted_from_the_start_and_unknown_ones_are_none() -> None:
    took = durations(
        Timestamps(
            started=NOON,
            detected=NOON + timedelta(seconds=40),
            acknowledged=NOON + timedelta(seconds=130),
            resolved=NOON + timedelta(minutes=20),
        )
    )
    assert took.detect == timedelta(seconds=40)
    assert took.acknowledge == timedelta(seconds=90)
    assert took.contain is took.mitigate is None
    assert took.resolve == timedelta(minutes=20)


def test_a_duration_is_never_negative() -> None:
    took = durations(
        Timestamps(started=NOON, detected=NOON - timedelta(hours=1), acknowledged=NOON - timedelta(hours=2))
    )
    assert took.detect == took.acknowledge == timedelta()


@given(
    st.lists(st.timedeltas(min_value=timedelta(), max_value=timedelta(days=9)), min_size=1),
    st.floats(0.01, 1),
)
def test_a_quantile_is_a_value_that_enough_values_do_not_exceed(
    values: list[timedelta], share: float
) -> None:
    found = quantile(values, share)
    assert found in values
    assert sum(value <= found for value in values if found is not None) >= share * len(values) - 1e-9


def test_the_median_and_the_ninetieth_percentile_of_ten() -> None:
    values = [timedelta(minutes=n) for n in range(1, 11)]
    assert quantile(values, 0.5) == timedelta(minutes=5)
    assert quantile(values, 0.9) == timedelta(minutes=9)
    assert quantile([], 0.5) is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (0.4, "less than a second"), (45, "45 s"), (250, "4 min 10 s"), (240, "4 min"), (7_500, "2 h 5 min"),
     (3_600, "1 h"), (86_400 * 3 + 3_600 * 4 + 59, "3 d 4 h"), (-5, "0 s")],
)  # fmt: skip
def test_durations_read_well(seconds: float, words: str) -> None:
    assert in_words(timedelta(seconds=seconds)) == words


@pytest.mark.parametrize(
    ("alert", "tier", "expected"),
    [("critical", 1, "SEV1"), ("critical", 2, "SEV2"), ("critical", None, "SEV2"), ("error", 1, "SEV2"),
     ("error", 3, "SEV3"), ("warning", 1, "SEV3"), ("warning", 2, "SEV4"), ("info", 1, "SEV4"),
     ("unknown", 1, "SEV3"), ("unknown", None, "SEV3"), ("melting", None, "SEV3")],
)  # fmt: skip
def test_severity_follows_the_alert_and_the_services_tier(
    alert: str, tier: int | None, expected: str
) -> None:
    assert severity_of_alert(alert, tier) == expected


def test_the_worse_of_two_severities_has_the_smaller_number() -> None:
    assert worse("SEV1", "SEV3") == worse("SEV3", "SEV1") == "SEV1"
