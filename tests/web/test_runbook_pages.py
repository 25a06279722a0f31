"""Runbooks on the web: the list, the page, versions, the editor, publishing."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from django.test import Client

from handrail.accounts.models import Project, User
from handrail.audit.models import AuditEntry
from handrail.shared.clock import database_now
from runbooks import runs, versions
from runbooks.models import Run, RunbookVersion
from tests import factories
from tests.web import scene as scenes
from tests.web.scene import SOURCE, Scene

Browse = Callable[[User], Client]
ADDRESS = "/runbooks/shop/high-error-rate/"


def kept_text(scene: Scene) -> str:
    draft = versions.draft_of(scene.runbook)
    return draft.source if draft is not None else ""


def test_whoever_is_not_signed_in_is_sent_there_and_back(client: Client, scene: Scene) -> None:
    answer = client.get(f"{ADDRESS}?input.service=checkout")
    assert answer.status_code == 302
    assert answer["Location"].startswith("/sign-in/?next=/runbooks/shop/high-error-rate/")


def test_an_empty_list_teaches_the_next_step(browse: Browse, project: Project) -> None:
    page = browse(factories.person("ann", {project: "author"})).get("/runbooks/").content.decode()
    assert "No runbook yet" in page
    assert "/runbooks/new/" in page


def test_the_list_shows_the_runbooks_of_ones_own_projects_only(scene: Scene, browse: Browse) -> None:
    elsewhere = factories.runbook(factories.project("elsewhere"), "secret-plan")
    page = browse(scene.viewer).get("/runbooks/").content.decode()
    assert "Contain a high error rate" in page
    assert elsewhere.title not in page


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=high+ERROR", True),
        ("q=payments-sre", True),
        ("q=nothing", False),
        ("q=%00", True),
        ("show=live", True),
        ("show=draft", False),
        ("project=shop", True),
        ("project=other", False),
        ("page=99999", True),
        ("page=x", True),
    ],
)
def test_the_list_is_filtered(scene: Scene, browse: Browse, query: str, found: bool) -> None:
    answer = browse(scene.viewer).get(f"/runbooks/?{query}")
    assert answer.status_code == 200
    assert ("Contain a high error rate" in answer.content.decode()) is found


def test_the_page_says_what_is_missing_before_it_can_run(scene: Scene, browse: Browse) -> None:
    factories.connection(scene.project, "deploys")
    factories.connection(scene.project, "traffic")
    page = browse(scene.viewer).get(ADDRESS).content.decode()
    assert "Missing: database. An operator" in page
    assert "No worker serves default" in page
    scenes.worker()
    factories.connection(scene.project, "database")
    page = browse(scene.viewer).get(ADDRESS).content.decode()
    assert "all checks pass" in page


def test_the_page_of_a_runbook_that_nobody_published_offers_to_publish(scene: Scene, browse: Browse) -> None:
    source = SOURCE.replace("high-error-rate", "fresh", 1)
    versions.create(scene.project, source, actor=factories.actor(scene.admin))
    page = browse(scene.admin).get("/runbooks/shop/fresh/").content.decode()
    assert "never published" in page
    assert 'href="/runbooks/shop/fresh/publish/"' in page
    assert 'id="start"' not in page


def test_a_version_is_compared_with_the_live_one_and_made_live_again(scene: Scene, browse: Browse) -> None:
    scenes.second_version(scene)
    client = browse(scene.admin)
    page = client.get(f"{ADDRESS}versions/1/").content.decode()
    assert "step `shift`" in page
    assert "Make this version live again?" in page
    answer = client.post(f"{ADDRESS}versions/1/roll-back/", {"reason": ""})
    assert answer.status_code == 422
    assert "Say why" in answer.content.decode()
    answer = client.post(f"{ADDRESS}versions/1/roll-back/", {"reason": "v2 hammers the balancer"})
    assert answer.status_code == 303
    scene.runbook.refresh_from_db()
    assert scene.runbook.live is not None
    assert scene.runbook.live.number == 1


@pytest.mark.parametrize("number", ["7", "0", "99999999999999999999999"])
def test_a_version_that_is_not_there_is_not_found(scene: Scene, browse: Browse, number: str) -> None:
    assert browse(scene.admin).get(f"{ADDRESS}versions/{number}/").status_code == 404


def test_a_new_runbook_is_checked_kept_and_published(scene: Scene, browse: Browse) -> None:
    client = browse(scene.admin)
    source = SOURCE.replace("high-error-rate", "fresh", 1).replace("\n", "\r\n")
    checked = client.post(
        "/runbooks/new/", {"source": source.replace("uses: noop", "uses: nop"), "do": "check"}
    )
    assert checked.status_code == 200
    assert "Did you mean" in checked.content.decode()
    assert not RunbookVersion.objects.filter(runbook__slug="fresh").exists()
    kept = client.post("/runbooks/new/", {"source": source, "do": "publish"})
    assert urlsplit(kept["Location"]).path == "/runbooks/shop/fresh/publish/"
    assert client.get(kept["Location"]).status_code == 200
    published = client.post(kept["Location"], {"revision": "1", "message": "First"})
    assert published.status_code == 303
    version = RunbookVersion.objects.get(runbook__slug="fresh")
    assert (version.number, version.message) == (1, "First")
    assert "\r" not in version.source


def test_a_second_author_overwrites_nothing_and_loses_nothing(scene: Scene, browse: Browse) -> None:
    mine, theirs = SOURCE.replace("timeout: 2h", "timeout: 3h"), SOURCE.replace("timeout: 2h", "timeout: 4h")
    versions.save_draft(scene.runbook, theirs, actor=factories.actor(scene.admin), expected_revision=0)
    client = browse(factories.person("ann", {scene.project: "author"}))
    answer = client.post(f"{ADDRESS}edit/", {"source": mine, "revision": "0", "do": "save"})
    page = answer.content.decode()
    assert answer.status_code == 409
    assert "timeout: 3h" in page  # in the editor
    assert "-timeout: 4h" in page  # beside it, what saving would take away
    assert 'name="revision" value="2"' in page
    assert kept_text(scene) == theirs
    again = client.post(f"{ADDRESS}edit/", {"source": mine, "revision": "2", "do": "save"})
    assert again.status_code == 303
    assert kept_text(scene) == mine


def test_the_editor_is_told_what_is_wrong_and_given_the_graph(scene: Scene, browse: Browse) -> None:
    client = browse(scene.admin)
    wrong = client.post(
        f"{ADDRESS}validate/", {"source": SOURCE.replace("kind: parallel", "kind: paralel")}
    ).json()
    assert wrong["graph_html"] == ""
    assert wrong["problems"][0]["line"] == SOURCE[: SOURCE.index("kind: parallel")].count("\n") + 1
    right = client.post(f"{ADDRESS}validate/", {"source": SOURCE}).json()
    assert right["problems"] == []
    assert "Fail the database over" in right["graph_html"]


@pytest.mark.parametrize("source", ["", "\x00", "\ud800", "a: [" * 5000, "é" * 200_000, "&a [*a]"])
def test_hostile_texts_are_refused_in_words(scene: Scene, browse: Browse, source: str) -> None:
    client = browse(scene.admin)
    posted = source.encode("utf-8", "replace").decode()
    for do in ("check", "save"):
        answer = client.post(f"{ADDRESS}edit/", {"source": posted, "revision": "0", "do": do})
        assert answer.status_code in (200, 303, 422)
    assert client.post(f"{ADDRESS}validate/", {"source": posted}).status_code in (200, 422)


def test_what_was_read_is_what_is_published(scene: Scene, browse: Browse) -> None:
    client, actor = browse(scene.admin), factories.actor(scene.admin)
    versions.save_draft(scene.runbook, SOURCE + "# one\n", actor=actor, expected_revision=0)
    versions.save_draft(scene.runbook, SOURCE.replace("2h", "3h"), actor=actor, expected_revision=2)
    answer = client.post(f"{ADDRESS}publish/", {"revision": "2", "message": "what I read"})
    assert answer.status_code == 409
    assert "has changed since you looked" in answer.content.decode()
    assert client.post(f"{ADDRESS}publish/", {"message": "blind"}).status_code == 409
    assert client.post(f"{ADDRESS}publish/", {"revision": "3", "message": "now"}).status_code == 303
    assert AuditEntry.objects.filter(action="runbook.published").count() == 2


def test_a_draft_with_problems_is_not_offered_for_publishing(scene: Scene, browse: Browse) -> None:
    actor = factories.actor(scene.admin)
    versions.save_draft(
        scene.runbook, SOURCE.replace("uses: noop", "uses: nop"), actor=actor, expected_revision=0
    )
    page = browse(scene.admin).get(f"{ADDRESS}publish/").content.decode()
    assert "The draft has 1 problem to mend first" in page
    assert "Did you mean &#x27;noop&#x27;?" in page
    assert "Publish v2" not in page


def test_a_draft_is_discarded_and_the_live_version_stays(scene: Scene, browse: Browse) -> None:
    versions.save_draft(
        scene.runbook, "half a thought", actor=factories.actor(scene.admin), expected_revision=0
    )
    client = browse(scene.admin)
    assert client.post(f"{ADDRESS}discard/").status_code == 303
    assert versions.draft_of(scene.runbook) is None
    # A second press finds nothing, and says so on the page it leads to.
    assert "no draft to discard" in client.post(f"{ADDRESS}discard/", follow=True).content.decode()


def test_no_form_works_without_its_csrf_token(scene: Scene) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(scene.admin)
    for address in ("edit/", "publish/", "discard/", "validate/", "versions/1/roll-back/"):
        assert client.post(f"{ADDRESS}{address}", {"source": SOURCE}).status_code == 403


ROTATE = """\
apiVersion: handrail/v1
kind: Runbook
metadata: {id: rotate, title: Rotate a key}
inputs:
  service: {type: string, required: true}
  hosts: {type: array}
steps:
  - {id: a, uses: noop}
"""


def test_to_start_again_fills_in_what_the_run_was_given_without_a_word_in_the_link(
    scene: Scene, browse: Browse
) -> None:
    actor = factories.actor(scene.admin)
    runbook = versions.create(scene.project, ROTATE, actor=actor)
    versions.publish(runbook, actor=actor, message="first")
    runbook.refresh_from_db()
    run = runs.start(runbook, inputs={"service": "checkout", "hosts": ["a", "b"]}, actor=actor).run
    Run.objects.filter(pk=run.pk).update(state="succeeded", is_open=False, ended_at=database_now())
    browser = browse(scene.admin)
    page = browser.get(f"/runs/{run.pk}/").content.decode()
    assert f'href="/runbooks/shop/rotate/?again={run.pk}#start"' in page
    form = browser.get(f"/runbooks/shop/rotate/?again={run.pk}").content.decode()
    assert 'value="checkout"' in form
    assert "[&quot;a&quot;, &quot;b&quot;]" in form
    linked = browser.get(f"/runbooks/shop/rotate/?again={run.pk}&input.service=search").content.decode()
    assert 'value="search"' in linked


@pytest.mark.parametrize(
    "again", ["", "x", "\0", "01a225f2-c2b4-700a-b1f4-a9a6ef56405a", "elsewhere", "other"]
)
def test_nothing_is_filled_in_from_what_is_no_run_of_this_runbook(
    scene: Scene, browse: Browse, again: str
) -> None:
    if again == "elsewhere":
        hidden = factories.runbook(factories.project("elsewhere"), "high-error-rate")
        again = str(factories.run(hidden, inputs={"service": "unseen"}).pk)
    elif again == "other":
        other = factories.runbook(scene.project, "another")
        again = str(factories.run(other, inputs={"service": "unseen"}).pk)
    answer = browse(scene.admin).get(ADDRESS, {"again": again})
    assert answer.status_code == 200
    assert "unseen" not in answer.content.decode()


RELATIVE = re.compile(r'(?:href|action)="(?![/#?]|https?:)[^"]*"')


@pytest.mark.parametrize("form", ["start/", "versions/1/roll-back/"])
def test_a_refused_form_can_be_mended_and_sent_from_where_it_is_then(
    scene: Scene, browse: Browse, form: str
) -> None:
    scenes.second_version(scene)
    refused = browse(scene.admin).post(f"{ADDRESS}{form}", {"reason": "", "start_at": "2031-01-01T03:00"})
    assert refused.status_code == 422
    page = refused.content.decode()
    assert f'action="{ADDRESS}{form}"' in page
    assert RELATIVE.findall(page) == []


def test_a_start_that_was_put_off_stays_so_when_the_form_is_refused(scene: Scene, browse: Browse) -> None:
    sent = {"input.service": "check out", "input.region": "eu-1", "start_at": "2031-01-01T03:00"}
    refused = browse(scene.admin).post(f"{ADDRESS}start/", sent)
    assert refused.status_code == 422
    assert 'name="start_at" value="2031-01-01T03:00"' in refused.content.decode()


def test_the_start_form_says_before_which_steps_it_asks(scene: Scene, browse: Browse) -> None:
    page = browse(scene.admin).get(ADDRESS).content.decode()
    assert "It asks for approval before: Fail the database over." in page
