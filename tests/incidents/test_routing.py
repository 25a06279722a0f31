"""Where alerts go: into which incident, and why; when incidents resolve by themselves, and when not."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.conf import LazySettings

from handrail.accounts.models import Project
from handrail.alerts import episodes
from handrail.alerts.events import AlertEvent, AlertStatus, Severity
from handrail.alerts.models import Alert, Source
from handrail.incidents import actions, hooks, resolving, transitions
from handrail.incidents.hooks import ChangeKind, IncidentChange, incident_changed
from handrail.incidents.models import Incident, TimelineEvent
from handrail.shared.actors import Actor
from handrail.shared.clock import database_now, now
from tests import factories
from tests.hooks import heard_by

ACTOR = Actor.system("source test")
_names = itertools.count()


@pytest.fixture
def source(project: Project) -> Source:
    return factories.source(project, kind="generic", name="test")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[IncidentChange]:
    """What is told of incidents."""
    changes: list[IncidentChange] = []
    monkeypatch.setattr(incident_changed, "_subscribers", heard_by(changes.append))
    return changes


def send(
    source: Source,
    name: str = "HighErrorRate",
    status: AlertStatus = AlertStatus.FIRING,
    *,
    severity: Severity = Severity.CRITICAL,
    labels: dict[str, str] | None = None,
) -> str:
    """One event through its own delivery; returns what was made of it."""
    event = AlertEvent(
        status=status,
        title=name,
        fingerprint=name + str(sorted((labels or {}).items())),
        severity=severity,
        labels={"alertname": name, "service": "checkout", **(labels or {})},
    )
    delivery = factories.delivery(source, str(next(_names)).encode())
    return episodes.apply(event, delivery, actor=ACTOR)


def last_decision(name: str) -> str:
    """What routing decided last about the newest episode of that name."""
    decided = Alert.objects.filter(title=name).order_by("-id")[0].decisions
    return str([entry["text"] for entry in decided if entry["by"] == "routing"][-1])


def long_ago(incident: Incident, **fields: timedelta) -> None:
    Incident.objects.filter(pk=incident.pk).update(**{name: now() - age for name, age in fields.items()})


def test_alerts_with_one_key_share_an_incident_and_each_says_why(
    source: Source, told: list[IncidentChange]
) -> None:
    send(source)
    send(source, labels={"pod": "checkout-2"})
    incident = Incident.objects.get()
    assert incident.incident_alerts.count() == 2
    assert (
        last_decision("HighErrorRate")
        == f"Joined {incident}: it is open for service checkout, alert HighErrorRate"
    )
    assert [change.kind for change in told] == [ChangeKind.OPENED, ChangeKind.JOINED]
    assert all(change.source == source and change.alert is not None for change in told)


def test_the_key_ignores_severity_and_keeps_services_apart(source: Source) -> None:
    send(source, severity=Severity.WARNING)
    send(source, severity=Severity.CRITICAL, labels={"severity": "critical"})
    send(source, labels={"service": "search"})
    assert sorted(Incident.objects.values_list("key", "severity")) == [
        ("service=checkout|environment=|alert=HighErrorRate", "SEV2"),
        ("service=search|environment=|alert=HighErrorRate", "SEV2"),
    ]


def test_a_source_may_have_a_key_of_its_own(source: Source) -> None:
    source.settings = {"incident_key": "alert.labels.cluster"}
    source.save()
    send(source, "A", labels={"cluster": "blue"})
    send(source, "B", labels={"cluster": "blue"})
    assert Incident.objects.get().key == "key=blue"
    send(source, "C")
    assert "the source's own key failed" in last_decision("C")
    assert Incident.objects.count() == 2


def test_a_tier_one_service_makes_it_worse_and_a_persons_judgement_stands(
    source: Source, responder: Actor
) -> None:
    service = factories.service(source.project)
    service.tier = 1
    service.save()
    send(source, severity=Severity.ERROR)
    incident = Incident.objects.get()
    assert (incident.severity, incident.service) == ("SEV2", service)
    assert incident.title == "HighErrorRate on checkout"
    actions.set_severity(incident, "SEV3", actor=responder)
    send(source, severity=Severity.CRITICAL, labels={"pod": "2"})
    incident.refresh_from_db()
    assert incident.severity == "SEV3"


def test_an_open_alert_that_gets_worse_raises_its_incident_and_those_above_are_told(
    source: Source, told: list[IncidentChange]
) -> None:
    send(source, severity=Severity.WARNING)
    send(source, severity=Severity.CRITICAL)
    send(source, severity=Severity.WARNING)
    assert Incident.objects.get().severity == "SEV2"
    assert [change.kind for change in told] == [ChangeKind.OPENED, ChangeKind.SEVERITY_CHANGED]


def test_an_alert_soon_after_the_resolution_reopens_and_counts_a_flap(
    source: Source, responder: Actor, told: list[IncidentChange]
) -> None:
    send(source)
    incident = actions.resolve(Incident.objects.get(), actor=responder)
    send(source, status=AlertStatus.RESOLVED)
    send(source)
    incident.refresh_from_db()
    assert (incident.status, incident.flaps, incident.resolved_at) == ("investigating", 1, None)
    assert last_decision("HighErrorRate").startswith(
        f"Reopened {incident}: it was resolved less than 30 minutes ago"
    )
    assert [(change.kind, change.reopens, change.alert is not None) for change in told[-2:]] == [
        (ChangeKind.REOPENED, False, True),
        (ChangeKind.JOINED, True, True),
    ]


def test_an_alert_long_after_it_opens_a_related_incident(source: Source, responder: Actor) -> None:
    send(source)
    old = actions.resolve(Incident.objects.get(), actor=responder)
    long_ago(old, resolved_at=timedelta(minutes=31))
    send(source, labels={"pod": "2"})
    new = Incident.objects.get(is_open=True)
    assert new.related_to == old
    assert f"{old}, the last one for" in last_decision("HighErrorRate")


@pytest.mark.parametrize("end", ["close", "cancel"])
def test_what_a_person_has_put_to_rest_is_not_reopened_by_an_alert(
    source: Source, responder: Actor, end: str
) -> None:
    send(source)
    old = Incident.objects.get()
    if end == "close":
        actions.resolve(old, actor=responder)
        actions.close(old, actor=responder)
    else:
        actions.cancel(old, actor=responder, reason="a drill")
    send(source, labels={"pod": "2"})
    assert Incident.objects.get(is_open=True).related_to == old


def test_an_alert_of_a_merged_incident_follows_it(source: Source, responder: Actor) -> None:
    send(source, "A")
    send(source, "B")
    first, second = Incident.objects.order_by("number")
    actions.merge(first, into=second, actor=responder)
    send(source, "A", labels={"pod": "2"})
    assert last_decision("A").endswith(f"{first}, for service checkout, alert A, was merged into it")
    assert second.incident_alerts.count() == 3
    actions.resolve(second, actor=responder)
    send(source, "A", labels={"pod": "3"})
    assert f"was merged into {second}, which is resolved" in last_decision("A")


def test_merging_stops_no_clock_unless_an_alert_still_fires(source: Source, responder: Actor) -> None:
    for name in ("A", "B", "C"):
        send(source, name)
    first, second, third = Incident.objects.order_by("number")
    send(source, "A", AlertStatus.RESOLVED)
    send(source, "B", AlertStatus.RESOLVED)
    second.refresh_from_db()
    actions.merge(first, into=second, actor=responder)
    due = second.resolve_due_at
    second.refresh_from_db()
    assert due is not None
    assert abs(second.resolve_due_at - due) < timedelta(seconds=5)
    actions.merge(second, into=third, actor=responder)
    third.refresh_from_db()
    assert third.resolve_due_at is None
    send(source, "C", AlertStatus.RESOLVED)
    quiet(third)
    resolving.resolve_due()
    third.refresh_from_db()
    assert third.status == "resolved"


@pytest.fixture
def merging(responder: Actor, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """The first incident is merged into the second while whoever is about to lock it waits."""
    lock = transitions.lock

    def merge_before(incident: Incident) -> Incident:
        monkeypatch.setattr(transitions, "lock", lock)
        first, second = Incident.objects.order_by("number")
        actions.merge(first, into=second, actor=responder)
        return lock(incident)

    return lambda: monkeypatch.setattr(transitions, "lock", merge_before)


def test_an_alert_that_ends_while_its_incident_is_merged_starts_the_clock_of_the_other(
    source: Source, merging: Callable[[], None]
) -> None:
    send(source, "A")
    second = factories.incident(source.project)
    merging()
    send(source, "A", AlertStatus.RESOLVED)
    second.refresh_from_db()
    assert second.resolve_due_at is not None
    assert last_decision("A") == f"{second} resolves in 5 min unless an alert fires again"


def test_an_alert_that_gets_worse_while_its_incident_is_merged_raises_the_other(
    source: Source, merging: Callable[[], None]
) -> None:
    send(source, "A", severity=Severity.WARNING)
    factories.incident(source.project, severity="SEV4")
    merging()
    send(source, "A", severity=Severity.CRITICAL)
    assert list(Incident.objects.order_by("number").values_list("severity", flat=True)) == ["SEV4", "SEV2"]


def test_over_the_budget_alerts_gather_under_one_storm_incident(
    source: Source, settings: LazySettings, told: list[IncidentChange]
) -> None:
    settings.INCIDENT_BUDGET = 3
    for n in range(10):
        send(source, f"Alert{n}")
    storm = Incident.objects.get(key="storm")
    assert Incident.objects.count() == 4
    assert storm.incident_alerts.count() == 7
    assert storm.title == "Alert storm: more than 3 new incidents in 10 minutes"
    assert last_decision("Alert9") == f"Gathered under {storm}: 3 new incidents in 10 minutes are used up"
    assert [change.storm for change in told] == [False] * 3 + [True] * 7
    Incident.objects.exclude(key="storm").update(created_at=now() - timedelta(minutes=11))
    Incident.objects.filter(key="storm").update(created_at=now() - timedelta(minutes=11))
    send(source, "Later")
    assert Incident.objects.filter(key__contains="Later").exists()


def quiet(incident: Incident) -> None:
    """Let the quiet time pass."""
    Incident.objects.filter(pk=incident.pk, resolve_due_at__isnull=False).update(
        resolve_due_at=database_now()
    )


def test_it_resolves_when_all_its_alerts_have_been_quiet_for_long_enough(source: Source) -> None:
    send(source, "A")
    send(source, "A", labels={"pod": "2"})
    send(source, "A", AlertStatus.RESOLVED)
    incident = Incident.objects.get()
    assert incident.resolve_due_at is None
    send(source, "A", AlertStatus.RESOLVED, labels={"pod": "2"})
    incident.refresh_from_db()
    assert incident.resolve_due_at is not None
    assert timedelta(minutes=4) < incident.resolve_due_at - now() <= timedelta(minutes=5)
    assert resolving.resolve_due() == 0
    quiet(incident)
    assert resolving.resolve_due() == 1
    incident.refresh_from_db()
    assert incident.status == "resolved"
    assert incident.status_reason == "all its alerts have been resolved for 5 min"
    assert resolving.resolve_due() == 0


def test_a_new_alert_stops_the_clock(source: Source) -> None:
    send(source)
    send(source, status=AlertStatus.RESOLVED)
    send(source, labels={"pod": "2"})
    incident = Incident.objects.get()
    assert incident.resolve_due_at is None
    quiet(incident)
    assert resolving.resolve_due() == 0


def test_a_running_runbook_blocks_it_and_is_named_once(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[str | None] = [
        "the run 7f3a is waiting for an approval",
        "the run 7f3a is waiting for an approval",
        None,
    ]

    def ask(incident: Incident) -> str | None:
        return answers.pop(0)

    monkeypatch.setattr(hooks, "asks_blockers", [ask])
    send(source)
    send(source, status=AlertStatus.RESOLVED)
    incident = Incident.objects.get()
    for _ in range(2):
        quiet(incident)
        assert resolving.resolve_due() == 1
        incident.refresh_from_db()
        assert incident.is_open
        assert incident.resolve_due_at is not None
        assert incident.resolve_due_at > now()
    blocked = TimelineEvent.objects.filter(incident=incident, kind="incident.resolve_blocked")
    assert [event.text for event in blocked] == [
        f"{incident} is not resolved yet: the run 7f3a is waiting for an approval"
    ]
    quiet(incident)
    resolving.resolve_due()
    incident.refresh_from_db()
    assert incident.status == "resolved"


def test_a_person_may_hold_it_open_and_let_go_again(source: Source, responder: Actor) -> None:
    send(source)
    incident = actions.set_auto_resolve(Incident.objects.get(), "never", actor=responder)
    send(source, status=AlertStatus.RESOLVED)
    assert last_decision("HighErrorRate") == f"{incident} stays open: a person holds it open"
    quiet(incident)
    resolving.resolve_due()
    incident.refresh_from_db()
    assert incident.is_open
    actions.set_auto_resolve(incident, "all", actor=responder)
    quiet(incident)
    resolving.resolve_due()
    incident.refresh_from_db()
    assert incident.status == "resolved"


def test_letting_go_of_an_incident_does_not_cut_the_quiet_time_short(
    source: Source, responder: Actor
) -> None:
    send(source)
    incident = actions.set_auto_resolve(Incident.objects.get(), "never", actor=responder)
    send(source, status=AlertStatus.RESOLVED)
    incident = actions.set_auto_resolve(incident, "all", actor=responder)
    assert incident.resolve_due_at is not None
    assert timedelta(minutes=4) < incident.resolve_due_at - now() <= timedelta(minutes=5)
    Alert.objects.update(last_seen_at=now() - timedelta(hours=1))
    actions.set_auto_resolve(incident, "never", actor=responder)
    actions.set_auto_resolve(incident, "all", actor=responder)
    assert resolving.resolve_due() == 1, "its alerts have been quiet for long enough"


def test_merging_into_an_incident_that_is_quiet_does_not_keep_it_open_for_ever(
    source: Source, responder: Actor
) -> None:
    for name in ("A", "B", "C"):
        send(source, name)
        send(source, name, AlertStatus.RESOLVED)
    first, second, third = Incident.objects.order_by("number")
    actions.merge(first, into=second, actor=responder)
    second.refresh_from_db()
    assert second.resolve_due_at is not None
    quiet(second)
    assert resolving.resolve_due() == 1
    send(source, "D")
    fourth = Incident.objects.get(title="D")
    actions.merge(fourth, into=third, actor=responder)
    third.refresh_from_db()
    assert third.resolve_due_at is None, "an alert that came along still fires"


def test_a_run_of_a_merged_incident_blocks_the_one_that_it_was_merged_into(
    source: Source, responder: Actor
) -> None:
    for name in ("A", "B"):
        send(source, name)
        send(source, name, AlertStatus.RESOLVED)
    first, second = Incident.objects.order_by("number")
    run = factories.run(factories.runbook(source.project, "shift"), incident=first)
    actions.merge(first, into=second, actor=responder)
    quiet(second)
    resolving.resolve_due()
    second.refresh_from_db()
    assert second.is_open
    assert TimelineEvent.objects.filter(incident=second, text__contains="Shift still runs").exists()
    run.is_open = False
    run.save(update_fields=["is_open"])
    quiet(second)
    resolving.resolve_due()
    second.refresh_from_db()
    assert second.status == "resolved"


def test_an_alert_that_ends_while_its_incident_is_merged_is_told_to_the_other(
    source: Source, responder: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(source, "A")
    send(source, "B")
    send(source, "B", AlertStatus.RESOLVED)
    first, second = Incident.objects.order_by("number")
    lock = transitions.lock

    def merged_meanwhile(incident: Incident) -> Incident:
        monkeypatch.setattr(transitions, "lock", lock)
        actions.merge(first, into=second, actor=responder)
        return lock(incident)

    monkeypatch.setattr(transitions, "lock", merged_meanwhile)
    send(source, "A", AlertStatus.RESOLVED)
    told = TimelineEvent.objects.filter(incident=second, kind="alert.resolved").order_by("n")
    assert [event.data["title"] for event in told] == ["B", "A"]


def test_no_alerts_resolve_an_incident_that_has_none(project: Project, responder: Actor) -> None:
    made = actions.open_incident(project, title="Customers call", actor=responder)
    actions.set_auto_resolve(made, "never", actor=responder)
    actions.set_auto_resolve(made, "all", actor=responder)
    assert resolving.resolve_due() == 0
    made.refresh_from_db()
    assert made.is_open


def test_one_incident_that_cannot_be_resolved_does_not_hold_up_the_others(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(RuntimeError):
        """What a faulty subscriber raises."""

    def fail(change: IncidentChange) -> None:
        if change.kind is ChangeKind.RESOLVED and "A" in change.incident.title:
            raise Broken

    for name in ("A", "B"):
        send(source, name)
        send(source, name, AlertStatus.RESOLVED)
    Incident.objects.filter(title="A").update(resolve_due_at=now() - timedelta(seconds=9))
    Incident.objects.filter(title="B").update(resolve_due_at=now() - timedelta(seconds=1))
    monkeypatch.setattr(incident_changed, "_subscribers", heard_by(fail))
    with pytest.raises(Broken):
        resolving.resolve_due()
    resolving.resolve_due()
    assert dict(Incident.objects.values_list("title", "status")) == {"A": "triage", "B": "resolved"}


def test_the_earliest_alert_starts_the_incident_unless_a_person_has_corrected_it(
    source: Source, responder: Actor
) -> None:
    def fire(pod: str, started: datetime) -> None:
        event = AlertEvent(
            status=AlertStatus.FIRING,
            title="A",
            fingerprint=pod,
            labels={"alertname": "A"},
            started_at=started,
        )
        episodes.apply(event, factories.delivery(source, pod.encode()), actor=ACTOR)

    begun = now() - timedelta(minutes=10)
    fire("1", begun)
    fire("2", begun - timedelta(minutes=5))
    incident = Incident.objects.get()
    assert incident.started_at == begun - timedelta(minutes=5)
    corrected = begun - timedelta(minutes=3)
    actions.correct_times(incident, {"started_at": corrected}, actor=responder, reason="the graphs")
    fire("3", begun - timedelta(minutes=9))
    incident.refresh_from_db()
    assert incident.started_at == corrected
