"""Schedules: a tick starts one run at most, acts as its publisher, and says in words what became of it."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client

from handrail.accounts.models import Project, User
from handrail.shared.actors import Actor
from handrail.shared.clock import database_now
from runbooks import schedules, versions
from runbooks.models import Run, Runbook, Schedule, ScheduleTick
from tests import factories
from tests.runbooks.execution.stage import document

pytestmark = pytest.mark.django_db

STEPS = "- {id: pause, kind: wait, for: 1h}"


@pytest.fixture
def publisher(project: Project) -> Actor:
    person = factories.person("paula", {project: "admin"})
    factories.give_role(project, person, "responder")
    return factories.actor(person)


def publish(
    project: Project, by: Actor, trigger: str = "cron: '0 3 * * *'", slug: str = "nightly"
) -> Runbook:
    """A live runbook with one schedule."""
    rest = f"triggers:\n  - {{id: night, on: schedule, {trigger}}}"
    made = versions.create(project, document(STEPS, slug, rest), actor=by)
    versions.publish(made, actor=by, message="")
    made.refresh_from_db()
    return made


def republish(runbook: Runbook, by: Actor, rest: str) -> None:
    runbook.refresh_from_db()
    source = document(STEPS, runbook.slug, rest)
    versions.save_draft(runbook, source, actor=by, expected_revision=versions.revision_of(runbook))
    versions.publish(runbook, actor=by, message="")


def comes_due(ago: timedelta = timedelta(minutes=1)) -> None:
    Schedule.objects.update(next_at=(database_now() - ago).replace(second=0, microsecond=0))


def decisions() -> list[str]:
    return list(ScheduleTick.objects.order_by("due_at").values_list("decision", flat=True))


def test_publishing_schedules_and_a_tick_starts_a_run_as_the_publisher(
    project: Project, publisher: Actor
) -> None:
    runbook = publish(project, publisher, "cron: '0 3 * * *', timezone: Europe/Berlin")
    row = Schedule.objects.get()
    assert row.next_at is not None
    assert database_now() < row.next_at < database_now() + timedelta(days=1, hours=1)
    assert schedules.fire_due() == 0

    comes_due()
    due_at = Schedule.objects.get().next_at
    assert schedules.fire_due() == 1
    run = Run.objects.get()
    assert (run.runbook, run.trigger, run.starter_id) == (runbook, "night", publisher.user_id)
    assert run.starter_channel == "automation"
    tick = ScheduleTick.objects.get()
    assert (tick.run, tick.due_at, tick.decision) == (run, due_at, "Started.")
    row.refresh_from_db()
    assert row.next_at > database_now()
    assert schedules.fire_due() == 0


def test_going_back_or_publishing_without_it_ends_a_schedule(project: Project, publisher: Actor) -> None:
    runbook = publish(project, publisher)
    republish(runbook, publisher, "timeout: 2h")
    assert not Schedule.objects.exists()
    versions.roll_back(runbook, number=1, actor=publisher, reason="It was fine.")
    assert Schedule.objects.get().cron == "0 3 * * *"


def test_a_schedule_that_does_not_change_keeps_its_tick(project: Project, publisher: Actor) -> None:
    runbook = publish(project, publisher)
    comes_due()
    before = Schedule.objects.get().next_at
    republish(runbook, publisher, "timeout: 2h\ntriggers: [{id: night, on: schedule, cron: '0 3 * * *'}]")
    assert Schedule.objects.get().next_at == before
    republish(runbook, publisher, "triggers: [{id: night, on: schedule, cron: '0 4 * * *'}]")
    assert Schedule.objects.get().next_at > database_now()


def test_after_an_outage_one_run_stands_for_what_was_missed(project: Project, publisher: Actor) -> None:
    publish(project, publisher, "cron: '*/5 * * * *', catch_up: 1h")
    comes_due(timedelta(minutes=24))
    assert schedules.fire_due() == 1
    assert Run.objects.count() == 1
    tick = ScheduleTick.objects.get()
    assert tick.missed >= 4
    assert tick.decision == f"Started. {tick.missed} earlier ticks were missed."


def test_a_tick_that_is_noticed_too_late_starts_nothing(project: Project, publisher: Actor) -> None:
    publish(project, publisher, "cron: '0 3 1 1 *', catch_up: 5m")
    comes_due(timedelta(minutes=30))
    assert schedules.fire_due() == 1
    assert not Run.objects.exists()
    assert decisions() == ["Missed: it was noticed 30 min late (catch_up allows 300 s)."]


def test_who_may_no_longer_start_runs_cannot_through_a_schedule(project: Project, publisher: Actor) -> None:
    publish(project, publisher)
    User.objects.filter(pk=publisher.user_id).update(is_active=False)
    comes_due()
    assert schedules.fire_due() == 1
    assert not Run.objects.exists()
    assert decisions()[0].startswith("Could not start: ")
    comes_due(timedelta(minutes=2))
    assert schedules.fire_due() == 1, "and the next tick comes all the same"


def test_a_run_with_the_same_key_that_goes_on_is_enough(project: Project, publisher: Actor) -> None:
    publish(project, publisher, "cron: '0 3 * * *', dedupe: {key: all}")
    comes_due(timedelta(minutes=2))
    schedules.fire_due()
    comes_due(timedelta(minutes=1))
    schedules.fire_due()
    assert Run.objects.count() == 1
    assert decisions()[1].startswith("Not started: run ")


@pytest.mark.parametrize(
    ("trigger", "words"),
    [
        ("cron: '0 3 * * *', mode: shadow", "Would have started (mode shadow)."),
        ("cron: '0 3 * * *', when: 'false'", "Not started: its condition is false: false"),
    ],
)
def test_what_does_not_start_says_why(project: Project, publisher: Actor, trigger: str, words: str) -> None:
    publish(project, publisher, trigger)
    comes_due()
    schedules.fire_due()
    assert (decisions(), Run.objects.count()) == ([words], 0)


def test_a_tick_is_decided_once_and_old_ones_are_forgotten(
    project: Project, publisher: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(project, publisher, "cron: '0 3 * * *', mode: shadow")
    monkeypatch.setattr(schedules, "TICKS_KEPT", 2)
    for minutes in (5, 4, 3, 2):
        comes_due(timedelta(minutes=minutes))
        schedules.fire_due()
    assert ScheduleTick.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_of_many_sweepers_one_starts_the_run() -> None:
    project = factories.project("shop")
    person = factories.person("paula", {project: "admin"})
    factories.give_role(project, person, "responder")
    publish(project, factories.actor(person))
    comes_due()
    barrier, fired = threading.Barrier(6), []

    def sweep() -> None:
        try:
            barrier.wait()
            fired.append(schedules.fire_due())
        finally:
            connection.close()

    threads = [threading.Thread(target=sweep) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (sum(fired), Run.objects.count(), ScheduleTick.objects.count()) == (1, 1, 1)


def test_the_page_tells_when_it_comes_next_and_what_became_of_the_last(
    project: Project, publisher: Actor, client: Client
) -> None:
    publish(project, publisher, "cron: '0 3 * * *', timezone: Europe/Berlin")
    comes_due()
    schedules.fire_due()
    client.force_login(User.objects.get(pk=publisher.user_id))
    page = client.get("/runbooks/shop/nightly/").content.decode()
    assert "0 3 * * *" in page
    assert "Europe/Berlin" in page
    assert f'<a href="/runs/{Run.objects.get().pk}/">Started.</a>' in page
