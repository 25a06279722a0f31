"""incident.declare opens one incident, whatever the attempt, and never one from another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from handrail.accounts.models import Project
from handrail.audit.models import AuditEntry
from handrail.incidents.models import Incident, TimelineEvent
from runbooks.steps.base import ActionContext, Failure, InvalidInputs, Success
from runbooks.steps.incident_declare import IncidentDeclare
from tests import factories

pytestmark = pytest.mark.django_db
MakeContext = Callable[..., ActionContext]


def declare(context: ActionContext, **inputs: Any) -> Success | Failure:
    return IncidentDeclare().run({"title": "Backups are old", **inputs}, context)


def test_it_opens_an_incident_that_is_told_and_audited(project: Project, make_context: MakeContext) -> None:
    service, environment = factories.service(project), factories.environment(project)
    context = make_context(project, secrets=("hunter2",))
    outcome = declare(
        context,
        title="Backups\nof hunter2",
        severity="SEV2",
        service=service.slug,
        environment=environment.slug,
    )
    incident = Incident.objects.get()
    assert (incident.title, incident.severity) == ("Backups of [redacted]", "SEV2")
    assert (incident.service, incident.environment) == (service, environment)
    assert isinstance(outcome, Success)
    assert outcome.outputs["opened"] is True
    assert (outcome.outputs["id"], outcome.outputs["name"]) == (str(incident.pk), str(incident))
    assert TimelineEvent.objects.filter(incident=incident, kind="incident.opened").count() == 1
    assert AuditEntry.objects.filter(object_id=str(incident.pk)).count() == 1


def test_a_repeated_attempt_finds_it_even_when_it_is_closed(
    project: Project, make_context: MakeContext
) -> None:
    context = make_context(project)
    declare(context)
    Incident.objects.update(is_open=False, status="closed")
    again = declare(context)
    assert isinstance(again, Success)
    assert again.outputs["opened"] is False
    assert Incident.objects.count() == 1


def test_a_key_joins_the_steps_of_all_runs_while_one_is_open(
    project: Project, other_project: Project, make_context: MakeContext
) -> None:
    first = make_context(project)
    second = replace(first, run_id="run-2", idempotency_key="run-2:check:")
    elsewhere = replace(second, project=other_project)
    opened = [declare(one, key="backups") for one in (first, second, elsewhere)]
    Incident.objects.update(is_open=False, status="closed")
    opened.append(declare(second, key="backups"))
    assert [one.outputs["opened"] for one in opened] == [True, False, True, True]
    assert Incident.objects.count() == 3


def test_a_run_of_an_incident_declares_no_other(project: Project, make_context: MakeContext) -> None:
    incident = factories.incident(project)
    outcome = declare(make_context(project, incident_id=str(incident.pk)))
    assert isinstance(outcome, Failure)
    assert (outcome.code, Incident.objects.count()) == ("has_incident", 1)


def test_a_service_of_another_project_is_not_found_and_nothing_is_opened(
    project: Project, other_project: Project, make_context: MakeContext
) -> None:
    factories.service(other_project, "ledger")
    for where in ({"service": "ledger"}, {"environment": "moon"}):
        outcome = declare(make_context(project), **where)
        assert isinstance(outcome, Failure)
        assert outcome.code == "not_found"
    assert not Incident.objects.exists()


@pytest.mark.parametrize(
    "inputs", [{"title": " "}, {"severity": "bad"}, {"key": "x" * 201}, {"service": 3}, {"project": "x"}]
)
def test_inputs_that_do_not_fit_are_refused(inputs: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputs):
        IncidentDeclare().bind({"title": "x", **inputs})
