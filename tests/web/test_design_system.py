"""The words, signs and tags that every page is made of."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine
from django.contrib.auth.models import AnonymousUser
from django.template import Context, Template, TemplateSyntaxError
from django.template.loader import render_to_string
from django.test import RequestFactory
from django.urls import path
from hypothesis import given
from hypothesis import strategies as st

import runbooks.models as runbook_models
from handrail.accounts.models import User
from handrail.incidents.models import Incident, Postmortem
from handrail.outbox.models import OutboxMessage
from handrail.web import durations, gallery, navigation, signs

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "platform/handrail/web/static/handrail"
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

urlpatterns = [path("gallery/", gallery.gallery)]


def rendered(source: str, **context: object) -> str:
    return Template("{% load handrail %}" + source).render(Context(context))


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (-3, "0 s"),
        (0.85, "850 ms"),
        (12.9, "12 s"),
        (250, "4 min 10 s"),
        (240, "4 min"),
        (7500, "2 h 5 min"),
        (100_000, "1 d 3 h"),
    ],
)
def test_a_duration_is_said_in_its_two_largest_units(seconds: float, said: str) -> None:
    assert durations.words(seconds) == said
    assert durations.words(timedelta(seconds=seconds)) == said


@given(st.floats(min_value=-1e9, max_value=1e9))
def test_a_countdown_never_goes_below_zero(seconds: float) -> None:
    assert re.fullmatch(r"(\d+:)?\d{1,2}:\d\d", durations.clock(seconds))


@pytest.mark.parametrize(
    "states",
    [
        runbook_models.Run.State,
        runbook_models.StepRun.State,
        runbook_models.Approval.State,
        runbook_models.RunbookVersion.State,
        Incident.Status,
        Postmortem.Status,
        OutboxMessage.State,
    ],
)
def test_every_state_of_every_row_has_a_sign_and_a_word(states: type) -> None:
    assert [state for state in states if state.value not in signs.SIGNS] == []


def test_every_sign_is_in_the_sprite() -> None:
    known = set(re.findall(r'<symbol id="([^"]+)"', (STATIC / "icons.svg").read_text()))
    used = {sign.icon for sign in signs.SIGNS.values()} | {place.icon for place in navigation.PLACES}
    for template in TEMPLATES:
        used |= set(re.findall(r'{% icon "([^"]+)"', template.read_text()))
    assert used - known == set()


def test_a_state_that_nobody_listed_is_shown_as_it_is() -> None:
    assert "on holiday" in rendered("{% state 'on_holiday' %}")


def test_what_a_user_wrote_never_becomes_markup() -> None:
    evil = "<img src=x>"
    page = rendered(
        "{% state x %}{% copyable x %}{% notice title=x %}{{ x }}{% endnotice %}{% card title=x %}{{ x }}{% endcard %}"
        "{% graph view %}",
        x=evil,
        view={"nodes": [{"id": evil, "title": evil, "kind": evil, "state": evil, "href": evil}], "edges": []},
    )
    assert "<img" not in page


@pytest.mark.parametrize(
    ("style", "said"),
    [
        ("ago", "4 min 10 s ago"),
        ("since", "4 min 10 s"),
        ("until", "time is up"),
        ("clock", "11:55:50 UTC"),
        ("datetime", "1 Mar 2026, 11:55 UTC"),
    ],
)
def test_an_instant_reads_well_without_javascript_and_names_utc(style: str, said: str) -> None:
    with time_machine.travel(NOW, tick=False):
        tag = rendered("{% when at style %}", at=NOW - timedelta(seconds=250), style=style)
    assert f">{said}</time>" in tag
    assert 'datetime="2026-03-01T11:55:50Z"' in tag
    assert "2026-03-01 11:55:50 UTC" in tag


def test_an_instant_that_is_not_known_is_a_dash() -> None:
    assert rendered("{% when at %}", at=None) == "-"


def test_a_style_that_does_not_exist_is_refused() -> None:
    with pytest.raises(TemplateSyntaxError, match="'soonish' is not one of"):
        rendered("{% when at 'soonish' %}", at=NOW)


def test_the_graph_has_an_ordered_list_for_those_who_do_not_see_it() -> None:
    view = {
        "nodes": [
            {"id": "p", "title": "Evidence", "kind": "parallel", "state": "succeeded"},
            {
                "id": "a",
                "title": "Logs",
                "kind": "action",
                "state": "executing",
                "parent": "p",
                "href": "/s/a",
            },
        ],
        "edges": [],
    }
    page = rendered("{% graph view %}", view=view)
    assert page.index("Evidence") < page.index('<a href="/s/a" class="strong">Logs</a>')
    assert 'data-depth="1"' in page


def test_parents_in_a_circle_do_not_hang_the_page() -> None:
    view = {"nodes": [{"id": "a", "parent": "b"}, {"id": "b", "parent": "a"}], "edges": []}
    assert "graph-list" in rendered("{% graph view %}", view=view)


@pytest.mark.parametrize(
    ("at", "active"),
    [("/", "Now"), ("/incidents/7/", "Incidents"), ("/runs/7/", "Runbooks"), ("/alerts/7/", "Incidents")],
)
def test_the_header_marks_where_the_reader_is(at: str, active: str) -> None:
    assert [place.word for place in navigation.places(at) if place.active] == [active]


@pytest.mark.parametrize("name", ["400", "403", "404", "500", "403_csrf"])
def test_an_error_page_needs_no_request(name: str) -> None:
    assert "Go to Now" in render_to_string(f"{name}.html")


def test_sign_in_keeps_where_to_go_and_says_what_went_wrong() -> None:
    request = RequestFactory().get("/sign-in/")
    page = render_to_string("web/sign_in.html", {"next": "/runs/7/", "error": "Wrong."}, request)
    assert '<input type="hidden" name="next" value="/runs/7/">' in page
    assert "Wrong." in page


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)
def test_no_template_breaks_the_content_security_policy(template: Path) -> None:
    text = template.read_text()
    assert not re.search(r"\sstyle\s*=|<style|\son[a-z]+\s*=|javascript:|\bhx-on|https?://", text)
    for script in re.findall(r"<script\b[^>]*>", text):
        assert 'nonce="{{ request.csp_nonce }}"' in script


@pytest.mark.parametrize("signed_in", [True, False])
def test_the_gallery_renders_every_component(signed_in: bool) -> None:
    request = RequestFactory().get("/gallery/")
    request.user = User(username="ada") if signed_in else AnonymousUser()
    request.csp_nonce = "abc"
    page = gallery.gallery(request).content.decode()
    assert ("Sign out" in page) is signed_in
    assert page.count("<h1>") == 1


def test_the_committed_bundles_have_the_checksums_they_say() -> None:
    said = dict(reversed(line.split("  ")) for line in (STATIC / "SHA256SUMS").read_text().splitlines())
    found = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in STATIC.iterdir()}
    found.pop("SHA256SUMS")
    assert said == found
