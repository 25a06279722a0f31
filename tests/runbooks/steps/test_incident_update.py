"""incident.update changes the run's own incident, once, all or nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from handrail.accounts.models import Project
from handrail.audit.models import AuditEntry
from handrail.incidents import actions
from handrail.incidents.models import Incident, TimelineEvent
from handrail.shared.actors import Actor
from runbooks.steps.base import ActionContext, Failure, Success
from runbooks.steps.incident import IncidentUpdate
from tests import factories

pytestmark = pytest.mark.django_db
MakeContext = Callable[..., ActionContext]


@pytest.fixture
def incident(project: Project) -> Incident:
    return factories.incident(project)


def update(context: ActionContext, **inputs: Any) -> Success | Failure:
    return IncidentUpdate().run(inputs, context)


def test_status_severity_and_note_are_set_and_recorded(
    incident: Incident, project: Project, make_context: MakeContext
) -> None:
    context = make_context(project, incident_id=str(incident.pk))
    outcome = update(context, status="mitigated", severity="SEV1", note="Traffic has shifted.")
    assert outcome == Success({"status": "mitigated", "severity": "SEV1"})
    incident.refresh_from_db()
    assert (incident.status, incident.severity) == ("mitigated", "SEV1")
    assert (
        TimelineEvent.objects.filter(incident=incident, kind="note", text="Traffic has shifted.").count() == 1
    )
    assert AuditEntry.objects.filter(object_id=str(incident.pk)).count() == 3


def test_a_repeated_attempt_changes_nothing_more(
    incident: Incident, project: Project, make_context: MakeContext
) -> None:
    context = make_context(project, incident_id=str(incident.pk))
    update(context, status="mitigated", note="Once.")
    events = TimelineEvent.objects.count()
    assert isinstance(update(context, status="mitigated", note="Once."), Success)
    assert TimelineEvent.objects.count() == events


def test_a_status_that_cannot_be_reached_changes_nothing(
    incident: Incident, project: Project, make_context: MakeContext
) -> None:
    Incident.objects.update(status="closed", is_open=False)
    outcome = update(make_context(project, incident_id=str(incident.pk)), status="mitigated", note="x")
    assert isinstance(outcome, Failure)
    assert outcome.code == "conflict"
    assert not TimelineEvent.objects.filter(kind="note").exists()


def test_a_run_whose_incident_was_merged_goes_on_for_the_other(
    incident: Incident, project: Project, responder: Actor, make_context: MakeContext
) -> None:
    other = factories.incident(project)
    actions.merge(incident, into=other, actor=responder)
    outcome = update(make_context(project, incident_id=str(incident.pk)), status="mitigated", note="Shifted.")
    assert isinstance(outcome, Success)
    other.refresh_from_db()
    assert other.status == "mitigated"
    assert TimelineEvent.objects.filter(incident=other, kind="note", text="Shifted.").exists()


def test_a_run_without_an_incident_says_so(make_context: MakeContext) -> None:
    outcome = update(make_context(), note="x")
    assert isinstance(outcome, Failure)
    assert outcome.code == "no_incident"


@pytest.mark.parametrize("inputs", [{}, {"status": "closed"}, {"severity": "huge"}, {"note": " "}, {"x": 1}])
def test_inputs_that_mean_nothing_are_refused(make_context: MakeContext, inputs: dict[str, Any]) -> None:
    outcome = update(make_context(), **inputs)
    assert isinstance(outcome, Failure)
    assert outcome.code == "invalid_input"
