"""Two peers, sixteen threads, one truth: the same alert at the same moment gives one episode and one incident."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client

from handrail.accounts.models import Project
from handrail.alerts.models import Alert, Delivery
from handrail.incidents import actions, timeline
from handrail.incidents.models import Incident, TimelineEvent
from handrail.shared.actors import Actor
from handrail.shared.errors import Conflict
from tests import factories
from tests.alerts.bodies import alert, group

THREADS = 8
pytestmark = pytest.mark.django_db(transaction=True)


def together(*works: Callable[[], None]) -> list[BaseException]:
    """Do the works at the same moment, each in its own thread and connection; return what they raised."""
    barrier = threading.Barrier(len(works))
    failures: list[BaseException] = []

    def run(work: Callable[[], None]) -> None:
        try:
            barrier.wait(timeout=20)
            work()
        except Conflict as refusal:
            failures.append(refusal)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)
    return failures


def poster(body: bytes, answers: list[int]) -> Callable[[], None]:
    def post() -> None:
        response = Client().post("/hooks/v1/alertmanager/peers", body, content_type="application/json")
        answers.append(response.status_code)

    return post


def test_the_same_body_from_many_peers_at_once_is_one_episode_and_one_incident(project: Project) -> None:
    factories.source(project, "peers")
    answers: list[int] = []
    together(*(poster(group(), answers) for _ in range(THREADS)))
    assert answers == [202] * THREADS
    assert Alert.objects.count() == Incident.objects.count() == 1
    assert not Delivery.objects.exclude(verdict="processed").exists()
    assert Incident.objects.get().incident_alerts.count() == 1
    places = list(TimelineEvent.objects.order_by("n").values_list("n", flat=True))
    assert places == list(range(1, len(places) + 1))


def test_groups_that_differ_in_all_but_the_alert_are_one_episode_too(project: Project) -> None:
    factories.source(project, "peers")
    answers: list[int] = []
    bodies = [group(alert(annotations={"summary": f"from peer {n}"})) for n in range(THREADS)]
    together(*(poster(body, answers) for body in bodies))
    assert answers == [202] * THREADS
    assert Alert.objects.get().seen_count == THREADS
    assert Incident.objects.count() == 1


def test_different_alerts_of_one_key_open_one_incident_with_all_of_them(project: Project) -> None:
    factories.source(project, "peers")
    answers: list[int] = []
    bodies = [group(alert(fingerprint=f"pod-{n}", labels={"pod": str(n)})) for n in range(THREADS)]
    together(*(poster(body, answers) for body in bodies))
    assert Alert.objects.count() == THREADS
    assert Incident.objects.get().incident_alerts.count() == THREADS


def test_incidents_opened_at_once_have_each_their_own_number(project: Project) -> None:
    factories.source(project, "peers")
    answers: list[int] = []
    together(*(poster(group(alert(f"Alert{n}")), answers) for n in range(THREADS)))
    assert sorted(Incident.objects.values_list("number", flat=True)) == list(range(1, THREADS + 1))


def test_an_event_that_many_tell_at_once_is_written_once(project: Project) -> None:
    incident, robot = factories.incident(project), Actor.system("engine")
    for n in range(10):
        told: list[object] = []

        def tell(key: str = f"run:{n}", told: list[object] = told) -> None:
            row = Incident.objects.get(pk=incident.pk)
            told.append(timeline.add(row, "run.started", "Run started", actor=robot, dedupe_key=key).pk)

        together(*[tell] * THREADS)
        assert len(told) == THREADS
        assert len(set(told)) == 1
    places = list(TimelineEvent.objects.filter(incident=incident).order_by("n").values_list("n", flat=True))
    assert places == list(range(1, len(places) + 1))
    assert TimelineEvent.objects.filter(kind="run.started").count() == 10


def test_of_many_who_acknowledge_at_once_one_does_and_the_others_hear_who(project: Project) -> None:
    incident = factories.incident(project)
    people = [factories.actor(factories.person(f"p{n}", {project: "responder"})) for n in range(THREADS)]

    def acknowledge(actor: Actor) -> Callable[[], None]:
        def do() -> None:
            actions.acknowledge(incident, actor=actor)

        return do

    failures = together(*(acknowledge(person) for person in people))
    assert len(failures) == THREADS - 1
    winner = TimelineEvent.objects.get(kind="incident.acknowledged").actor_name
    assert all(winner in str(failure) for failure in failures)


def test_a_resolve_and_a_firing_at_once_leave_a_state_that_both_explain(project: Project) -> None:
    factories.source(project, "peers")
    answers: list[int] = []
    poster(group(), answers)()
    resolved = group(alert(status="resolved", endsAt="2026-11-22T10:10:00Z"))
    together(poster(resolved, answers), poster(group(alert(annotations={"a": "b"})), answers))
    assert set(answers) == {202}
    made = Alert.objects.get()
    assert not made.is_open, json.dumps(made.decisions)
