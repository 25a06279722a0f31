"""An alert event bounds what a hostile body puts into it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handrail.alerts import events
from handrail.alerts.events import AlertEvent, AlertStatus, Severity, fingerprint_of
from handrail.alerts.severities import read_severity

UTC = dt.UTC
LATER = dt.datetime(2026, 3, 1, 12, tzinfo=dt.timezone(dt.timedelta(hours=2)))


def an_event(**changes: Any) -> AlertEvent:
    return AlertEvent(
        **{"status": AlertStatus.RESOLVED, "title": "Disk full", "fingerprint": "f1", **changes}
    )


def test_times_are_kept_in_utc() -> None:
    assert an_event(started_at=LATER).started_at == dt.datetime(2026, 3, 1, 10, tzinfo=UTC)


def test_a_naive_time_is_a_mistake_of_the_source() -> None:
    with pytest.raises(ValueError, match="aware"):
        an_event(started_at=LATER.replace(tzinfo=None))


def test_a_firing_alert_has_not_ended() -> None:
    assert an_event(status=AlertStatus.FIRING, ended_at=LATER).ended_at is None


def test_long_text_is_cut_with_an_ellipsis() -> None:
    event = an_event(title="x" * 10_000, description="y" * 100_000, severity_word="z" * 1_000)
    assert (len(event.title), event.title[-1]) == (events.MAX_TITLE, "…")
    assert len(event.description) == events.MAX_DESCRIPTION
    assert len(event.severity_word) == events.MAX_WORD


def test_a_long_fingerprint_becomes_its_digest_and_stays_distinct() -> None:
    one, other = (an_event(fingerprint="x" * 300 + end).fingerprint for end in "ab")
    assert len(one) == 64
    assert one != other


def test_only_the_first_labels_are_kept() -> None:
    event = an_event(labels={f"l{i}": "v" for i in range(500)})
    assert list(event.labels) == [f"l{i}" for i in range(events.MAX_LABELS)]


def test_links_lead_to_the_web_only() -> None:
    links = {"a": "https://x.example/1", "b": "javascript:alert(1)", "c": "http://x.example/ y"}
    assert an_event(links=links).links == {"a": "https://x.example/1"}


@given(st.text(alphabet=st.characters(exclude_categories=[]), min_size=1))
def test_every_text_can_be_stored_by_postgresql(text: str) -> None:
    event = an_event(title=f"t{text}", labels={text: text}, description=text, fingerprint=text)
    for stored in (event.title, event.description, event.fingerprint, *event.labels, *event.labels.values()):
        assert "\0" not in stored
        stored.encode("utf-8")


def test_the_order_of_labels_does_not_change_a_fingerprint() -> None:
    assert fingerprint_of({"a": "1", "b": "2"}) == fingerprint_of({"b": "2", "a": "1"})


def test_separators_in_labels_do_not_make_fingerprints_collide() -> None:
    assert fingerprint_of({"a": '1","b":"2'}) != fingerprint_of({"a": "1", "b": "2"})


@pytest.mark.parametrize(
    ("word", "severity"),
    [
        ("critical", Severity.CRITICAL), ("CRIT", Severity.CRITICAL), ("page", Severity.CRITICAL),
        ("Sev0", Severity.CRITICAL), ("SEV-1", Severity.ERROR), ("Sev 2", Severity.WARNING),
        ("sev3", Severity.INFO),
        ("Sev4", Severity.INFO), ("P1", Severity.CRITICAL), ("p2", Severity.ERROR), ("P3", Severity.WARNING),
        ("P5", Severity.INFO), ("Priority 1", Severity.CRITICAL), ("emergency", Severity.CRITICAL),
        ("fatal", Severity.CRITICAL), ("high", Severity.ERROR), ("minor", Severity.WARNING),
        ("none", Severity.INFO),
        ("", Severity.UNKNOWN), ("2", Severity.UNKNOWN), ("purple", Severity.UNKNOWN),
        ("$SEVERITY", Severity.UNKNOWN),
    ],
)  # fmt: skip
def test_severity_words_are_understood(word: str, severity: Severity) -> None:
    assert read_severity(word) is severity
