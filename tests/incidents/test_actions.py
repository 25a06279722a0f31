"""The verbs: who may, what they leave behind, and what is said to whoever comes too late."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from handrail.accounts.models import Project
from handrail.audit.models import AuditEntry
from handrail.incidents import actions, timeline
from handrail.incidents.models import Incident, IncidentAlert, TimelineEvent
from handrail.shared.actors import Actor, Channel
from handrail.shared.clock import now
from handrail.shared.errors import Conflict, Forbidden, Invalid, NotFound
from tests import factories

VERBS: dict[str, Callable[[Incident, Actor], object]] = {
    "acknowledge": lambda of, by: actions.acknowledge(of, actor=by),
    "investigate": lambda of, by: actions.investigate(of, actor=by),
    "identify": lambda of, by: actions.identify(of, actor=by, reason="a bad deploy"),
    "mitigate": lambda of, by: actions.mitigate(of, actor=by),
    "resolve": lambda of, by: actions.resolve(of, actor=by),
    "cancel": lambda of, by: actions.cancel(of, actor=by, reason="a test"),
    "take_command": lambda of, by: actions.take_command(of, actor=by),
    "add_note": lambda of, by: actions.add_note(of, "I look at the database", actor=by),
    "set_severity": lambda of, by: actions.set_severity(of, "sev1", actor=by),
    "set_auto_resolve": lambda of, by: actions.set_auto_resolve(of, "never", actor=by),
    "correct_times": lambda of, by: actions.correct_times(
        of, {"started_at": of.started_at - timedelta(minutes=5)}, actor=by, reason="the graphs say so"
    ),
    "merge": lambda of, by: actions.merge(of, into=factories.incident(of.project), actor=by),
}


@pytest.fixture
def incident(project: Project) -> Incident:
    return factories.incident(project)


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_leaves_an_event_and_an_audit_entry_of_whoever_did_it(
    incident: Incident, responder: Actor, verb: str
) -> None:
    VERBS[verb](incident, responder)
    event = TimelineEvent.objects.filter(incident=incident).order_by("-n")[0]
    entry = AuditEntry.objects.order_by("-n")[0]
    assert (event.actor_name, event.channel) == ("responder", "web")
    assert (entry.actor_name, entry.object_id, entry.project_id) == (
        "responder", str(incident.pk), str(incident.project_id)
    )  # fmt: skip
    assert entry.action.startswith("incident.")


@pytest.mark.parametrize("verb", VERBS)
def test_who_only_looks_may_not_and_who_is_elsewhere_does_not_know(
    incident: Incident, viewer: Actor, outsider: Actor, verb: str
) -> None:
    with pytest.raises(Forbidden):
        VERBS[verb](incident, viewer)
    with pytest.raises(NotFound):
        VERBS[verb](incident, outsider)
    with pytest.raises(Forbidden):
        VERBS[verb](incident, Actor.system("sweeper"))
    incident.refresh_from_db()
    assert (incident.status, incident.timeline_n) == ("triage", 0)
    assert not AuditEntry.objects.filter(object_id=str(incident.pk)).exists()


def test_the_second_to_acknowledge_hears_who_was_faster(
    incident: Incident, responder: Actor, admin: Actor
) -> None:
    row = actions.acknowledge(incident, actor=responder.through(Channel.SLACK))
    assert row.status == "investigating"
    with pytest.raises(
        Conflict, match=r"INC-\d+ is acknowledged already\. \(responder, \d\d:\d\d:\d\d UTC, slack\)"
    ):
        actions.acknowledge(incident, actor=admin)


def test_acknowledged_is_the_first_human_not_the_first_robot(incident: Incident, responder: Actor) -> None:
    robot = factories.actor(factories.service_account(incident.project, "responder"), Channel.AUTOMATION)
    row = actions.acknowledge(incident, actor=robot)
    assert (row.status, row.acknowledged_at) == ("investigating", None)
    row = actions.mitigate(incident, actor=responder)
    assert row.acknowledged_at is not None


def test_late_verbs_are_refused_with_the_last_word(
    incident: Incident, responder: Actor, admin: Actor
) -> None:
    actions.resolve(incident, actor=responder)
    with pytest.raises(
        Conflict, match=r"is resolved already: reopen it first if it is not over\. \(responder, "
    ):
        actions.mitigate(incident, actor=admin)
    with pytest.raises(Conflict, match="reopen it to change the severity of it"):
        actions.set_severity(incident, "SEV1", actor=admin)


def test_reopening_starts_the_clocks_again_and_keeps_the_old_moments_in_the_timeline(
    incident: Incident, responder: Actor
) -> None:
    actions.mitigate(incident, actor=responder)
    actions.resolve(incident, actor=responder)
    row = actions.reopen(incident, actor=responder, reason="it is back")
    assert row.is_open
    assert row.mitigated_at is row.resolved_at is row.draft_due_at is None
    kinds = list(TimelineEvent.objects.filter(incident=incident).order_by("n").values_list("kind", flat=True))
    assert kinds == ["incident.mitigated", "incident.resolved", "incident.reopened", "trigger.decided"]


def test_an_incident_cannot_be_reopened_beside_its_successor(project: Project, responder: Actor) -> None:
    old = factories.incident(project, key="alert=x")
    actions.resolve(old, actor=responder)
    new = factories.incident(project, key="alert=x")
    with pytest.raises(Conflict, match=f"{new} is open for the same alerts"):
        actions.reopen(old, actor=responder)


def test_cancelling_needs_a_reason(incident: Incident, responder: Actor) -> None:
    with pytest.raises(Invalid, match="a reason is needed"):
        actions.cancel(incident, actor=responder, reason="  ")
    assert actions.cancel(incident, actor=responder, reason="a drill").status_reason == "a drill"


def test_merging_takes_the_alerts_along_and_is_followed(project: Project, responder: Actor) -> None:
    alert = factories.alert(project)
    first, second, third = (
        factories.incident(project, alert),
        factories.incident(project),
        factories.incident(project),
    )
    actions.merge(first, into=second, actor=responder)
    actions.merge(second, into=third, actor=responder)
    assert IncidentAlert.objects.filter(incident=third, alert=alert).exists()
    fourth = factories.incident(project)
    actions.merge(fourth, into=first, actor=responder)
    fourth.refresh_from_db()
    assert fourth.merged_into == third
    with pytest.raises(Invalid, match="cannot be merged into itself"):
        actions.merge(third, into=first, actor=responder)


def test_what_was_detected_and_seen_in_a_merged_incident_counts_unless_a_person_has_corrected_it(
    project: Project, responder: Actor
) -> None:
    begun = now() - timedelta(hours=1)
    earlier = factories.incident(project, at=begun, acknowledged_at=begun + timedelta(minutes=3))
    later, corrected = factories.incident(project), factories.incident(project)
    actions.merge(earlier, into=later, actor=responder)
    later.refresh_from_db()
    assert (later.started_at, later.detected_at) == (begun, begun)
    assert later.acknowledged_at == begun + timedelta(minutes=3)
    moment = corrected.started_at - timedelta(minutes=5)
    actions.correct_times(corrected, {"started_at": moment}, actor=responder, reason="the graphs say so")
    actions.merge(later, into=corrected, actor=responder)
    corrected.refresh_from_db()
    assert (corrected.started_at, corrected.detected_at) == (moment, begun)


def test_incidents_of_two_projects_do_not_merge(
    incident: Incident, other_project: Project, responder: Actor
) -> None:
    elsewhere = factories.incident(other_project)
    with pytest.raises(NotFound):
        actions.merge(incident, into=elsewhere, actor=responder)


def test_a_person_reports_an_incident_and_has_thereby_seen_it(project: Project, responder: Actor) -> None:
    made = actions.open_incident(project, title="  Checkout\n is slow ", actor=responder, severity="sev2")
    assert (str(made), made.title, made.severity, made.status) == (
        "INC-1",
        "Checkout is slow",
        "SEV2",
        "triage",
    )
    assert made.acknowledged_at == made.detected_at
    assert str(actions.open_incident(project, title="Another", actor=responder)) == "INC-2"
    with pytest.raises(Invalid, match="There is no severity 'SEV9'"):
        actions.open_incident(project, title="x", actor=responder, severity="SEV9")
    with pytest.raises(Invalid, match="title"):
        actions.open_incident(project, title="\n ", actor=responder)


def test_containment_is_marked_once(incident: Incident) -> None:
    robot = Actor.system("engine")
    at = now()
    assert actions.mark_contained(incident, at=at, by="high-error-rate v7", actor=robot)
    assert not actions.mark_contained(incident, at=now(), by="again v1", actor=robot)
    incident.refresh_from_db()
    assert incident.contained_at == at


def test_what_a_run_contains_is_the_incident_that_its_own_was_merged_into(
    incident: Incident, responder: Actor
) -> None:
    first, second = factories.incident(incident.project), factories.incident(incident.project)
    actions.merge(first, into=second, actor=responder)
    actions.merge(second, into=incident, actor=responder)
    assert actions.mark_contained(first, at=now(), by="shift v1", actor=Actor.system("engine"))
    incident.refresh_from_db()
    assert incident.contained_at is not None


def test_corrections_are_checked(incident: Incident, responder: Actor) -> None:
    for times, words in (
        ({"created_at": now()}, "is not a time of an incident"),
        ({"started_at": None}, "cannot be empty"),
        ({"resolved_at": now() + timedelta(days=1)}, "in the past"),
        ({}, "at least one"),
    ):
        with pytest.raises(Invalid, match=words):
            actions.correct_times(incident, times, actor=responder, reason="why not")
    with pytest.raises(Invalid, match="Say why"):
        actions.correct_times(incident, {"started_at": now()}, actor=responder, reason=" ")


def test_only_people_command_and_the_taking_over_is_told(
    incident: Incident, responder: Actor, admin: Actor
) -> None:
    robot = factories.actor(factories.service_account(incident.project, "responder"))
    with pytest.raises(Invalid, match="Only a person"):
        actions.take_command(incident, actor=robot)
    actions.take_command(incident, actor=responder)
    actions.take_command(incident, actor=admin)
    texts = list(TimelineEvent.objects.filter(incident=incident).order_by("n").values_list("text", flat=True))
    assert texts == ["responder took command", "admin took command from responder"]
    with pytest.raises(Conflict, match="You command"):
        actions.take_command(incident, actor=admin)


def test_notes_are_bounded_and_allowed_after_the_end(incident: Incident, responder: Actor) -> None:
    actions.resolve(incident, actor=responder)
    assert actions.add_note(incident, " learnt: x ", actor=responder).text == "learnt: x"
    for text in ("", " \n", "x" * 4_001):
        with pytest.raises(Invalid):
            actions.add_note(incident, text, actor=responder)


def test_an_event_with_a_known_key_is_not_repeated_and_places_have_no_gaps(incident: Incident) -> None:
    robot = Actor.system("engine")
    first = timeline.add(incident, "run.started", "x", actor=robot, dedupe_key="run:1")
    again = timeline.add(incident, "run.started", "y", actor=robot, dedupe_key="run:1")
    other = timeline.add(incident, "note", "bad \x00 text", actor=robot, subject=("run", "7"))
    assert again.pk == first.pk
    assert (first.n, other.n, incident.timeline_n) == (1, 2, 2)
    assert (other.subject_type, other.subject_id, other.text) == (
        "run",
        "7",
        "bad \N{REPLACEMENT CHARACTER} text",
    )


def test_what_happens_after_the_end_makes_the_postmortem_due_again(
    incident: Incident, responder: Actor
) -> None:
    actions.resolve(incident, actor=responder)
    Incident.objects.update(draft_due_at=None)
    timeline.add(incident, "run.finished", "late", actor=Actor.system("engine"))
    incident.refresh_from_db()
    assert incident.draft_due_at is not None
