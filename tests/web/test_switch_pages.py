"""Kill switches, refused starts and starts that are put off, as people meet them on the web and over the API."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from handrail.accounts.models import User
from handrail.shared.clock import now
from runbooks import runs, switches
from runbooks.models import KillSwitch, RefusedStart, Run
from runbooks.switches import Place
from tests import factories
from tests.web import scene as scenes
from tests.web.scene import Scene

Browse = Callable[[User], Client]


@pytest.fixture
def operator(scene: Scene) -> User:
    return factories.person(roles={scene.project: "admin"})


def test_a_switch_is_turned_on_seen_everywhere_and_turned_off(
    scene: Scene, browse: Browse, operator: User
) -> None:
    run = scenes.run(scene)
    client = browse(operator)
    answer = client.post(
        "/switches/",
        {"level": "runbook", "runbook": str(scene.runbook.pk), "reason": "It fails over wrongly"},
    )
    assert (answer.status_code, answer["Location"]) == (303, "/switches/")
    switch = KillSwitch.objects.get()
    assert (switch.level, switch.runbook, switch.project) == ("runbook", scene.runbook, scene.project)
    words = f"the runbook {scene.runbook.slug}"
    for page in ("/", f"/runs/{run.pk}/"):
        text = client.get(page).content.decode()
        assert f"A kill switch holds {words}" in text, page
        assert "It fails over wrongly" in text
    listed = client.get("/switches/").content.decode()
    assert "1 kill switch is on" in listed
    client.post(f"/switches/{switch.pk}/off/", {"reason": "mended"})
    listed = client.get("/switches/").content.decode()
    assert "No kill switch is on" in listed
    assert "mended" in listed
    assert "A kill switch holds" not in client.get(f"/runs/{run.pk}/").content.decode()


def test_a_form_that_does_not_fit_is_shown_again_with_the_reason(
    scene: Scene, browse: Browse, operator: User
) -> None:
    client = browse(operator)
    answer = client.post("/switches/", {"level": "action", "subject": "", "reason": "because"})
    assert answer.status_code == 422
    assert "Name the action type" in answer.content.decode()
    again = client.post("/switches/", {"level": "installation", "reason": "because"})
    assert again.status_code == 422, "only an owner is offered the installation"
    assert not KillSwitch.objects.exists()


def test_whoever_may_only_look_sees_no_form(scene: Scene, browse: Browse) -> None:
    viewer = factories.person(roles={scene.project: "viewer"})
    switches.turn_on(
        Place("project", scene.project),
        actor=factories.actor(factories.person(roles={scene.project: "admin"})),
        reason="x",
    )
    text = browse(viewer).get("/switches/").content.decode()
    assert "1 kill switch is on" in text
    assert "Turn one on" not in text
    assert "Turn off" not in text


def test_a_refused_start_stands_on_now_until_somebody_looks_after_it(
    scene: Scene, browse: Browse, operator: User
) -> None:
    row = RefusedStart.objects.create(
        project=scene.project, runbook=scene.runbook, code="loop_guard", reason="That looks like a loop.",
        first_at=now(), last_at=now(),
    )  # fmt: skip
    client = browse(operator)
    text = client.get("/").content.decode()
    assert f"{scene.runbook.title} is not started any more" in text
    assert "That looks like a loop." in text
    assert client.post(f"/refused-starts/{row.pk}/seen/").status_code == 303
    assert "is not started any more" not in client.get("/").content.decode()


def test_a_run_can_be_put_off_and_says_until_when(scene: Scene, browse: Browse, operator: User) -> None:
    client = browse(operator)
    where = f"/runbooks/{scene.project.slug}/{scene.runbook.slug}/start/"
    form = {f"input.{name}": value for name, value in scenes.INPUTS.items()}
    wrong = client.post(where, {**form, "start_at": "tomorrow"})
    assert wrong.status_code == 422
    assert "not a date with a time" in wrong.content.decode()
    before = set(Run.objects.values_list("pk", flat=True))
    assert client.post(where, {**form, "start_at": f"{now().year + 1}-01-01T03:00"}).status_code == 303
    run = Run.objects.exclude(pk__in=before).get()
    assert run.state == "pending"
    text = client.get(f"/runs/{run.pk}/").content.decode()
    assert f"Starts at {now().year + 1}-01-01 03:00:00 UTC" in text
    runs.stop(run.pk, actor=factories.actor(operator), reason="not needed")


@pytest.mark.django_db
def test_switches_and_refused_starts_over_the_api(scene: Scene, operator: User) -> None:
    client = Client(
        headers={"Authorization": f"Bearer {factories.token(operator, 'view', 'operate', 'respond')}"}
    )
    body = {"level": "target", "project": scene.project.slug, "subject": "db-7", "reason": "being moved"}
    made = client.post("/api/v1/switches/", body, content_type="application/json")
    assert (made.status_code, made.json()["place"]) == (201, f"the target db-7 in {scene.project.name}")
    twice = client.post("/api/v1/switches/", body, content_type="application/json")
    assert (twice.status_code, twice.json()["code"]) == (409, "already_on")
    assert [row["subject"] for row in client.get("/api/v1/switches/?on=true").json()["results"]] == ["db-7"]
    off = client.post(f"/api/v1/switches/{made.json()['id']}/off/", {}, content_type="application/json")
    assert off.json()["off_by"] == str(operator)
    assert client.get("/api/v1/switches/?on=true").json()["results"] == []
    assert client.get("/api/v1/refused-starts/").json()["results"] == []
