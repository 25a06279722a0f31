"""A POST to a source of the kind `webhook` starts the runbooks that listen to it, once, and says what it did."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handrail.accounts.models import Project, RoleAssignment
from handrail.accounts.permissions import synchronise
from handrail.alerts import processing
from handrail.alerts.models import Alert, Delivery, Source
from handrail.incidents.models import Incident
from handrail.shared.actors import Actor
from handrail.shared.clock import database_now
from runbooks import triggers, versions
from runbooks.language.definition import Trigger
from runbooks.models import Run, Runbook
from runbooks.priorities import PEOPLE
from tests import factories
from tests.runbooks.execution.stage import document

pytestmark = pytest.mark.django_db

KEY = "the-key-of-the-webhook-1234567890"
STEPS = "- {id: pause, kind: wait, for: 1h}"
DEPLOYED = """
on: webhook,
when: 'webhook.headers["x-event"] == "deployed" && webhook.body.ok',
inputs: {service: "${{ webhook.body.service }}"}
"""


@pytest.fixture
def source(project: Project) -> Source:
    return factories.source(project, KEY, kind="webhook", name="ci")


def publish(admin: Actor, project: Project, trigger: str = DEPLOYED) -> Runbook:
    rest = (
        f"triggers:\n  - {{id: hooked, {' '.join(trigger.split())}}}\ninputs: {{service: {{type: string}}}}"
    )
    made = versions.create(project, document(STEPS, factories.unique("after"), rest), actor=admin)
    versions.publish(made, actor=admin, message="")
    made.refresh_from_db()
    return made


def send(client: Client, body: object, *, status: int = 202, **headers: str) -> Any:
    answer = client.post(
        f"/hooks/v1/webhook/{KEY}",
        json.dumps(body),
        content_type="application/json",
        headers={"X-Event": "deployed"} | {name.replace("_", "-"): value for name, value in headers.items()},
    )
    assert answer.status_code == status, answer.content
    return answer.json()


def words(told: Any) -> str:
    return " | ".join(Delivery.objects.get(pk=told["delivery"]).explanation)


WORDS = st.sampled_from(["service", "ok", "$artifact", "\x00", "\ud800", ""]) | st.text(max_size=5)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=20,
)
GOOD = {"service": "checkout", "ok": True}


def test_a_webhook_starts_the_runbook_that_listens_as_its_sources_account(
    client: Client, project: Project, admin: Actor, source: Source
) -> None:
    made = publish(admin, project)
    told = send(client, GOOD)
    run = Run.objects.get()
    assert (run.runbook, run.inputs, run.trigger) == (made, {"service": "checkout"}, "hooked")
    assert (run.starter_id, run.incident, run.alert, run.priority) == (source.run_as_id, None, None, PEOPLE)
    assert told["verdict"] == "processed"
    assert words(told).startswith("webhook: Started run ")
    assert not Alert.objects.exists()
    assert not Incident.objects.exists()


@pytest.mark.parametrize(
    ("body", "headers", "said"),
    [
        ({"service": "checkout", "ok": False}, {}, "its condition is false"),
        (GOOD, {"X_Event": "started"}, "its condition is false"),
        ({"service": "checkout"}, {}, "its condition does not fit this webhook"),
        ([1], {}, "its condition does not fit this webhook"),
        ({"service": 7, "ok": True}, {}, "Could not start"),
        ({"service": {"$artifact": "x"}, "ok": True}, {}, "Could not start"),
    ],
)
def test_what_does_not_fit_starts_nothing_and_is_explained(
    client: Client,
    project: Project,
    admin: Actor,
    source: Source,
    body: object,
    headers: dict[str, str],
    said: str,
) -> None:
    publish(admin, project)
    assert said in words(send(client, body, **headers))
    assert not Run.objects.exists()


def test_without_a_runbook_that_listens_the_delivery_says_so(
    client: Client, project: Project, other_project: Project, admin: Actor, outsider: Actor, source: Source
) -> None:
    publish(outsider, other_project)
    publish(admin, project, "on: incident")
    assert "no live runbook of the project has a webhook trigger" in words(send(client, GOOD))
    assert not Run.objects.exists()


def test_the_same_body_is_another_message_and_the_same_id_is_not(
    client: Client, project: Project, admin: Actor, source: Source
) -> None:
    publish(admin, project)
    assert not send(client, GOOD)["duplicate"]
    assert not send(client, GOOD)["duplicate"]
    assert Run.objects.count() == 2
    assert not send(client, GOOD, Webhook_Id="17")["duplicate"]
    assert send(client, GOOD, Webhook_Id="17")["duplicate"]
    assert Run.objects.count() == 3


def test_its_verdict_is_one_commit_with_what_it_starts(
    client: Client, project: Project, admin: Actor, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where its own key would let a second run start."""
    publish(admin, project, DEPLOYED + ", dedupe: {key: x, window: 1s, on_duplicate: start}")
    monkeypatch.setattr(processing, "_finish", lambda *_: None)
    delivery = Delivery.objects.get(pk=send(client, GOOD)["delivery"])
    assert delivery.verdict == "processed"
    [event] = processing.read_events("webhook", bytes(delivery.body), delivery.headers, {})
    Run.objects.update(is_open=False)
    assert processing._apply(event, delivery) == "webhook: applied before"
    assert Run.objects.count() == 1


def test_what_breaks_while_it_is_taken_is_tried_again_and_loses_nothing(
    client: Client, project: Project, admin: Actor, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(admin, project)

    def broken(_occasion: triggers.Occasion) -> None:
        raise RuntimeError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(triggers, "_consider", broken)
        told = send(client, GOOD)
    assert told["verdict"] == "received"
    Delivery.objects.update(due_at=database_now())
    processing.process_due()
    assert Run.objects.count() == 1
    assert words(told).startswith("webhook: Started run ")


def test_a_key_of_its_own_makes_two_messages_one_run(
    client: Client, project: Project, admin: Actor, source: Source
) -> None:
    publish(admin, project, DEPLOYED + ', dedupe: {key: "${{ webhook.body.service }}", window: 10m}')
    send(client, GOOD)
    assert "Attached to run" in words(send(client, GOOD))
    assert "Started run" in words(send(client, {"service": "search", "ok": True}))
    assert Run.objects.count() == 2


def test_every_trigger_that_fits_starts_its_run(
    client: Client, project: Project, admin: Actor, source: Source
) -> None:
    publish(admin, project)
    publish(admin, project, "on: webhook, mode: shadow")
    publish(admin, project, "on: webhook")
    said = words(send(client, GOOD))
    assert said.count("Started run") == 2
    assert "shadow mode" in said
    assert Run.objects.count() == 2


def test_a_suggestion_of_an_older_version_is_refused_in_words(
    client: Client, project: Project, admin: Actor, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was published before webhooks were carried out: what was not meant to start does not."""
    publish(admin, project, "on: webhook")

    def suggesting(runbook: Runbook, _tell: object) -> list[Trigger]:
        assert runbook.live is not None
        return [replace(one, mode="suggest") for one in versions.definition_of(runbook.live).triggers]

    monkeypatch.setattr(triggers, "_triggers", suggesting)
    assert "there is no incident on which people would see it" in words(send(client, GOOD))
    assert not Run.objects.exists()


def test_an_account_that_may_start_nothing_starts_nothing(
    client: Client, project: Project, admin: Actor, source: Source
) -> None:
    publish(admin, project)
    RoleAssignment.objects.filter(user=source.run_as).delete()
    synchronise(project, source.run_as)
    assert "Could not start after-" in words(send(client, GOOD))
    assert not Run.objects.exists()


def test_a_body_that_is_no_json_is_refused(client: Client, source: Source) -> None:
    answer = client.post(f"/hooks/v1/webhook/{KEY}", b"ref=main", content_type="text/plain")
    assert answer.status_code == 400
    assert not Delivery.objects.exists()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=DOCUMENTS)
def test_no_document_makes_it_fail(
    client: Client, project: Project, admin: Actor, source: Source, body: object
) -> None:
    if not Runbook.objects.filter(project=project).exists():
        publish(admin, project)
        publish(admin, project, "on: webhook, inputs: {service: '${{ string(webhook.body) }}'}")
    told = send(client, body)
    assert told["verdict"] == "processed"
    assert len(Delivery.objects.get(pk=told["delivery"]).explanation) == 1
