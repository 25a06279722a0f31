"""Operators and their sources: keys shown once and rotated, settings checked, dead letters tried again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from handrail.accounts.models import Project, User
from handrail.alerts import actions, processing, queries
from handrail.alerts.models import Alert, Delivery, Source
from handrail.audit.models import AuditEntry
from handrail.shared.actors import Actor
from handrail.shared.clock import now
from handrail.shared.errors import Conflict, Forbidden, Invalid, NotFound
from tests import factories
from tests.alerts.bodies import group


@pytest.fixture
def operator(project: Project) -> Actor:
    return factories.actor(factories.person("operator", {project: "operator"}))


@pytest.fixture
def robot(project: Project) -> User:
    return factories.service_account(project, "responder")


@pytest.fixture
def made(project: Project, operator: Actor, robot: User) -> actions.SourceKey:
    return actions.create_source(project, "alertmanager", "Prometheus", run_as=robot, actor=operator)


def post(client: Client, url: str, body: bytes | None = None) -> int:
    path = url.removeprefix("http://127.0.0.1:8000")
    return int(client.post(path, body or group(), content_type="application/json").status_code)


def test_a_source_has_a_key_that_is_shown_once_and_stored_nowhere(
    client: Client, made: actions.SourceKey
) -> None:
    assert len(made.key) >= 40
    row = Source.objects.filter(pk=made.source.pk).values().get()
    entry = AuditEntry.objects.get(action="source.created")
    assert made.key not in repr(row) + repr(entry.data)
    assert made.url == f"http://127.0.0.1:8000/hooks/v1/alertmanager/{made.key}"
    assert post(client, made.url) == 202


def test_two_keys_are_valid_during_a_rotation_and_one_after_it(
    client: Client, made: actions.SourceKey, operator: Actor
) -> None:
    second = actions.rotate_key(made.source, actor=operator)
    assert post(client, made.url) == post(client, second.url) == 202
    third = actions.rotate_key(made.source, actor=operator)
    assert [post(client, one.url) for one in (made, second, third)] == [404, 202, 202]
    Source.objects.update(previous_key_expires_at=now() - timedelta(seconds=1))
    assert [post(client, one.url) for one in (made, second, third)] == [404, 404, 202]


def test_a_leaked_key_can_be_ended_at_once(client: Client, made: actions.SourceKey, operator: Actor) -> None:
    second = actions.rotate_key(made.source, actor=operator)
    actions.end_overlap(made.source, actor=operator)
    assert [post(client, one.url) for one in (made, second)] == [404, 202]
    with pytest.raises(Conflict):
        actions.end_overlap(made.source, actor=operator)


def test_only_operators_touch_sources(
    project: Project, made: actions.SourceKey, responder: Actor, robot: User
) -> None:
    outsider = factories.actor(factories.person("stranger"))
    for act in (actions.rotate_key, actions.end_overlap, actions.disable_source, actions.update_source):
        with pytest.raises(Forbidden):
            act(made.source, actor=responder)
        with pytest.raises(NotFound):
            act(made.source, actor=outsider)
    with pytest.raises(Forbidden):
        actions.create_source(project, "generic", "Mine", run_as=robot, actor=responder)


def test_what_a_source_is_made_of_is_checked(
    project: Project, operator: Actor, robot: User, made: actions.SourceKey
) -> None:
    def create(kind: str = "generic", name: str = "New", account: User = robot, **choices: Any) -> object:
        return actions.create_source(project, kind, name, run_as=account, actor=operator, **choices)

    person = factories.person("ada", {project: "responder"})
    with pytest.raises(Invalid, match="did you mean alertmanager"):
        create(kind="alertmanger")
    with pytest.raises(Invalid, match="Give the source a name"):
        create(name="  ")
    with pytest.raises(Conflict, match="There is a source called Prometheus already"):
        create(name="Prometheus")
    with pytest.raises(Invalid, match="a service account"):
        create(account=person)
    with pytest.raises(Invalid, match="give it the role responder first"):
        create(account=factories.service_account(project, "viewer"))
    with pytest.raises(Forbidden):
        create(account=factories.service_account(project, "admin"))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"mappings": {}}, "no setting 'mappings'"),
        ({"mapping": "x"}, "should be an object"),
        ({"mapping": {"titel": "body.x"}}, "did you mean title"),
        ({"mapping": {"title": "body.("}}, "title"),
        ({"incident_key": "alert.("}, "incident_key"),
        ({"incident_key": "secrets.x"}, "incident_key"),
        ({"incident_key": 7}, "should be a text"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_place(
    project: Project, operator: Actor, robot: User, settings: Any, words: str
) -> None:
    source = actions.create_source(project, "generic", "Any", run_as=robot, actor=operator).source
    with pytest.raises(Invalid, match=words):
        actions.update_source(source, actor=operator, settings=settings)
    good = {"mapping": {"title": "body.name"}, "incident_key": "alert.labels.cluster"}
    assert actions.update_source(source, actor=operator, settings=good).settings == good


def test_a_disabled_source_refuses_until_it_is_enabled(
    client: Client, made: actions.SourceKey, operator: Actor
) -> None:
    actions.disable_source(made.source, actor=operator)
    assert post(client, made.url) == 410
    with pytest.raises(Conflict, match="disabled already"):
        actions.disable_source(made.source, actor=operator)
    actions.enable_source(made.source, actor=operator)
    assert post(client, made.url) == 202


def test_a_dead_letter_is_read_again_after_its_mapping_was_mended(
    client: Client,
    project: Project,
    operator: Actor,
    robot: User,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.VAULT_GRANTS = ["shop=env:HANDRAIL_SECRET_HOOK"]
    monkeypatch.setenv("HANDRAIL_SECRET_HOOK", "the-token")
    made = actions.create_source(
        project, "generic", "Any", run_as=robot, actor=operator,
        settings={"mapping": {"title": "body.heading"}}, secret_reference="env:HANDRAIL_SECRET_HOOK",
    )  # fmt: skip
    path = made.url.removeprefix("http://127.0.0.1:8000")
    headers = {"Authorization": "Bearer the-token"}
    answer = client.post(path, b'{"headline": "Disk"}', content_type="application/json", headers=headers)
    assert answer.json()["verdict"] == "dead"
    dead = queries.dead_letters_visible_to(operator).get()
    actions.update_source(made.source, actor=operator, settings={"mapping": {"title": "body.headline"}})
    actions.retry_delivery(dead, actor=operator)
    assert processing.process_due() == 1
    assert Alert.objects.get().title == "Disk"
    assert Delivery.objects.get().verdict == "processed"
    with pytest.raises(Conflict):
        actions.retry_delivery(dead, actor=operator)
