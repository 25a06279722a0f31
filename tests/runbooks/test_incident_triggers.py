"""What an incident starts by itself: once when it is opened and once each time it is reopened, by whomever."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from handrail.accounts.models import Project
from handrail.alerts.events import AlertStatus, Severity
from handrail.audit.models import AuditEntry
from handrail.incidents import actions
from handrail.incidents.keys import STORM_KEY
from handrail.incidents.models import Incident, TimelineEvent
from handrail.shared.actors import Actor
from handrail.shared.errors import Conflict
from handrail.shared.ids import short
from runbooks import runs, versions
from runbooks.models import Run, Runbook, StepRun
from tests import factories
from tests.incidents.test_routing import send
from tests.runbooks.execution.stage import HEARTS, Stage, document

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _hearts_stop() -> Iterator[None]:
    yield
    while HEARTS:
        HEARTS.pop().stop()


SEV1 = "when: 'incident.severity == \"SEV1\"'"
TITLE = "inputs: {what: {type: string, required: true}}"


def publish(admin: Actor, project: Project, trigger: str = "on: incident", rest: str = "") -> Runbook:
    """A live runbook with one trigger, whose runs stay open."""
    steps = "- {id: look, when: has(alert.title), uses: noop}\n- {id: pause, kind: wait, for: 1h}"
    triggers = f"triggers:\n  - {{id: declared, {trigger}}}\n{rest}"
    made = versions.create(project, document(steps, factories.unique("contain"), triggers), actor=admin)
    versions.publish(made, actor=admin, message="")
    made.refresh_from_db()
    return made


def over() -> None:
    """Every run has ended."""
    Run.objects.update(is_open=False, state=Run.State.SUCCEEDED)


def explained(incident: Incident) -> list[str]:
    """What was decided about the incident, one text for each time that it was opened."""
    found = TimelineEvent.objects.filter(incident=incident, kind="trigger.decided").order_by("n")
    return list(found.values_list("text", flat=True))


def test_an_incident_that_a_person_opens_starts_its_runbook_as_that_person(
    project: Project, admin: Actor, responder: Actor
) -> None:
    made = publish(admin, project, "on: incident, inputs: {what: '${{ incident.title }}'}", TITLE)
    other = publish(admin, project, f"on: incident, {SEV1}")
    publish(admin, project, "on: alert")
    incident = actions.open_incident(project, title="Carts are empty", actor=responder)
    run = Run.objects.get()
    assert (run.runbook, run.inputs, run.trigger) == (made, {"what": "Carts are empty"}, "declared")
    assert (run.incident, run.alert) == (incident, None)
    assert (run.starter_id, run.starter_channel) == (responder.user_id, "automation")
    entry = AuditEntry.objects.get(action="run.started")
    assert (entry.actor_id, entry.channel) == (str(responder.user_id), "automation")
    assert entry.on_behalf_of == f"{incident} opened"
    assert set(explained(incident)[0].split("; ")) == {
        f"Started run {short(run.pk)} of {made.slug} (trigger declared): its condition is true",
        f'Did not start {other.slug} (trigger declared): its condition is false: incident.severity == "SEV1"',
    }


def test_there_is_no_alert_in_a_run_that_no_alert_is_behind(
    project: Project, admin: Actor, responder: Actor
) -> None:
    publish(admin, project)
    actions.open_incident(project, title="Carts are empty", actor=responder)
    assert StepRun.objects.get(node="look").state == "skipped"


def test_a_reopened_incident_starts_it_again_and_joins_what_still_runs(
    project: Project, admin: Actor, responder: Actor
) -> None:
    publish(admin, project)
    incident = actions.open_incident(project, title="Carts are empty", actor=responder)
    for still_open, count in ((True, 1), (False, 2), (False, 3)):
        actions.resolve(incident, actor=responder)
        if not still_open:
            over()
        actions.reopen(incident, actor=responder)
        assert Run.objects.count() == count
        with pytest.raises(Conflict):
            actions.reopen(incident, actor=responder)
    assert [words.split(" ")[0] for words in explained(incident)] == [
        "Started",
        "Attached",
        "Started",
        "Started",
    ]
    assert Run.objects.count() == 3
    assert AuditEntry.objects.filter(action="run.started").last().on_behalf_of == f"{incident} reopened"


def test_a_window_serves_the_next_episode_too(project: Project, admin: Actor, responder: Actor) -> None:
    publish(
        admin,
        project,
        "on: incident, dedupe: {key: '${{ incident.title }}', window: 30m, on_duplicate: skip}",
    )
    incident = actions.open_incident(project, title="Carts are empty", actor=responder)
    over()
    actions.resolve(incident, actor=responder)
    actions.reopen(incident, actor=responder)
    assert "ended lately, is enough (on_duplicate: skip)" in explained(incident)[1]
    assert Run.objects.count() == 1


def test_an_alert_opens_and_reopens_once_as_the_source_s_account_and_sees_what_the_alert_brought(
    project: Project, admin: Actor, responder: Actor
) -> None:
    publish(admin, project, "on: incident, when: 'incident.severity == \"SEV2\"'")
    source = factories.source(project, kind="generic", name="test")
    send(source)
    incident = Incident.objects.get()
    assert Run.objects.count() == 1
    over()
    send(source, "Another", labels={"alertname": "HighErrorRate"})
    assert Run.objects.count() == 1, "one that joins is no new episode"
    actions.resolve(incident, actor=responder)
    send(source, status=AlertStatus.RESOLVED)
    Incident.objects.update(severity="SEV3")
    send(source, severity=Severity.CRITICAL)
    incident.refresh_from_db()
    assert (incident.flaps, incident.severity) == (1, "SEV2")
    first, second = Run.objects.order_by("created_at")
    assert first.starter_id == second.starter_id == source.run_as_id
    assert explained(incident) == [], "an alert's decisions stand beside the alert"


def test_what_cannot_be_started_is_told_and_the_incident_is_open_all_the_same(
    project: Project, admin: Actor, responder: Actor
) -> None:
    made = publish(
        admin,
        project,
        "on: incident, inputs: {what: '${{ incident.title }}'}",
        "inputs: {what: {type: string, required: true, pattern: '[a-z]+'}}",
    )
    incident = actions.open_incident(project, title="Carts are empty", actor=responder)
    assert incident.is_open
    assert not Run.objects.exists()
    assert f"Could not start {made.slug} (trigger declared) as responder" in explained(incident)[0]
    assert TimelineEvent.objects.filter(incident=incident, kind="trigger.failed").count() == 1


def test_an_incident_that_a_runbook_declares_starts_its_runbooks_as_the_run_s_starter(
    project: Project, admin: Actor, responder: Actor
) -> None:
    contain = publish(admin, project)
    steps = "- {id: declare, uses: incident.declare, with: {title: Carts are empty}}"
    watch = versions.create(project, document(steps, "watch"), actor=admin)
    versions.publish(watch, actor=admin, message="")
    watch.refresh_from_db()
    declaring = runs.start(watch, inputs={}, actor=responder).run
    Stage(project, responder).drive(declaring)
    started = Run.objects.exclude(pk=declaring.pk).get()
    assert (started.runbook, started.incident) == (contain, Incident.objects.get())
    assert (started.starter_id, started.starter_channel) == (responder.user_id, "automation")


def test_nothing_to_start_is_explained_and_a_storm_starts_nothing(
    project: Project, admin: Actor, responder: Actor
) -> None:
    incident = actions.open_incident(project, title="Carts are empty", actor=responder)
    assert explained(incident) == [
        "Started no runbook: no live runbook of the project has an incident trigger"
    ]
    publish(admin, project)
    storm = factories.incident(project, key=STORM_KEY, status="resolved", is_open=False)
    actions.reopen(storm, actor=responder)
    assert explained(storm) == ["Started no runbook: this incident gathers a storm"]
    assert not Run.objects.exists()
