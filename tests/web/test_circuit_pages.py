"""The page of the circuit breakers, and what people do there and over REST."""

from __future__ import annotations

import pytest
from django.test import Client

from handrail.accounts.models import Project
from handrail.audit.models import AuditEntry
from handrail.shared.clock import database_now
from handrail.shared.errors import Conflict, Forbidden, Invalid, NotFound
from runbooks import circuits
from runbooks.execution.circuits import lock_name
from runbooks.models import Circuit, StepRun
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(project: Project, client: Client) -> Client:
    client.force_login(factories.person("olga", roles={project: "operator"}))
    return client


def waiting_for(circuit: Circuit) -> StepRun:
    """A step that this circuit holds."""
    run = factories.run(factories.runbook(circuit.project))
    later = database_now().replace(year=database_now().year + 1)
    code = lock_name(circuit.project_id, circuit.key)
    return factories.step(run, state="ready", held=code, ready_at=later)


def test_the_page_says_what_is_open_why_since_when_and_who_waits(operator: Client, project: Project) -> None:
    circuit = factories.circuit(project, "traffic", reason="shift: timeout: No answer")
    factories.circuit(project, "well", state="closed", reason="")
    waiting_for(circuit)
    text = operator.get("/circuits/").content.decode()
    assert "1 circuit is open" in text
    assert "shift: timeout: No answer" in text
    assert "1 step waits" in text
    assert "well" not in text.split('<ul class="rows">')[1].split("</ul>")[0]
    assert "well" in operator.get("/circuits/?show=all").content.decode()


def test_the_machine_room_says_that_something_is_open(operator: Client, project: Project) -> None:
    assert "/circuits/" not in operator.get("/").content.decode()
    factories.circuit(project, "traffic")
    assert 'href="/circuits/"' in operator.get("/").content.decode()


def test_closing_wakes_who_waits_and_is_audited(operator: Client, project: Project) -> None:
    circuit = factories.circuit(project, "traffic")
    step = waiting_for(circuit)
    answer = operator.post(f"/circuits/{circuit.pk}/close/", {"reason": "It answers."}, follow=True)
    assert "The circuit of traffic is closed" in answer.content.decode()
    circuit.refresh_from_db()
    step.refresh_from_db()
    assert (circuit.state, circuit.openings, circuit.reason) == ("closed", 0, "")
    assert step.ready_at <= database_now()
    entry = AuditEntry.objects.get(action="circuit.closed")
    assert (entry.actor_name, entry.data["reason"]) == ("olga", "It answers.")


def test_keeping_open_says_who_and_why(operator: Client, project: Project) -> None:
    circuit = factories.circuit(project, "traffic")
    operator.post(f"/circuits/{circuit.pk}/keep-open/", {"reason": "We repair it."})
    circuit.refresh_from_db()
    assert (circuit.kept, circuit.by, circuit.reason, circuit.try_at) == (True, "olga", "We repair it.", None)
    text = operator.get("/circuits/").content.decode()
    assert "olga: We repair it." in text
    assert "until somebody closes it" in text
    again = operator.post(f"/circuits/{circuit.pk}/keep-open/", {"reason": "Again."})
    assert again.status_code == 409
    assert "olga keeps this circuit open already" in again.content.decode()


def test_without_a_reason_nothing_is_changed(operator: Client, project: Project) -> None:
    circuit = factories.circuit(project, "traffic")
    answer = operator.post(f"/circuits/{circuit.pk}/close/", {"reason": " "})
    assert (answer.status_code, "Say why" in answer.content.decode()) == (422, True)
    circuit.refresh_from_db()
    assert circuit.state == "open"


def test_a_responder_sees_it_and_may_not_change_it(project: Project, client: Client) -> None:
    circuit = factories.circuit(project, "traffic")
    person = factories.person(roles={project: "responder"})
    client.force_login(person)
    text = client.get("/circuits/").content.decode()
    assert "traffic" in text
    assert "Close now" not in text
    with pytest.raises(Forbidden):
        circuits.close_now(circuit.pk, actor=factories.actor(person), reason="It is well.")
    with pytest.raises(NotFound):
        circuits.close_now(circuit.pk, actor=factories.actor(factories.person()), reason="It is well.")


def test_a_closed_circuit_cannot_be_closed_but_kept_open(project: Project) -> None:
    circuit = factories.circuit(project, "traffic", state="closed", opened_at=None, try_at=None)
    actor = factories.actor(factories.person(roles={project: "operator"}))
    with pytest.raises(Conflict):
        circuits.close_now(circuit.pk, actor=actor, reason="It is well.")
    with pytest.raises(Invalid):
        circuits.keep_open(circuit.pk, actor=actor, reason="x" * 401)
    assert circuits.keep_open(circuit.pk, actor=actor, reason="Maintenance.").state == "open"
