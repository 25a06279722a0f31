"""Why a runbook started by itself, or did not: each trigger that was considered says so beside the alert."""

from __future__ import annotations

import pytest

from handrail.accounts.models import Project, RoleAssignment, User
from handrail.accounts.permissions import synchronise
from handrail.alerts.models import Alert, Source
from handrail.incidents.hooks import ChangeKind, IncidentChange
from handrail.incidents.models import Incident, TimelineEvent
from handrail.shared.actors import Actor
from handrail.shared.ids import short
from runbooks import runs, triggers, versions
from runbooks.models import Run, Runbook
from tests import factories
from tests.runbooks.execution.stage import document, scripted

pytestmark = pytest.mark.django_db

CRITICAL = "when: 'alert.severity == \"critical\"'"
SERVICE = "inputs: {service: {type: string, required: true}}"


@pytest.fixture
def source(project: Project) -> Source:
    return factories.source(project)


@pytest.fixture
def alert(project: Project, source: Source) -> Alert:
    return factories.alert(project, source)


@pytest.fixture
def incident(project: Project, alert: Alert) -> Incident:
    return factories.incident(project, alert)


def publish(admin: Actor, project: Project, trigger: str, inputs: str = "", step: str = "noop") -> Runbook:
    """A live runbook with one trigger, whose first steps wait: its runs stay open."""
    rest = f"triggers:\n  - {{id: high, {trigger}}}\n{inputs}"
    steps = f"- {{id: pause, kind: wait, for: 1h}}\n- {{id: look, uses: {step}}}"
    made = versions.create(project, document(steps, factories.unique("contain"), rest), actor=admin)
    versions.publish(made, actor=admin, message="")
    made.refresh_from_db()
    return made


def happens(
    incident: Incident, alert: Alert, kind: ChangeKind = ChangeKind.OPENED, *, storm: bool = False
) -> str:
    """What the triggers decided, in words."""
    before = len(alert.decisions)
    triggers.on_incident_changed(
        IncidentChange(
            incident=incident,
            kind=kind,
            actor=Actor.system("intake"),
            alert=alert,
            source=alert.source,
            storm=storm,
        )
    )
    alert.refresh_from_db()
    return " | ".join(str(entry["text"]) for entry in alert.decisions[before:])


def over(run: Run) -> None:
    """The run has ended."""
    Run.objects.filter(pk=run.pk).update(is_open=False, state=Run.State.SUCCEEDED)


# --- starting ------------------------------------------------------------------------------------


def test_a_trigger_whose_condition_is_true_starts_a_run_as_the_source_s_account(
    project: Project, admin: Actor, incident: Incident, alert: Alert, source: Source
) -> None:
    made = publish(
        admin,
        project,
        f"on: alert, {CRITICAL}, inputs: {{service: '${{{{ alert.labels.service }}}}'}}",
        SERVICE,
    )
    words = happens(incident, alert)
    run = Run.objects.get()
    assert words.startswith(f"Started run {short(run.pk)} of")
    assert f"{made.slug} (trigger high): its condition is true." in words
    assert (run.inputs, run.trigger, run.incident, run.alert) == (
        {"service": "checkout"},
        "high",
        incident,
        alert,
    )
    assert (run.starter_id, run.starter_channel) == (source.run_as_id, "automation")


def test_an_alert_that_joins_starts_alert_triggers_but_no_incident_triggers(
    project: Project, admin: Actor, incident: Incident, alert: Alert
) -> None:
    publish(admin, project, "on: incident")
    assert happens(incident, alert, ChangeKind.JOINED) == (
        "Started no runbook: no live runbook of the project has an alert trigger."
    )
    assert "Started run" in happens(incident, alert, ChangeKind.OPENED)


def test_a_trigger_without_a_condition_fits_every_alert(
    project: Project, admin: Actor, incident: Incident, alert: Alert
) -> None:
    publish(admin, project, "on: alert")
    assert "Started run" in happens(incident, alert, ChangeKind.JOINED)


def test_every_runbook_is_considered_and_each_says_what_it_decided(
    project: Project, admin: Actor, incident: Incident, alert: Alert
) -> None:
    publish(admin, project, "on: alert, when: 'alert.severity == \"info\"'")
    publish(admin, project, "on: alert")
    words = happens(incident, alert)
    assert 'its condition is false: alert.severity == "info"' in words
    assert "Started run" in words


# --- not starting --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ChangeKind.ACKNOWLEDGED, ChangeKind.RESOLVED, ChangeKind.ALERT_RESOLVED])
def test_other_changes_start_nothing_and_say_nothing(
    project: Project, admin: Actor, incident: Incident, alert: Alert, kind: ChangeKind
) -> None:
    publish(admin, project, "on: alert")
    assert happens(incident, alert, kind) == ""
    assert not Run.objects.exists()


def test_a_change_without_an_alert_starts_no_alert_trigger(
    project: Project, admin: Actor, incident: Incident
) -> None:
    publish(admin, project, "on: alert")
    triggers.on_incident_changed(IncidentChange(incident=incident, kind=ChangeKind.OPENED, actor=admin))
    assert not Run.objects.exists()


def test_a_storm_starts_nothing_and_says_so(
    project: Project, admin: Actor, incident: Incident, alert: Alert
) -> None:
    publish(admin, project, "on: alert")
    assert happens(incident, alert, storm=True) == ("Started no runbook: the alert was gathered in a storm.")
    assert not Run.objects.exists()


def test_other_projects_drafts_and_archived_runbooks_are_not_considered(
    project: Project, other_project: Project, admin: Actor, outsider: Actor, incident: Incident, alert: Alert
) -> None:
    publish(outsider, other_project, "on: alert")
    archived = publish(admin, project, "on: alert")
    Runbook.objects.filter(pk=archived.pk).update(archived_at=alert.first_seen_at)
    versions.create(
        project,
        document("- {id: look, uses: noop}", "a-draft", "triggers:\n  - {id: high, on: alert}"),
        actor=admin,
    )
    assert "no live runbook of the project" in happens(incident, alert)


def test_a_condition_that_cannot_be_evaluated_is_told_and_stops_no_other(
    project: Project, admin: Actor, incident: Incident, alert: Alert
) -> None:
    publish(admin, project, "on: alert, when: 'alert.labels.nowhere == \"x\"'")
    publish(admin, project, "on: alert")
    words = happens(incident, alert)
    assert "its condition does not fit this alert" in words
    assert "Started run" in words


def test_a_runbook_that_this_process_cannot_read_stops_neither_the_incident_nor_others(
    project: Project, admin: Actor, incident: Incident, alert: Alert
) -> None:
    with scripted():
        lost = publish(admin, project, "on: alert", step="test.call")
        versions._definition.cache_clear()
    publish(admin, project, "on: alert")
    words = happens(incident, alert)
    assert f"Could not consider {lost.slug}: This process does not know an action" in words
    assert "Started run" in words


def test_inputs_that_do_not_fit_are_told_beside_the_alert_and_on_the_timeline(
    project: Project, admin: Actor, incident: Incident, alert: Alert
) -> None:
    made = publish(admin, project, "on: alert, inputs: {service: '${{ alert.labels.nowhere }}'}", SERVICE)
    assert f"Could not start {made.slug} (trigger high)" in happens(incident, alert)
    happens(incident, alert)
    event = TimelineEvent.objects.get(incident=incident, kind="trigger.failed")
    assert made.slug in event.text
    assert not Run.objects.exists()


def test_inputs_that_a_run_refuses_are_told_and_leave_no_run(
    project: Project, admin: Actor, incident: Incident, alert: Alert
) -> None:
    publish(
        admin,
        project,
        "on: alert, inputs: {service: '${{ alert.labels.service }}'}",
        "inputs: {service: {type: string, required: true, pattern: '[0-9]+'}}",
    )
    assert "The inputs do not fit" in happens(incident, alert)
    assert not Run.objects.exists()


def test_an_account_that_may_not_start_runs_starts_none(
    project: Project, admin: Actor, incident: Incident, alert: Alert, source: Source
) -> None:
    publish(admin, project, "on: alert")
    RoleAssignment.objects.filter(user=source.run_as).delete()
    factories.give_role(project, source.run_as, "viewer")
    words = happens(incident, alert)
    assert "Could not start" in words
    assert source.run_as.username in words
    synchronise(project, source.run_as)
    User.objects.filter(pk=source.run_as_id).update(is_active=False)
    assert "Could not start" in happens(incident, alert)
    assert not Run.objects.exists()


# --- modes ---------------------------------------------------------------------------------------


def test_shadow_says_what_would_have_started(
    project: Project, admin: Actor, incident: Incident, alert: Alert
) -> None:
    publish(admin, project, "on: alert, mode: shadow")
    assert "Would have started" in happens(incident, alert)
    assert not Run.objects.exists()


def test_suggest_asks_a_person_once_for_the_incident(
    project: Project, admin: Actor, incident: Incident, alert: Alert
) -> None:
    publish(admin, project, "on: alert, mode: suggest")
    assert "a person has to press Start" in happens(incident, alert)
    happens(incident, alert, ChangeKind.JOINED)
    assert TimelineEvent.objects.filter(incident=incident, kind="run.suggested").count() == 1
    assert not Run.objects.exists()


# --- the same again ------------------------------------------------------------------------------

KEY = "key: '${{ alert.labels.service }}', window: 30m"


def test_without_a_key_one_run_at_a_time_serves_an_incident(
    project: Project, admin: Actor, incident: Incident, alert: Alert
) -> None:
    publish(admin, project, "on: alert")
    happens(incident, alert)
    words = happens(incident, alert, ChangeKind.JOINED)
    assert words.startswith("Attached to run")
    assert "goes on" in words
    over(Run.objects.get())
    assert "Started run" in happens(incident, alert, ChangeKind.JOINED)


def test_skip_says_that_the_earlier_run_is_enough_even_when_it_ended_lately(
    project: Project, admin: Actor, incident: Incident, alert: Alert
) -> None:
    publish(admin, project, f"on: alert, dedupe: {{{KEY}, on_duplicate: skip}}")
    happens(incident, alert)
    assert "goes on, is enough (on_duplicate: skip)" in happens(incident, alert)
    over(Run.objects.get())
    assert "ended lately, is enough" in happens(incident, alert)
    assert Run.objects.count() == 1


def test_attach_stays_with_the_earlier_run_within_the_window_and_starts_after_it(
    project: Project, admin: Actor, incident: Incident, alert: Alert
) -> None:
    publish(admin, project, f"on: alert, dedupe: {{{KEY}, on_duplicate: attach}}")
    happens(incident, alert)
    first = Run.objects.get()
    over(first)
    assert "ended lately, instead of starting" in happens(incident, alert)
    Run.objects.filter(pk=first.pk).update(created_at="2020-01-01T00:00:00Z")
    assert "Started run" in happens(incident, alert)
    assert Run.objects.count() == 2


def test_start_starts_again_once_the_earlier_run_has_ended(
    project: Project, admin: Actor, incident: Incident, alert: Alert
) -> None:
    publish(admin, project, f"on: alert, dedupe: {{{KEY}, on_duplicate: start}}")
    happens(incident, alert)
    assert "Attached to run" in happens(incident, alert)
    over(Run.objects.get())
    assert "Started run" in happens(incident, alert)
    assert Run.objects.count() == 2


def test_another_key_is_another_run(
    project: Project, admin: Actor, incident: Incident, alert: Alert, source: Source
) -> None:
    publish(admin, project, f"on: alert, dedupe: {{{KEY}, on_duplicate: skip}}")
    happens(incident, alert)
    other = factories.alert(project, source, labels={"service": "payments"})
    assert "Started run" in happens(incident, other, ChangeKind.JOINED)


def test_two_long_keys_that_begin_alike_are_two_runs(
    project: Project, admin: Actor, incident: Incident, source: Source
) -> None:
    publish(admin, project, f"on: alert, dedupe: {{{KEY}, on_duplicate: skip}}")
    first, second = (factories.alert(project, source, labels={"service": "x" * 400 + end}) for end in "12")
    assert "Started run" in happens(incident, first)
    assert "Started run" in happens(incident, second, ChangeKind.JOINED)
    assert "is enough" in happens(incident, second, ChangeKind.JOINED)


def test_a_run_that_somebody_started_a_moment_ago_with_the_key_is_attached_to(
    project: Project, admin: Actor, incident: Incident, alert: Alert, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two alerts at once: neither saw the other's run; the database lets one in."""
    made = publish(admin, project, "on: alert")
    runs.start(made, inputs={}, actor=admin, dedupe_key=f"incident:{incident.pk}")
    monkeypatch.setattr(triggers, "_earlier_run", lambda occasion, key: None)
    words = happens(incident, alert)
    assert words.startswith("Attached to run")
    assert "with the same key goes on already" in words
    assert Run.objects.count() == 1
