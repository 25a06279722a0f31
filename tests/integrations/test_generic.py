"""Any JSON: read by an admin's mapping, or by the usual names, or refused with advice."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handrail.alerts.errors import IntakeError, MappingError, NotThisSource
from handrail.alerts.events import AlertEvent, AlertStatus, Severity
from handrail.alerts.times import rfc3339
from integrations.generic.source import SOURCE

FORM = {"content-type": "application/x-www-form-urlencoded"}


def read(document: object, mapping: dict[str, Any] | None = None, **headers: str) -> list[AlertEvent]:
    return SOURCE.parse(json.dumps(document).encode(), headers, mapping or {})


@pytest.mark.parametrize(
    ("document", "status", "severity", "title", "fingerprint"),
    [
        ({"title": "Full", "status": "down", "severity": "crit", "id": 7}, "firing", "critical", "Full", "7"),
        ({"name": "API", "state": "OK", "dedup_key": "k"}, "resolved", "unknown", "API", "k"),
        ({"data": {"issue": {"title": "T", "status": "closed", "id": "i"}}}, "resolved", "unknown", "T", "i"),
        ({"type": "check.recovered", "check": {"name": "ping", "id": 0}}, "resolved", "unknown", "ping", "0"),
        ({"event_type": "ALERT_TRIGGER", "alertName": "A", "alertId": "x"}, "firing", "unknown", "A", "x"),
        ({"message": "Full", "status": "acknowledged", "id": "1"}, "acknowledged", "unknown", "Full", "1"),
        ({"alarm_name": "A", "NewStateValue": "NO_DATA", "id": "1"}, "no_data", "unknown", "A", "1"),
        ({"subject": "S", "event_value": "0", "trigger_id": "9"}, "resolved", "unknown", "S", "9"),
        ({"title": "$TITLE", "state": "open", "id": "1"}, "firing", "unknown", "$TITLE", "1"),
        ({"user": {"name": "B", "id": 1}, "a": {"name": "Hot", "id": 2}}, "firing", "unknown", "Hot", "2"),
        ({"title": "T", "severity": "ok", "id": "1"}, "resolved", "info", "T", "1"),
        ({"heartbeat": {"status": 0}, "monitor": {"id": 1, "name": "A"}}, "firing", "unknown", "A", "1"),
        ({"heartbeat": {"status": 1}, "monitor": {"id": 1, "name": "A"}}, "resolved", "unknown", "A", "1"),
        ({"alert_transition": "Re-No Data", "title": "T", "id": "1"}, "no_data", "unknown", "T", "1"),
        ({"id": "e1", "data": {"id": "a1", "name": "Hot"}}, "firing", "unknown", "Hot", "a1"),
        ({"specversion": "1.0", "subject": "S", "id": "e", "data": {"id": "a"}}, "firing", "unknown", "S", "a"),
        ({"id": "a1", "title": "T", "data": {"id": "b"}}, "firing", "unknown", "T", "a1"),
        ({"type": "x.acknowledge", "status": "triggered", "name": "N", "id": 1}, "acknowledged", "unknown", "N", "1"),
        ({"host": "db-1", "service": "disk", "state": "ok", "id": 1}, "resolved", "unknown", "db-1 disk", "1"),
        ({"monitor": "Backup", "rule": "late", "id": 1}, "firing", "unknown", "Backup", "1"),
    ],
)  # fmt: skip
def test_the_usual_names_are_found(
    document: object, status: str, severity: str, title: str, fingerprint: str
) -> None:
    event = read(document)[0]
    assert [event.status, event.severity, event.title, event.fingerprint] == [
        status,
        severity,
        title,
        fingerprint,
    ]


def test_an_array_gives_as_many_alerts() -> None:
    assert [event.title for event in read([{"title": "a"}, {"title": "b"}])] == ["a", "b"]
    assert [event.title for event in read({"alerts": [{"title": "a"}, {"title": "b"}]})] == ["a", "b"]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"env": "prod", "n": 1, "x": None}, {"env": "prod", "n": "1"}),
        (["env:prod", "urgent"], {"env": "prod", "urgent": ""}),
        ("env:prod, urgent", {"env": "prod", "urgent": ""}),
        (
            [{"key": "env", "value": {"stringValue": "prod"}}, {"name": "n", "value": 1}],
            {"env": "prod", "n": "1"},
        ),
        (7, {}),
    ],
)
def test_labels_come_in_many_shapes(labels: object, expected: dict[str, str]) -> None:
    assert read({"title": "T", "tags": labels})[0].labels == expected


def test_without_an_id_the_same_alert_has_the_same_fingerprint() -> None:
    first, again = (
        read({"title": "T", "tags": ["a:b"], "timestamp": when})[0] for when in (1772366400, 1772366460)
    )
    assert first.fingerprint == again.fingerprint
    assert rfc3339(first.started_at) == "2026-03-01T12:00:00Z"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, r"\$ should be an object with a title"),
        ({"type": "url_verification", "challenge": "x"}, "title"),
        ([], "at least one alert"),
        ("text", "title"),
        ({"title": "Build", "status": "queued"}, r"\$\.\.status .*\"queued\".*status\.values"),
    ],
)
def test_a_body_without_an_alert_is_refused(document: object, message: str) -> None:
    with pytest.raises(NotThisSource, match=message):
        read(document)


def test_a_document_inside_a_text_is_read() -> None:
    alarm = {"AlarmName": "Lag", "NewStateValue": "OK", "StateChangeTime": "2026-03-01T12:00:00.000+0000"}
    event = read({"Type": "Notification", "Subject": "OK: Lag", "Message": json.dumps(alarm)})[0]
    assert (event.status, event.title) == (AlertStatus.RESOLVED, "Lag")
    # When the state changed to OK, the alert ended; when it began is not said.
    assert (event.started_at, rfc3339(event.ended_at)) == (None, "2026-03-01T12:00:00Z")
    assert read({"Subject": "S", "Message": "{not json"})[0].title == "S"


def test_a_form_is_read() -> None:
    assert SOURCE.parse(b"title=Disk+full&state=down", FORM, {})[0].title == "Disk full"
    assert SOURCE.parse(b"payload=%7B%22title%22%3A%22T%22%7D", FORM, {})[0].title == "T"


MAPPING: dict[str, Any] = {
    "items": "body.problems",
    "status": {"expression": "string(item.code)", "values": {"1": "firing", "0": "resolved"}},
    "severity": {"expression": "item.prio", "values": {"hot": "critical"}, "default": "warning"},
    "title": "item.what + ' on ' + item.where['host.name']",
    "fingerprint": "string(item.nr)",
    "labels": {"host": "item.where['host.name']", "sender": "headers['x-sender']"},
    "started_at": "item.at",
}
PROBLEM = {
    "code": 1,
    "prio": "hot",
    "what": "Fire",
    "where": {"host.name": "db1"},
    "nr": 2**70,
    "at": 1772366400,
}


def test_a_mapping_reads_what_nobody_could_guess() -> None:
    ended = PROBLEM | {"code": 0}
    del ended["prio"]
    first, second = read({"problems": [PROBLEM, ended]}, MAPPING, **{"X-Sender": "lab"})
    assert (first.status, first.severity, first.title) == (
        AlertStatus.FIRING,
        Severity.CRITICAL,
        "Fire on db1",
    )
    assert first.fingerprint == "1180591620717411303424"
    assert first.labels == {"host": "db1", "sender": "lab"}
    assert rfc3339(first.started_at) == "2026-03-01T12:00:00Z"
    assert (second.status, second.severity) == (AlertStatus.RESOLVED, Severity.WARNING)


@pytest.mark.parametrize(
    ("sent", "read_as"),
    [
        ("2026-03-01T13:00:00+01:00", "2026-03-01T12:00:00Z"),
        ("0001-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00+05:00", None),
        ("9999-12-31T23:59:59-05:00", None),
    ],
)
def test_a_time_that_an_expression_gives_is_read_like_any_other(sent: str, read_as: str | None) -> None:
    mapping = {"started_at": "timestamp(item.at)", "ended_at": "timestamp(item.at)"}
    (event,) = read({"title": "T", "status": "resolved", "at": sent}, mapping)
    assert (rfc3339(event.started_at), rfc3339(event.ended_at)) == (read_as, read_as)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"titel": "body.x"}, "did you mean title"),
        (
            {"title": "body.headlin"},
            'title: expression "body.headlin": .*"headlin"; the nearest one is "headline"',
        ),
        ({"title": "(("}, "title: expression .* cannot be read"),
        ({"title": ""}, "title: should be a CEL expression"),
        ({"title": 7}, "title: should be a CEL expression"),
        ({"title": "x" * 1_001}, "longer than 1,000"),
        ({"title": "nothing"}, "Undefined variable"),
        ({"title": "body"}, "should give a text"),
        ({"title": "1 / 0"}, "division by zero"),
        ({"title": "body.list[9]"}, "out of bounds"),
        ({"status": "body.headline"}, "status.values"),
        ({"labels": {"a": "body.nope"}}, "labels.a: "),
        ({"labels": "body.headline.size()"}, "labels: .* should give an object"),
        ({"labels": 7}, "labels: should be"),
        ({"items": "body.headline"}, "items: .* should give an array"),
        ({"status": {"expression": "body.x", "value": {}}}, "expression, values and default only"),
        ({"status": {"expression": "body.x", "values": {"1": 2}}}, "status.values.1: should be a text"),
        ({"status": {"expression": "body.x", "default": 2}}, "status.default: should be a text"),
        ({"title": "body.list.map(a, body.list.map(b, body.list.map(c, a)))"}, "nested deeper than 2"),
        ({"title": "string(body.many.map(a, body.many.map(b, a)).size())"}, "too long|too large"),
        ({"title": "body.big" + " + body.big" * 80 + ".map(a, a + a + a)[0]"}, "too long|too large"),
    ],
)
def test_a_wrong_mapping_is_answered_with_its_place(mapping: dict[str, Any], message: str) -> None:
    body = {"headline": "H", "list": [1], "many": [0] * 3_000, "big": "x" * 500_000}
    started = time.process_time()
    with pytest.raises(MappingError, match=message) as refusal:
        read(body, mapping)
    assert "\n" not in str(refusal.value)
    assert time.process_time() - started < 3


def test_carrying_the_body_to_every_item_is_bounded() -> None:
    with pytest.raises(MappingError, match="read `item` instead of `body`"):
        read({"all": [{"n": 1}] * 5_000}, {"items": "body.all", "title": "body.all[0].n"})


def test_a_macro_over_an_ordinary_body_is_allowed() -> None:
    body = {"parts": [{"text": "a", "use": True}, {"text": "b", "use": False}]}
    assert read(body, {"title": "body.parts.filter(p, p.use).map(p, p.text)[0]"})[0].title == "a"


def test_retries_of_a_delivery_share_its_id() -> None:
    assert SOURCE.delivery_id({"webhook-id": "msg_1"}, b"") == "msg_1"
    assert SOURCE.delivery_id({"X-Other": "1"}, b"") is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=[])) | st.sampled_from(["firing", "down", "$X", "{{ x }}",
    "null"]), lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(["title", "status", "id", "labels", "alerts", "data", "time", "x"]),
    inner), max_leaves=12,
)  # fmt: skip


@given(JSON, st.sampled_from([{}, MAPPING, {"title": "body.title"}, {"labels": "body.labels"}]))
def test_any_json_is_read_or_refused(document: object, mapping: dict[str, Any]) -> None:
    with contextlib.suppress(IntakeError):
        assert read(document, mapping)


@given(st.binary())
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    for headers in ({}, FORM):
        with contextlib.suppress(IntakeError):
            assert SOURCE.parse(body, headers, {})
