"""The postmortem as people read and edit it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from handrail.accounts.models import Project, User
from handrail.incidents import actions, postmortems
from handrail.incidents.models import Incident, Postmortem, PostmortemSection
from tests import factories
from tests.web.evening import Evening, evening
from tests.web.scene import Scene

Browse = Callable[[User], Client]


@pytest.fixture
def night(scene: Scene) -> Evening:
    made = evening(scene)
    actions.resolve(made.incident, actor=factories.actor(made.resi), reason="it is over")
    postmortems.generate(made.incident, factories.actor(made.resi))
    return made


def address(incident: Incident, rest: str = "") -> str:
    return f"/incidents/{incident.pk}/postmortem/{rest}"


def summary(night: Evening) -> PostmortemSection:
    return PostmortemSection.objects.get(postmortem__incident=night.incident, key="summary")


def save(client: Client, night: Evening, text: str, revision: int, status: int = 303) -> str:
    form = {"text": text, "revision": revision}
    answer = client.post(address(night.incident, "sections/summary/"), form)
    assert answer.status_code == status
    return answer.content.decode()


def read(client: Client, where: str, status: int = 200) -> str:
    answer = client.get(where)
    assert answer.status_code == status
    return answer.content.decode()


def test_each_generated_sentence_leads_to_the_events_that_prove_it(night: Evening, browse: Browse) -> None:
    page = read(browse(night.vera), address(night.incident))
    assert "INC-42" in page
    assert f'class="mark" href="/incidents/{night.incident.pk}/#event-1"' in page
    assert 'aria-label="Event 1 proves it"' in page
    assert "What did customers see" in page


def test_whoever_only_looks_reads_and_downloads_but_does_not_edit(night: Evening, browse: Browse) -> None:
    client = browse(night.vera)
    assert "<textarea" not in read(client, address(night.incident))
    answer = client.get(f"/incidents/{night.incident.pk}/postmortem.md")
    assert answer["Content-Type"].startswith("text/markdown")
    assert answer["Content-Disposition"] == 'attachment; filename="INC-42-postmortem.md"'
    assert answer.content.decode().startswith("# Postmortem: INC")
    assert "needs responder or admin" in save(client, night, "mine", 1, 403)


def test_an_edit_replaces_the_section_and_says_whose_it_is(night: Evening, browse: Browse) -> None:
    client = browse(night.resi)
    save(client, night, "It was **the** cache.\n\n<script>alert(1)</script> [x](javascript:alert(1))", 1)
    page = read(client, address(night.incident))
    assert "It was <strong>the</strong> cache." in page
    assert "edited by Resi Vogt" in page
    assert "<script>alert" not in page
    assert 'href="javascript:' not in page


def test_whoever_was_slower_keeps_both_texts_and_saves_the_union(night: Evening, browse: Browse) -> None:
    save(browse(night.ada), night, "The words of ada.", 1)
    client = browse(night.resi)
    page = save(client, night, "The words of resi.", 1, 409)
    assert "was changed by Ada Lovelace" in page
    assert ">The words of resi.</textarea>" in page
    assert "The words of ada.</code>" in page
    assert 'name="revision" value="2"' in page
    save(client, night, "The words of both.", 2)
    assert summary(night).edited == "The words of both."


def test_newer_facts_stand_beside_an_edit_and_return_when_it_is_taken_back(
    night: Evening, browse: Browse
) -> None:
    client = browse(night.resi)
    where = address(night.incident, "sections/timeline/")
    assert client.post(where, {"text": "It was the cache.", "revision": 1}).status_code == 303
    actor = factories.actor(night.resi)
    actions.reopen(night.incident, actor=actor, reason="it came back")
    actions.mitigate(night.incident, actor=actor)
    actions.resolve(night.incident, actor=actor, reason="for good")
    assert "Something happened since this was drafted" in read(client, address(night.incident))
    assert client.post(address(night.incident, "draft/")).status_code == 303
    page = read(client, address(night.incident))
    assert "newer facts available" in page
    assert 'class="diff-add"' in page
    assert client.post(f"{where}discard/", {"revision": 2}).status_code == 303
    assert "It was the cache." not in read(client, address(night.incident))
    assert "It was the cache." in read(client, where)


@pytest.mark.parametrize(
    ("text", "revision", "status"),
    [("", 1, 422), ("x" * 50_001, 1, 422), ("fine", "x", 409), ("fine", "9" * 40, 409), ("fine", 99, 409)],
)
def test_what_cannot_be_saved_is_not_lost(
    night: Evening, browse: Browse, text: str, revision: int, status: int
) -> None:
    page = save(browse(night.resi), night, text, revision, status)
    assert "Not saved" in page
    assert text in page
    assert summary(night).edited is None


def test_a_draft_is_reviewed_and_published_by_its_buttons(night: Evening, browse: Browse) -> None:
    client = browse(night.resi)
    for status in ("in_review", "published"):
        assert f'value="{status}"' in read(client, address(night.incident))
        assert client.post(address(night.incident, "status/"), {"status": status}).status_code == 303
    assert client.post(address(night.incident, "status/"), {"status": "draft"}).status_code == 409
    save(client, night, "One more thing.", 1)
    assert Postmortem.objects.get(incident=night.incident).status == "amended"
    actions.add_note(night.incident, "an afterthought", actor=factories.actor(night.resi))
    page = read(client, address(night.incident))
    assert "Bring it up to date" not in page, "nothing would change"


def test_before_there_is_a_draft_the_page_says_when(night: Evening, browse: Browse) -> None:
    client = browse(night.resi)
    assert "It is not over yet" in read(client, address(night.quiet))
    assert "Draft it now" in read(client, address(night.ended))
    assert client.post(address(night.quiet, "draft/")).status_code == 409
    assert client.post(address(night.ended, "draft/")).status_code == 303
    read(client, f"/incidents/{night.quiet.pk}/postmortem.md", 404)
    read(client, address(night.incident, "sections/nonsense/"), 404)


def test_other_projects_find_nothing(night: Evening, browse: Browse, other_project: Project) -> None:
    stranger = browse(factories.person(roles={other_project: "admin"}))
    read(stranger, address(night.incident), 404)
    read(stranger, address(night.incident, "sections/summary/"), 404)
    read(stranger, f"/incidents/{night.incident.pk}/postmortem.md", 404)
    save(stranger, night, "theirs", 1, 404)


def test_the_page_costs_the_same_for_a_long_story(
    night: Evening, browse: Browse, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for n in range(40):
        actions.add_note(night.incident, f"note {n}", actor=factories.actor(night.resi))
    postmortems.generate(night.incident, factories.actor(night.resi))
    client = browse(night.resi)
    with django_assert_max_num_queries(18):
        client.get(address(night.incident))
