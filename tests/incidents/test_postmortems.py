"""Drafts in the database: made at the resolution, kept fresh, never over a person's words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.conf import LazySettings
from django.db import transaction

from handrail.accounts.models import Project
from handrail.audit.models import AuditEntry
from handrail.incidents import actions, postmortems, timeline
from handrail.incidents.hooks import ChangeKind, IncidentChange, incident_changed
from handrail.incidents.models import Incident, Postmortem, PostmortemRevision, PostmortemSection
from handrail.incidents.postmortems import drafting
from handrail.shared.actors import Actor
from handrail.shared.clock import database_now
from handrail.shared.errors import Conflict, Forbidden, Invalid, NotFound
from tests import factories

ENGINE = Actor.system("engine")


@pytest.fixture
def incident(project: Project, responder: Actor) -> Incident:
    """Reported, contained by a run, resolved."""
    made = actions.open_incident(project, title="Checkout <b>is slow</b>", actor=responder)
    facts = {"run": "r1", "runbook": "high-error-rate", "version": 7}
    timeline.add(made, "run.started", "High error rate (v7) started", actor=ENGINE, data=facts)
    failed = {**facts, "step": "shift", "title": "Shift traffic", "error": {"message": "no region"}}
    timeline.add(made, "step.failed", "Shift traffic: failed", actor=ENGINE, data=failed)
    actions.mark_contained(made, at=made.detected_at, by="high-error-rate v7", actor=ENGINE)
    return actions.resolve(made, actor=responder, reason="traffic is back")


@pytest.mark.parametrize("days", [1, -1])
def test_a_process_whose_clock_is_a_day_off_delays_no_draft(
    project: Project, responder: Actor, days: int
) -> None:
    with time_machine.travel(datetime.now(UTC) + timedelta(days=days)):
        made = actions.open_incident(project, title="Slow", actor=responder)
        resolved = actions.resolve(made, actor=responder, reason="traffic is back")
    assert resolved.draft_due_at is not None
    assert timedelta() <= database_now() - resolved.draft_due_at < timedelta(minutes=5)
    assert drafting.draft_due() == 1


@pytest.fixture
def postmortem(incident: Incident) -> Postmortem:
    assert drafting.draft_due() == 1
    return Postmortem.objects.get(incident=incident)


def section(of: Postmortem, key: str) -> PostmortemSection:
    return PostmortemSection.objects.get(postmortem=of, key=key)


def test_a_resolution_makes_a_draft_whose_every_line_leads_to_an_event(postmortem: Postmortem) -> None:
    known = {str(pk) for pk in postmortem.incident.timeline.values_list("pk", flat=True)}
    lines = [line for one in postmortem.sections.all() for line in one.lines]
    assert len(lines) > 20
    for line in lines:
        assert line["prompt"] != bool(line["events"])
        assert set(line["events"]) <= known
    assert postmortem.events_n == postmortem.incident.timeline_n
    assert drafting.draft_due() == 0


def test_it_is_drafted_right_after_the_commit_of_the_resolution(
    project: Project, responder: Actor, django_capture_on_commit_callbacks: Any
) -> None:
    incident = factories.incident(project)
    with django_capture_on_commit_callbacks(execute=True):
        actions.resolve(incident, actor=responder)
    assert Postmortem.objects.filter(incident=incident).exists()
    incident.refresh_from_db()
    assert incident.draft_due_at is None


@pytest.mark.django_db(transaction=True)
def test_a_fault_in_drafting_does_not_keep_an_incident_from_being_resolved(
    project: Project, responder: Actor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(RuntimeError):
        """What a faulty template raises."""

    def fail(row: Incident) -> None:
        raise Broken

    incident = factories.incident(project)
    with monkeypatch.context() as patch:
        patch.setattr(drafting, "draft", fail)
        actions.resolve(incident, actor=responder)
    assert "Broken" in caplog.text
    incident.refresh_from_db()
    assert incident.status == "resolved"
    assert incident.draft_due_at is not None
    Incident.objects.update(draft_due_at=incident.resolved_at)
    drafting.draft_due()
    assert Postmortem.objects.filter(incident=incident).exists()


def test_lesser_incidents_get_none_by_themselves_but_on_request(
    project: Project, responder: Actor, settings: LazySettings
) -> None:
    settings.POSTMORTEM_SEVERITY = "SEV2"
    incident = actions.resolve(factories.incident(project, severity="SEV3"), actor=responder)
    drafting.draft_due()
    assert not Postmortem.objects.exists()
    assert drafting.draft_due() == 0
    postmortems.generate(incident, responder)
    assert Postmortem.objects.exists()


def test_what_happens_later_reaches_the_sections_that_nobody_edited(
    postmortem: Postmortem, responder: Actor
) -> None:
    incident = postmortem.incident
    edited = postmortems.edit_section(
        section(postmortem, "timeline"), "My own timeline", responder, expected_revision=1
    )
    facts = {"run": "r1", "runbook": "high-error-rate", "state": "succeeded", "duration": 9.0}
    timeline.add(incident, "run.finished", "It has ended", actor=ENGINE, data=facts)
    assert drafting.draft_due() == 1
    fresh = section(postmortem, "containment")
    assert any("succeeded" in line["text"] for line in fresh.lines)
    assert fresh.revision == 2
    kept = section(postmortem, "timeline")
    assert (kept.edited, kept.revision) == ("My own timeline", edited.revision)
    assert postmortems.has_newer_facts(kept)
    assert "+- **" in postmortems.newer_facts(kept)
    assert "It has ended" in postmortems.newer_facts(kept)
    assert not postmortems.has_newer_facts(section(postmortem, "containment"))


def test_an_edit_over_a_change_is_refused_with_both_texts(
    postmortem: Postmortem, responder: Actor, admin: Actor
) -> None:
    before = section(postmortem, "summary")
    postmortems.edit_section(before, "First", responder, expected_revision=1)
    with pytest.raises(
        Conflict, match=r"“Summary” was changed by responder at .* while you wrote"
    ) as refused:
        postmortems.edit_section(before, "Second", admin, expected_revision=1)
    assert refused.value.details == {"theirs": "First", "yours": "Second", "revision": 2}
    postmortems.edit_section(before, "Second", admin, expected_revision=2)
    assert [(r.n, r.text, r.edited) for r in section(postmortem, "summary").revisions.order_by("n")][1:] == [
        (2, "First", True),
        (3, "Second", True),
    ]


def test_newer_facts_are_told_against_what_the_last_edit_started_from(
    postmortem: Postmortem, responder: Actor
) -> None:
    for n, words in enumerate(("first fact", "second fact"), start=1):
        row = section(postmortem, "timeline")
        row = postmortems.edit_section(row, f"Mine {n}", responder, expected_revision=row.revision)
        assert postmortems.newer_facts(row) == ""
        timeline.add(postmortem.incident, "note", words, actor=ENGINE)
        drafting.draft_due()
        told = postmortems.newer_facts(section(postmortem, "timeline"))
        new = [line for line in told.splitlines() if line.startswith("+-")]
        assert len(new) == 1
        assert words in new[0]


def test_an_edit_can_be_taken_back_and_stays_among_the_revisions(
    postmortem: Postmortem, responder: Actor
) -> None:
    generated = postmortems.starting_text(section(postmortem, "summary"))
    postmortems.edit_section(section(postmortem, "summary"), "Mine", responder, expected_revision=1)
    taken = postmortems.discard_edit(section(postmortem, "summary"), responder, expected_revision=2)
    assert (taken.edited, taken.edited_by, taken.revision) == (None, None, 3)
    assert postmortems.starting_text(taken) == generated
    assert PostmortemRevision.objects.filter(text="Mine").exists()
    with pytest.raises(Conflict, match="nothing to take back"):
        postmortems.discard_edit(taken, responder, expected_revision=3)


def test_editing_is_for_responders_and_audited(
    postmortem: Postmortem, responder: Actor, viewer: Actor, outsider: Actor
) -> None:
    one = section(postmortem, "summary")
    with pytest.raises(Forbidden):
        postmortems.edit_section(one, "x", viewer, expected_revision=1)
    with pytest.raises(NotFound):
        postmortems.edit_section(one, "x", outsider, expected_revision=1)
    for text in ("", "  \n", "x" * 50_001):
        with pytest.raises(Invalid):
            postmortems.edit_section(one, text, responder, expected_revision=1)
    postmortems.edit_section(one, "x", responder, expected_revision=1)
    entry = AuditEntry.objects.filter(action="postmortem.edited").get()
    assert (entry.actor_name, entry.data) == ("responder", {"section": "summary", "revision": 2})


def test_an_open_incident_has_no_postmortem_yet(project: Project, responder: Actor) -> None:
    with pytest.raises(Conflict, match="still open"):
        postmortems.generate(factories.incident(project), responder)


def test_a_published_one_is_amended_by_edits_and_left_alone_by_the_generator(
    postmortem: Postmortem, responder: Actor
) -> None:
    with pytest.raises(Conflict, match="cannot become published now"):
        postmortems.set_status(postmortem, "published", actor=responder)
    postmortems.set_status(postmortem, "in_review", actor=responder)
    postmortems.set_status(postmortem, "published", actor=responder)
    timeline.add(postmortem.incident, "note", "afterthought", actor=ENGINE)
    drafting.draft_due()
    assert section(postmortem, "timeline").revision == 1
    postmortems.edit_section(section(postmortem, "summary"), "Better", responder, expected_revision=1)
    postmortem.refresh_from_db()
    assert postmortem.status == "amended"
    with pytest.raises(Conflict, match="is amended: new facts no longer change it"):
        postmortems.generate(postmortem.incident, responder)


def test_nothing_is_drafted_behind_the_back_of_whoever_publishes(
    postmortem: Postmortem, responder: Actor
) -> None:
    with transaction.atomic():
        postmortems.set_status(postmortem, "in_review", actor=responder)
        assert timeline.holds(postmortem.incident_id), "drafting needs this lock, too"


def test_the_markdown_links_each_line_to_its_events_and_escapes_titles(
    postmortem: Postmortem, responder: Actor
) -> None:
    postmortems.edit_section(
        section(postmortem, "impact"), "Nobody **bought** anything.", responder, expected_revision=1
    )
    text = postmortems.markdown(postmortem)
    assert text.startswith("# Postmortem: INC\\-1 Checkout \\<b\\>is slow\\<\\/b\\>\n")
    assert f"[\\[1\\]](<http://127.0.0.1:8000/incidents/{postmortem.incident_id}/#event-1>)" in text
    assert "## Impact\n\nNobody **bought** anything." in text
    assert "*What will be done, by whom, and until when?*" in text
    rendered = postmortems.html(text)
    assert "<b>" not in rendered
    assert "&lt;b&gt;is slow" in rendered


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "[x](javascript:alert(1))",
        '<img src=x onerror="alert(1)">',
        "<a href='data:text/html,x'>y</a>",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        "![x](https://evil.example/pixel.png)",
        "<style>*{}</style>",
        "`<b>`",
    ],
)
def test_rendered_markdown_holds_nothing_that_acts(text: str) -> None:
    rendered = postmortems.html(text)
    for bad in ("<script", "<img", "<style", 'href="javascript:', 'href="data:', "<b>"):
        assert bad not in rendered


def test_links_open_safely_and_tables_are_shown() -> None:
    assert 'rel="noopener noreferrer nofollow"' in postmortems.html("[x](https://example.com)")
    assert "<table>" in postmortems.html("| a |\n|---|\n| b |")


def test_reopening_makes_the_draft_wait_for_the_next_resolution(
    postmortem: Postmortem, responder: Actor
) -> None:
    incident = actions.reopen(postmortem.incident, actor=responder)
    timeline.add(incident, "note", "it is back", actor=ENGINE)
    assert drafting.draft_due() == 0
    actions.resolve(incident, actor=responder)
    assert drafting.draft_due() == 1
    assert any("it is back" in line["text"] for line in section(postmortem, "timeline").lines)


def test_only_a_resolution_asks_for_a_draft(
    project: Project, django_capture_on_commit_callbacks: Any
) -> None:
    incident = factories.incident(project)
    with django_capture_on_commit_callbacks() as callbacks, transaction.atomic():
        incident_changed(IncidentChange(incident=incident, kind=ChangeKind.CLOSED, actor=ENGINE))
    assert not any("draft_it" in repr(callback) for callback in callbacks)
