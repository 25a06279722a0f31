"""Alertmanager's webhook, as it is documented and as it really comes."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handrail.alerts.errors import IntakeError, MappingError, NotThisSource
from handrail.alerts.events import AlertEvent, AlertStatus, Severity
from integrations.alertmanager.fingerprints import prometheus_fingerprint
from integrations.alertmanager.source import SOURCE

LABELS = {"alertname": "QueueStuck", "severity": "critical", "queue": "mail", "env": "prod"}
ZERO = "0001-01-01T00:00:00Z"


def an_alert(**changes: Any) -> dict[str, Any]:
    alert = {
        "status": "firing",
        "labels": LABELS,
        "annotations": {"summary": "Mail is stuck", "runbook_url": "https://wiki.example/stuck"},
        "startsAt": "2026-03-01T12:00:00.123456789Z",
        "endsAt": ZERO,
        "generatorURL": "http://prometheus.example/graph?g0.expr=up",
        "fingerprint": "00c0ffee00c0ffee",
    } | changes
    return {key: value for key, value in alert.items() if value is not ...}


def a_group(*alerts: Any, **changes: Any) -> dict[str, Any]:
    group = {
        "version": "4",
        "groupKey": '{}:{alertname="QueueStuck"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "handrail",
        "groupLabels": {"alertname": "QueueStuck"},
        "commonLabels": LABELS,
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example",
        "alerts": list(alerts or [an_alert()]),
    } | changes
    return {key: value for key, value in group.items() if value is not ...}


def read(document: object) -> list[AlertEvent]:
    return SOURCE.parse(json.dumps(document).encode(), {}, {})


def test_an_alert_is_read_whole() -> None:
    assert read(a_group()) == [
        AlertEvent(
            status=AlertStatus.FIRING,
            severity=Severity.CRITICAL,
            severity_word="critical",
            title="QueueStuck",
            description="Mail is stuck",
            fingerprint="00c0ffee00c0ffee",
            labels=LABELS,
            annotations={"summary": "Mail is stuck", "runbook_url": "https://wiki.example/stuck"},
            started_at=dt.datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=dt.UTC),
            ended_at=None,
            links={
                "generator": "http://prometheus.example/graph?g0.expr=up",
                "runbook": "https://wiki.example/stuck",
                "source": "http://alertmanager.example",
            },
        )
    ]


def test_each_alert_has_its_own_status_whatever_the_group_says() -> None:
    alerts = [an_alert(status="resolved", endsAt="2026-03-01T12:30:00Z"), an_alert(status="firing")]
    for group_status in ("firing", "resolved"):
        statuses = [event.status for event in read(a_group(*alerts, status=group_status))]
        assert statuses == [AlertStatus.RESOLVED, AlertStatus.FIRING]


def test_the_group_speaks_for_an_alert_without_a_status() -> None:
    assert read(a_group(an_alert(status=...), status="resolved"))[0].status is AlertStatus.RESOLVED


@pytest.mark.parametrize("ends_at", [ZERO, "2099-01-01T00:00:00Z", "", None, ...])
def test_a_firing_alert_has_not_ended(ends_at: object) -> None:
    assert read(a_group(an_alert(endsAt=ends_at)))[0].ended_at is None


def test_a_resolved_alert_has_ended() -> None:
    event = read(a_group(an_alert(status="resolved", endsAt="2026-03-01T13:30:00+01:00")))[0]
    assert event.ended_at == dt.datetime(2026, 3, 1, 12, 30, tzinfo=dt.UTC)


@pytest.mark.parametrize("starts_at", [ZERO, "", None, "soon", ...])
def test_an_alert_is_worth_more_than_its_time(starts_at: object) -> None:
    assert read(a_group(an_alert(startsAt=starts_at)))[0].started_at is None


def test_the_least_that_can_be_sent_is_enough() -> None:
    event = read({"status": "firing", "alerts": [{"labels": {"alertname": "Down"}}]})[0]
    assert (event.title, event.severity, event.started_at) == ("Down", Severity.UNKNOWN, None)
    assert event.fingerprint == prometheus_fingerprint({"alertname": "Down"})


def test_an_alerts_own_labels_win_over_the_common_ones() -> None:
    group = a_group(an_alert(labels={"alertname": "Own"}), commonLabels={"alertname": "Common", "zone": "a"})
    event = read(group)[0]
    assert (event.title, event.labels) == ("Own", {"alertname": "Own"})


@pytest.mark.parametrize("labels", [{}, None, ...])
def test_common_labels_stand_in_for_an_alert_without_any(labels: object) -> None:
    event = read(a_group(an_alert(labels=labels)))[0]
    assert (event.title, event.labels) == ("QueueStuck", LABELS)


def test_without_any_labels_the_summary_names_the_alert() -> None:
    assert read(a_group(an_alert(labels={}), commonLabels={}))[0].title == "Mail is stuck"


def test_equal_labels_with_two_fingerprints_are_two_alerts() -> None:
    events = read(a_group(an_alert(fingerprint="aa"), an_alert(fingerprint="bb")))
    assert [event.fingerprint for event in events] == ["aa", "bb"]


def test_peers_in_high_availability_agree_on_the_key() -> None:
    one = read(a_group(an_alert(fingerprint=...)))[0]
    other = read(a_group(an_alert(fingerprint=..., labels=dict(reversed(LABELS.items())))))[0]
    assert one.fingerprint == other.fingerprint


def test_the_fingerprint_of_no_labels_is_the_hashs_starting_value() -> None:
    assert prometheus_fingerprint({}) == "cbf29ce484222325"


def test_an_old_numeric_group_key_is_read() -> None:
    assert read(a_group(version="3", groupKey=9_654_712_645_789_654_321, truncatedAlerts=...))


@pytest.mark.parametrize(
    ("said", "note"), [(5, "left 5 more"), ("5", "left 5 more"), (0, ""), (-1, ""), ("many", ""), ({}, "")]
)
def test_it_is_said_when_the_sender_left_alerts_out(said: object, note: str) -> None:
    first, second = read(a_group(an_alert(), an_alert(fingerprint="bb"), truncatedAlerts=said))
    assert note in first.note if note else not first.note
    assert second.note == ""


def test_grafanas_body_is_read_as_it_has_the_same_shape() -> None:
    alert = an_alert(
        labels={"alertname": "Memory", "grafana_folder": "device"},
        values={"A": 2_473_545_728},
        dashboardURL="https://grafana.example/d/1",
        panelURL="",
        silenceURL="https://grafana.example/alerting/silence/new",
    )
    event = read(a_group(alert, version="1", orgId=1, state="alerting", title="[FIRING:1]", message="..."))[0]
    assert (event.value, event.links["dashboard"]) == (2_473_545_728.0, "https://grafana.example/d/1")


def test_a_grafana_alert_with_nothing_but_a_status_is_titled_by_its_group() -> None:
    event = read(a_group({"status": "firing"}, commonLabels={}, title="[FIRING:1]"))[0]
    assert (event.title, event.labels) == ("[FIRING:1]", {})


def test_text_in_any_script_is_kept() -> None:
    assert read(a_group(an_alert(labels={"alertname": "Сбой 🔥 障害"})))[0].title == "Сбой 🔥 障害"


def test_scalars_of_hand_made_senders_become_text() -> None:
    event = read(a_group(an_alert(labels={"alertname": "X", "port": 80, "up": False, "zone": None})))[0]
    assert event.labels == {"alertname": "X", "port": "80", "up": "false"}


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (an_alert(), r"\$ .*without its envelope"),
        ([an_alert()], r"\$ .*webhook_configs"),
        ([], r"\$ "), ("text", r"\$ "), (None, r"\$ "), (7, r"\$ "), ({}, r"\$ "),
        (a_group(alerts=...), r"\$ "), (a_group(alerts=[]), r"\$\.alerts .*at least one"),
        (a_group(alerts={}), r"\$\.alerts "), (a_group(alerts=None), r"\$\.alerts "),
        ({"alerts": [an_alert()]}, r"\$ .*envelope"),
        (a_group(7), r"\$\.alerts\[0\] "), (a_group(an_alert(), None), r"\$\.alerts\[1\] "),
        (a_group(status="ok"), r"\$\.status "), (a_group(status=1), r"\$\.status "),
        (a_group(an_alert(status="pending")), r"\$\.alerts\[0\]\.status .*\"pending\""),
        (a_group(an_alert(status=["firing"])), r"\$\.alerts\[0\]\.status "),
        (a_group(an_alert(status=...), status=...), r"\$\.alerts\[0\]\.status "),
        (a_group(an_alert(labels=[])), r"\$\.alerts\[0\]\.labels "),
        (a_group(an_alert(labels={"a": {}})), r"\$\.alerts\[0\]\.labels\.a "),
        (a_group(an_alert(annotations="x")), r"\$\.alerts\[0\]\.annotations "),
        (a_group(an_alert(startsAt=True)), r"\$\.alerts\[0\]\.startsAt "),
        (a_group(an_alert(endsAt={})), r"\$\.alerts\[0\]\.endsAt "),
        (a_group(an_alert(fingerprint=[1])), r"\$\.alerts\[0\]\.fingerprint "),
        (a_group(an_alert(generatorURL={})), r"\$\.alerts\[0\]\.generatorURL "),
        (a_group(an_alert(values=[1])), r"\$\.alerts\[0\]\.values "),
        (a_group(commonLabels=[]), r"\$\.commonLabels "), (a_group(groupKey={}), r"\$\.groupKey "),
    ],
)  # fmt: skip
def test_what_alertmanager_never_sends_is_refused_with_its_place(document: object, path: str) -> None:
    with pytest.raises(NotThisSource, match=f"not a body of alertmanager: {path}"):
        read(document)


def test_there_is_nothing_to_map() -> None:
    with pytest.raises(MappingError, match="no mapping"):
        SOURCE.parse(b"{}", {}, {"title": "body.x"})


def test_a_repeated_notification_has_no_id_of_its_own() -> None:
    assert SOURCE.delivery_id({"X-Request-Id": "1"}, b"{}") is None


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(JSON, st.sampled_from(sorted(an_alert())), st.sampled_from(sorted(a_group())))
def test_a_damaged_body_is_read_or_refused(junk: object, alert_key: str, group_key: str) -> None:
    for document in (a_group(an_alert(**{alert_key: junk})), a_group(**{group_key: junk}), junk):
        with contextlib.suppress(IntakeError):
            assert read(document)
