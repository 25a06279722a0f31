"""From a delivery to an episode: what is stored, what is new, what is kept and ignored, and why."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db.models import F
from django.test import Client

from handrail.accounts.models import Project
from handrail.alerts import intake, processing
from handrail.alerts.hooks import AlertChange, AlertChangeKind, alert_changed
from handrail.alerts.models import Alert, Delivery, Source
from handrail.incidents.models import Incident
from handrail.shared.clock import database_now, now
from tests import factories
from tests.alerts.bodies import alert, group, resolved
from tests.hooks import heard_by

KEY = "the-key-of-the-source-1234567890"


@pytest.fixture
def source(project: Project) -> Source:
    return factories.source(project, KEY)


@pytest.fixture
def generic(project: Project) -> Source:
    return factories.source(project, "generic-key", kind="generic")


def send(client: Client, body: bytes, *, kind: str = "alertmanager", key: str = KEY, **headers: str) -> Any:
    response = client.post(f"/hooks/v1/{kind}/{key}", body, content_type="application/json", headers=headers)
    assert response.status_code == 202, response.content
    return response.json()


def changes(monkeypatch: pytest.MonkeyPatch) -> list[AlertChangeKind]:
    """The kinds of change that are told from now on."""
    told: list[AlertChangeKind] = []

    def remember(change: AlertChange) -> None:
        told.append(change.kind)

    monkeypatch.setattr(alert_changed, "_subscribers", alert_changed._subscribers | heard_by(remember))
    return told


def test_a_firing_opens_an_episode_and_an_incident_and_says_why(client: Client, source: Source) -> None:
    factories.service(source.project, "checkout")
    told = send(client, group())
    made = Alert.objects.get()
    assert (made.status, made.severity, made.title) == ("firing", "critical", "HighErrorRate")
    assert made.service is not None
    assert made.service.slug == "checkout"
    assert told["verdict"] == "processed"
    delivery = Delivery.objects.get(pk=told["delivery"])
    assert delivery.trust == "url-secret"
    assert bytes(delivery.body) == group()
    opened, routed, *others = [decision["text"] for decision in made.decisions]
    assert opened == "Opened an episode: firing since 2026-11-22 10:00:00 UTC"
    assert (
        routed == "Opened INC-1: nothing is open for service checkout, environment eu-1, alert HighErrorRate"
    )
    words = ". ".join(text.rstrip(".") for text in (opened, routed, *others))
    assert delivery.explanation == [f"HighErrorRate: {words}"]


def test_the_same_body_again_moves_last_seen_and_stores_nothing_new(client: Client, source: Source) -> None:
    first = send(client, group())
    again = send(client, group())
    assert again == {**first, "duplicate": True}
    assert Delivery.objects.get().seen_count == 2
    assert Alert.objects.get().seen_count == 2


def test_a_thousand_duplicates_are_one_episode_one_incident_and_a_handful_of_queries_each(
    client: Client, source: Source, django_assert_max_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(client, group())
    told = changes(monkeypatch)
    with django_assert_max_num_queries(6 * 999 + 1_998):
        for _ in range(999):
            send(client, group())
    assert told == []
    assert Alert.objects.get().seen_count == 1_000
    assert Delivery.objects.count() == Incident.objects.count() == 1


def test_the_same_bytes_say_something_new_after_a_resolve_without_times(
    client: Client, generic: Source
) -> None:
    fire = b'{"title": "Disk is full", "status": "firing"}'
    end = b'{"title": "Disk is full", "status": "resolved"}'
    for body in (fire, end, fire):
        send(client, body, kind="generic", key="generic-key")
    assert Alert.objects.filter(is_open=True).count() == 1
    assert Alert.objects.count() == 2
    assert Delivery.objects.count() == 3


def test_a_resolve_ends_the_episode_at_the_moment_that_the_source_tells(
    client: Client, source: Source
) -> None:
    send(client, group())
    send(client, group(resolved(ended="2026-11-22T10:10:00Z")))
    ended = Alert.objects.get()
    assert not ended.is_open
    assert ended.ended_at == datetime(2026, 11, 22, 10, 10, tzinfo=UTC)


def test_a_resolve_without_a_firing_creates_nothing_and_is_explained(client: Client, source: Source) -> None:
    told = send(client, group(resolved()))
    assert not Alert.objects.exists()
    assert not Incident.objects.exists()
    explained = Delivery.objects.get(pk=told["delivery"]).explanation
    assert explained == ["HighErrorRate: resolved, but no episode is open: nothing to end"]


def test_each_alert_of_a_group_has_its_own_status(client: Client, source: Source) -> None:
    send(client, group(alert("A"), alert("B")))
    send(client, group(alert("A"), resolved("B")))
    assert dict(Alert.objects.values_list("title", "is_open")) == {"A": True, "B": False}


def test_an_end_that_is_applied_after_a_later_copy_of_its_firing_ends_the_episode(
    client: Client, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(client, group())
    with monkeypatch.context() as slow:
        slow.setattr(intake, "process", lambda delivery, events: None)
        waiting = send(client, group(resolved()))
    send(client, group(alert(annotations={"summary": "a peer's copy"})))
    Delivery.objects.filter(pk=waiting["delivery"]).update(due_at=database_now())
    processing.process_by_id(waiting["delivery"])
    assert not Alert.objects.get().is_open


def test_a_late_copy_of_the_firing_does_not_reopen_an_ended_episode(client: Client, source: Source) -> None:
    send(client, group())
    send(client, group(resolved()))
    told = send(client, group(alert(annotations={"summary": "from the other peer"})))
    assert not Alert.objects.get().is_open
    explained = Delivery.objects.get(pk=told["delivery"]).explanation[0]
    assert "kept and ignored: the firing of an episode that has ended" in explained


def test_a_firing_with_a_later_start_is_a_new_episode(client: Client, source: Source) -> None:
    send(client, group())
    send(client, group(resolved()))
    send(client, group(alert(startsAt="2026-11-22T10:20:00Z")))
    assert Alert.objects.filter(is_open=True).count() == 1
    assert Alert.objects.count() == 2


def test_the_end_of_an_earlier_episode_does_not_end_the_present_one(client: Client, source: Source) -> None:
    send(client, group(alert(startsAt="2026-11-22T10:20:00Z")))
    told = send(client, group(resolved(ended="2026-11-22T10:10:00Z")))
    assert Alert.objects.get().is_open
    assert "the end of an earlier episode" in Delivery.objects.get(pk=told["delivery"]).explanation[0]


def test_a_change_of_severity_is_an_update_and_raises_the_incident(
    client: Client, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(client, group(alert(labels={"severity": "warning"})))
    assert Incident.objects.get().severity == "SEV4"
    told = changes(monkeypatch)
    send(client, group(alert(labels={"severity": "critical"})))
    assert told == [AlertChangeKind.UPDATED]
    assert Incident.objects.get().severity == "SEV2"
    kinds = list(Incident.objects.get().timeline.values_list("kind", flat=True))
    assert kinds == ["incident.opened", "alert.fired", "alert.changed", "incident.severity_changed"]


def test_what_ends_and_fires_again_in_one_body_fires_and_trying_again_changes_nothing(
    client: Client, generic: Source
) -> None:
    there = {"id": "disk", "title": "Disk is full", "status": "firing"}
    both = json.dumps({"events": [{**there, "status": "resolved"}, there]}).encode()
    send(client, json.dumps(there).encode(), kind="generic", key="generic-key")
    told = send(client, both, kind="generic", key="generic-key")
    assert send(client, both, kind="generic", key="generic-key")["duplicate"]
    first, second = Alert.objects.order_by("id")
    assert (first.is_open, second.is_open, second.status) == (False, True, "firing")
    # The process died after the last event, and before the verdict.
    Delivery.objects.filter(pk=told["delivery"]).update(
        verdict="received", due_at=now() - timedelta(seconds=1)
    )
    processing.process_by_id(told["delivery"])
    assert list(Alert.objects.order_by("id").values_list("is_open", flat=True)) == [False, True]
    assert "applied before" in Delivery.objects.get(pk=told["delivery"]).explanation[1]


def test_a_start_in_the_future_or_in_the_past_century_counts_as_the_receipt(
    client: Client, source: Source
) -> None:
    send(
        client,
        group(alert("A", startsAt="2099-01-01T00:00:00Z"), alert("B", startsAt="1970-01-01T00:00:00Z")),
    )
    for made in Alert.objects.all():
        assert made.started_at == made.first_seen_at


def test_the_providers_id_makes_a_retry_a_duplicate(client: Client, generic: Source) -> None:
    body = b'{"title": "Disk is full"}'
    first = send(client, body, kind="generic", key="generic-key", **{"Webhook-Id": "msg-1"})
    again = send(client, body, kind="generic", key="generic-key", **{"Webhook-Id": "msg-1"})
    assert again["duplicate"]
    assert again["delivery"] == first["delivery"]


def test_a_sender_that_uses_one_id_for_everything_loses_nothing(client: Client, generic: Source) -> None:
    for title in ("A", "B"):
        body = json.dumps({"title": title}).encode()
        send(client, body, kind="generic", key="generic-key", **{"Webhook-Id": "always-the-same"})
    assert Alert.objects.count() == 2


def test_credentials_are_not_stored_with_the_headers(client: Client, source: Source) -> None:
    send(client, group(), Authorization="Bearer hush", Cookie="sessionid=hush")
    assert "hush" not in json.dumps(Delivery.objects.get().headers)


class Broken(RuntimeError):
    """What a faulty subscriber raises."""


def test_a_fault_of_ours_loses_no_delivery_and_is_tried_again(
    client: Client, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(change: AlertChange) -> None:
        if change.alert.title == "A":
            raise Broken("the router is broken")

    subscribers = alert_changed._subscribers
    monkeypatch.setattr(alert_changed, "_subscribers", heard_by(fail) | subscribers)
    told = send(client, group(alert("A"), alert("B")))
    assert told["verdict"] == "received"
    assert [made.title for made in Alert.objects.all()] == ["B"]
    delivery = Delivery.objects.get()
    assert "the router is broken" in delivery.error
    assert delivery.due_at is not None
    assert delivery.due_at > now()

    monkeypatch.setattr(alert_changed, "_subscribers", subscribers)
    Delivery.objects.update(due_at=now() - timedelta(seconds=1))
    assert processing.process_due() == 1
    delivery.refresh_from_db()
    assert (delivery.verdict, delivery.error) == ("processed", "")
    assert sorted(Alert.objects.values_list("title", "seen_count")) == [("A", 1), ("B", 1)]


def test_a_delivery_that_fails_for_ever_becomes_a_dead_letter(
    client: Client, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(change: AlertChange) -> None:
        raise Broken("broken for good")

    monkeypatch.setattr(alert_changed, "_subscribers", heard_by(fail))
    send(client, group())
    for _ in range(processing.MAX_ATTEMPTS):
        Delivery.objects.filter(verdict="received").update(due_at=now() - timedelta(seconds=1))
        processing.process_due()
    delivery = Delivery.objects.get()
    assert delivery.verdict == "dead"
    assert delivery.error.startswith("Given up after 10 attempts: HighErrorRate: Broken: broken for good")
    assert processing.process_due() == 0


def test_a_delivery_whose_every_attempt_loses_its_process_becomes_a_dead_letter(
    client: Client, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise SystemExit

    told = send(client, group(*(alert(f"Alert{n}") for n in range(60))))
    monkeypatch.setattr(processing, "read_events", die)
    for _ in range(processing.MAX_ATTEMPTS):
        Delivery.objects.update(due_at=now() - timedelta(seconds=1))
        with pytest.raises(SystemExit):
            processing.process_due()
    Delivery.objects.update(due_at=now() - timedelta(seconds=1))
    assert processing.process_due() == 1
    delivery = Delivery.objects.get(pk=told["delivery"])
    assert (delivery.verdict, delivery.due_at) == ("dead", None)
    assert delivery.error.startswith("Given up after 10 attempts: no attempt came to its end")


def test_a_large_group_is_left_to_a_worker_and_found_by_the_sweeper(client: Client, source: Source) -> None:
    told = send(client, group(*(alert(f"Alert{n}") for n in range(60))))
    assert told["verdict"] == "received"
    assert not Alert.objects.exists()
    assert processing.process_due() == 1
    assert Alert.objects.count() == 60
    assert processing.process_due() == 0


def test_who_goes_on_with_a_large_group_keeps_it(
    client: Client, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []

    def look(change: AlertChange) -> None:
        # Half a minute passes with each alert, for whoever works on them and for whoever looks what is due.
        Delivery.objects.update(due_at=F("due_at") - timedelta(seconds=30))
        looks.append(Delivery.objects.filter(due_at__lte=database_now()).count())

    monkeypatch.setattr(alert_changed, "_subscribers", heard_by(look))
    monkeypatch.setattr(processing, "steady", lambda: 30.0 * len(looks))
    send(client, group(*(alert(f"Alert{n}") for n in range(60))))
    assert processing.process_due() == 1
    assert looks == [0] * 60


def test_an_end_that_overtakes_its_firing_waits_for_it(client: Client, source: Source) -> None:
    names = [f"Alert{n}" for n in range(60)]
    send(client, group(*map(alert, names)))
    told = send(client, group(resolved("Alert7")))
    assert told["verdict"] == "received"
    ending = Delivery.objects.get(pk=told["delivery"])
    assert "it waits for them" in ending.error
    assert processing.process_due() == 1
    Delivery.objects.filter(verdict="received").update(due_at=now() - timedelta(seconds=1))
    assert processing.process_due() == 1
    ending.refresh_from_db()
    assert (ending.verdict, ending.error) == ("processed", "")
    assert list(Alert.objects.filter(is_open=False).values_list("title", flat=True)) == ["Alert7"]


def test_an_end_does_not_wait_for_ever(client: Client, source: Source) -> None:
    send(client, group(*(alert(f"Alert{n}") for n in range(60))))
    told = send(client, group(resolved("Alert7")))
    long_ago = database_now() - timedelta(minutes=11)
    Delivery.objects.filter(pk=told["delivery"]).update(received_at=long_ago, due_at=long_ago)
    Delivery.objects.exclude(pk=told["delivery"]).update(
        received_at=long_ago - timedelta(minutes=1), due_at=now() + timedelta(hours=1)
    )
    assert processing.process_due() == 1
    assert Delivery.objects.get(pk=told["delivery"]).verdict == "processed"


def test_no_data_is_shown_but_opens_no_incident(client: Client, generic: Source) -> None:
    send(client, b'{"title": "CPU", "status": "no_data"}', kind="generic", key="generic-key")
    assert Alert.objects.get().status == "no_data"
    assert not Incident.objects.exists()
    send(client, b'{"title": "CPU", "status": "firing"}', kind="generic", key="generic-key")
    assert Incident.objects.count() == 1
