"""Now, incidents, alerts, the audit trail and the palette, as people get them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from handrail.accounts.models import Project, User
from handrail.audit.models import AuditEntry
from handrail.incidents import timeline
from handrail.incidents.lifecycle import TABLE, Status, Verb
from handrail.incidents.models import Incident, TimelineEvent
from handrail.shared.actors import Actor
from handrail.vault.actions import set_secret
from handrail.web.incident_offers import OFFERS, offered
from runbooks import dead_letters
from tests import factories
from tests.web.evening import Evening, evening
from tests.web.scene import Scene

Browse = Callable[[User], Client]


@pytest.fixture
def night(scene: Scene) -> Evening:
    return evening(scene)


def address(incident: Incident, rest: str = "") -> str:
    return f"/incidents/{incident.pk}/{rest}"


def text_of(client: Client, where: str, status: int = 200) -> str:
    answer = client.get(where)
    assert answer.status_code == status
    return answer.content.decode()


# --- Now -------------------------------------------------------------------------------------


def test_now_begins_with_what_needs_this_very_person(night: Evening, browse: Browse) -> None:
    page = text_of(browse(night.ada), "/")
    assert "<h1>2 things need you</h1>" in page
    assert f"/approvals/{night.approval.pk}/" in page
    assert "Outcome unknown: “Fail the database over”" in page
    assert page.index("Fail over the checkout database") < page.index("INC-42")


def test_whoever_only_looks_needs_to_do_nothing(night: Evening, browse: Browse) -> None:
    page = text_of(browse(night.vera), "/")
    assert "<h1>2 incidents are open</h1>" in page
    assert "Review" not in page
    assert "nobody acknowledged it for" in page
    assert "Waiting for 1 more approval" in page


def test_now_of_another_project_shows_nothing_of_this_one(
    night: Evening, browse: Browse, other_project: Project
) -> None:
    page = text_of(browse(factories.person(roles={other_project: "admin"})), "/")
    assert "INC-42" not in page
    assert "checkout" not in page.replace('"service": "checkout"', "").replace("&quot;checkout&quot;", "")
    assert "No incident yet" in page


def test_an_empty_now_shows_how_to_send_the_first_alert(project: Project, browse: Browse) -> None:
    page = text_of(browse(factories.person(roles={project: "admin"})), "/")
    assert "All quiet" in page
    assert "/hooks/v1/alertmanager/KEY" in page


def test_now_tells_of_dead_letters_that_nobody_looks_after(night: Evening, browse: Browse) -> None:
    factories.delivery(night.alert.source, b"{", verdict="dead")
    dead_letters.find_missed()
    page = text_of(browse(night.ada), "/")
    assert "needs an operator" in page
    assert "1 without an owner" in page


# --- the list --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("", {41, 42}),
        ("state=ended", {40}),
        ("state=all", {40, 41, 42}),
        ("state=nonsense", {41, 42}),
        ("severity=SEV1", {42}),
        ("severity=sev3", {41}),
        ("service=checkout", {42}),
        ("q=disk+DB", {41}),
        ("q=INC-42", {42}),
        ("q=41", {41}),
        ("q=eu-1", {42}),
        ("q=%00", {41, 42}),
        ("q=99999999999999999999", set()),
        ("before=nonsense&after=also", {41, 42}),
    ],
)
def test_the_list_is_filtered(night: Evening, browse: Browse, query: str, numbers: set[int]) -> None:
    page = text_of(browse(night.vera), f"/incidents/?{query}")
    assert {number for number in (40, 41, 42) if f">INC-{number}<" in page} == numbers


def test_the_list_has_pages(night: Evening, browse: Browse) -> None:
    for number in range(1000, 1030):
        factories.incident(night.project, number=number)
    client = browse(night.vera)
    page = text_of(client, "/incidents/")
    assert page.count('class="row"') == 25
    older = page.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    assert text_of(client, f"/incidents/{older}").count('class="row"') == 7


def test_other_projects_are_not_listed_and_not_found(
    night: Evening, browse: Browse, other_project: Project
) -> None:
    stranger = browse(factories.person(roles={other_project: "admin"}))
    assert "INC-42" not in text_of(stranger, "/incidents/?state=all")
    for where in ("", "live/"):
        assert "High error rate" not in text_of(stranger, address(night.incident, where), 404)
    assert "HighErrorRate" not in text_of(stranger, f"/alerts/{night.alert.pk}/", 404)
    assert stranger.post(address(night.incident, "resolve/")).status_code == 404


# --- declaring -------------------------------------------------------------------------------


def test_a_person_declares_an_incident_with_a_first_note(night: Evening, browse: Browse) -> None:
    fields = {
        "title": "Checkout is slow",
        "severity": "SEV2",
        "project": night.project.pk,
        "note": "p95 is 4 s",
    }
    answer = browse(night.resi).post("/incidents/new/", fields)
    made = Incident.objects.get(title="Checkout is slow")
    assert (answer.status_code, answer["Location"]) == (303, address(made))
    assert made.acknowledged_at is not None
    assert TimelineEvent.objects.filter(incident=made, kind="note", text="p95 is 4 s").exists()


def test_a_declaration_without_a_title_is_told_so_in_place(night: Evening, browse: Browse) -> None:
    answer = browse(night.resi).post("/incidents/new/", {"title": " ", "severity": "SEV9", "note": "kept"})
    assert answer.status_code == 422
    page = answer.content.decode()
    assert "This field is required." in page
    assert "kept" in page


def test_whoever_only_looks_may_not_declare(night: Evening, browse: Browse) -> None:
    assert browse(night.vera).get("/incidents/new/").status_code == 403
    assert "Declare an incident" not in text_of(browse(night.vera), "/incidents/")
    assert 'href="/incidents/new/"' not in text_of(browse(night.vera), "/")


# --- one incident ----------------------------------------------------------------------------


def test_the_page_answers_what_when_who_and_why(night: Evening, browse: Browse) -> None:
    page = text_of(browse(night.ada), address(night.incident))
    for told in (
        "<h1>High error rate on checkout in eu-1</h1>",
        "SEV1",
        "detected <strong>+40 s</strong>",
        "contained <span>-</span>",
        "Ada Lovelace",
        "1 open, 212 seen",
        "why here?",
        "Opened INC-42: nothing is open for checkout in eu-1",
        "The shift to us-1 made it worse:<br>p95",
        'id="event-3"',
        f'href="/runs/{night.run.pk}/"',
        f'href="/alerts/{night.alert.pk}/"',
        "Waiting for 1 more approval",
    ):
        assert told in page, told


def test_whoever_only_looks_gets_no_buttons_and_is_refused(night: Evening, browse: Browse) -> None:
    client = browse(night.vera)
    page = text_of(client, address(night.incident))
    assert f'action="{address(night.incident)}' not in page
    answer = client.post(address(night.incident, "mitigate/"))
    assert answer.status_code == 403
    assert "that needs responder or admin" in answer.content.decode()


@pytest.mark.parametrize("status", list(Status))
def test_only_what_is_possible_is_offered(status: Status) -> None:
    incident = Incident(status=status)
    given = offered(incident, may_respond=True)
    verbs = [offer.verb for offer in (given.primary, *given.beside, *given.menu) if offer]
    assert sorted(verbs) == sorted(verb for verb in Verb if status in TABLE[verb].targets)
    assert len(set(verbs)) == len(verbs)


def test_every_verb_of_the_lifecycle_has_a_button_and_says_what_will_happen() -> None:
    assert set(OFFERS) == set(Verb)
    assert all(offer.effect for offer in OFFERS.values())


@pytest.mark.parametrize(
    ("verb", "fields", "status"),
    [
        ("identify", {"reason": "a full disk"}, "identified"),
        ("mitigate", {}, "mitigated"),
        ("resolve", {"reason": "it is over"}, "resolved"),
        ("cancel", {"reason": "a drill"}, "cancelled"),
        ("merge", {"into": "INC-41"}, "merged"),
    ],
)
def test_a_button_does_its_verb_in_the_person_s_name(
    night: Evening, browse: Browse, verb: str, fields: dict[str, str], status: str
) -> None:
    answer = browse(night.resi).post(address(night.incident, f"{verb}/"), fields, follow=True)
    assert answer.redirect_chain == [(address(night.incident), 303)]
    night.incident.refresh_from_db()
    assert night.incident.status == status
    entry = AuditEntry.objects.order_by("-n").first()
    assert entry is not None
    assert (entry.actor_name, entry.channel) == ("Resi Vogt", "web")


def test_acknowledging_a_second_time_says_who_was_faster_in_place(night: Evening, browse: Browse) -> None:
    answer = browse(night.ada).post(address(night.incident, "acknowledge/"))
    page = answer.content.decode()
    assert answer.status_code == 409
    assert "Nothing was changed" in page
    assert "Resi Vogt" in page
    # The answer stands below another address: nothing on it may fetch that address.
    assert "data-live=" not in page


def test_a_cancellation_without_a_reason_is_refused_in_words(night: Evening, browse: Browse) -> None:
    answer = browse(night.resi).post(address(night.incident, "cancel/"), {"reason": " "})
    assert answer.status_code == 422
    assert "a reason is needed" in answer.content.decode()


@pytest.mark.parametrize("into", ["", "INC-", "7777", "INC-42", "-1", "41; drop", "9" * 400])
def test_a_merge_into_nothing_changes_nothing(night: Evening, browse: Browse, into: str) -> None:
    answer = browse(night.resi).post(address(night.incident, "merge/"), {"into": into})
    assert answer.status_code in (404, 422)
    night.incident.refresh_from_db()
    assert night.incident.is_open


@pytest.mark.parametrize("verb", ["delete", "note", "severity", "auto-resolve"])
def test_nonsense_is_never_a_fault_of_ours(night: Evening, browse: Browse, verb: str) -> None:
    answer = browse(night.resi).post(address(night.incident, f"{verb}/"), {"text": "", "severity": "SEV0"})
    assert answer.status_code in (404, 422)


def test_command_severity_hold_and_note_by_their_forms(night: Evening, browse: Browse) -> None:
    client = browse(night.resi)
    for verb, fields in (
        ("take-command", {}),
        ("severity", {"severity": "SEV2", "reason": "only some"}),
        ("auto-resolve", {"mode": "never"}),
        ("note", {"text": "Rolled back <b>checkout</b>"}),
    ):
        assert client.post(address(night.incident, f"{verb}/"), fields).status_code == 303
    night.incident.refresh_from_db()
    row = night.incident
    assert (row.commander, row.severity, row.auto_resolve) == (night.resi, "SEV2", "never")
    assert "Rolled back &lt;b&gt;checkout&lt;/b&gt;" in text_of(client, address(row))


def test_a_form_that_another_site_sends_is_refused(night: Evening) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(night.resi)
    assert client.post(address(night.incident, "resolve/")).status_code == 403


@pytest.mark.parametrize(
    ("show", "kinds"),
    [
        ("decisions", ("incident.", "approval.")),
        ("runs", ("run.", "step.")),
        ("messages", ("note",)),
        ("alerts", ("alert.",)),
    ],
)
def test_the_timeline_shows_one_kind(
    night: Evening, browse: Browse, show: str, kinds: tuple[str, ...]
) -> None:
    page = text_of(browse(night.vera), f"{address(night.incident)}?show={show}")
    events = TimelineEvent.objects.filter(incident=night.incident)
    assert {event.n for event in events if f'id="event-{event.n}"' in page} == {
        event.n for event in events if event.kind.startswith(kinds)
    }


def test_a_long_timeline_has_pages(night: Evening, browse: Browse) -> None:
    for n in range(230):
        timeline.add(night.incident, "note", f"note {n}", actor=Actor.system("test"))
    client = browse(night.ada)
    page = text_of(client, address(night.incident))
    assert page.count('class="event ') == 200
    older = page.split("before=")[1].split("#")[0]
    assert text_of(client, f"{address(night.incident)}?before={older}").count('class="event ') == 41
    for nonsense in ("x", "-1", "9" * 50, "\u0663"):
        assert text_of(client, f"{address(night.incident)}?before={nonsense}").count('class="event ') == 200


def test_the_page_is_told_what_changed_and_nothing_else(night: Evening, browse: Browse) -> None:
    client = browse(night.ada)

    def hint(known: str = "") -> str:
        headers = {"Last-Event-ID": known} if known else {}
        answer = client.get(address(night.incident, "live/"), headers=headers)
        assert answer["Content-Type"].startswith("text/event-stream")
        return b"".join(answer.streaming_content).decode()

    known = hint().split("id: ")[1].split("\n")[0]
    assert "event: refresh" not in hint(known)
    timeline.add(night.incident, "note", "secret words", actor=Actor.system("test"))
    told = hint(known)
    assert "event: refresh\ndata: timeline" in told
    assert "secret" not in told
    assert "event: refresh" not in hint("nonsense")


# --- alerts ----------------------------------------------------------------------------------


def test_an_alert_says_why_and_shows_what_was_sent_as_text(night: Evening, browse: Browse) -> None:
    page = text_of(browse(night.ada), f"/alerts/{night.alert.pk}/")
    assert "Started high-error-rate v1: error-rate matched" in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page
    assert "javascript:" not in page
    assert 'href="https://prometheus.example/graph?g0.expr=errors"' in page
    assert address(night.incident) in page


def test_bodies_are_for_operators_alone(night: Evening, browse: Browse) -> None:
    page = text_of(browse(night.vera), f"/alerts/{night.alert.pk}/")
    assert "operators of Shop see it here" in page
    assert "groupLabels" not in page


def test_a_body_is_shown_without_the_secret_of_its_source(
    project: Project, admin: Actor, browse: Browse
) -> None:
    set_secret(project, "hook", "s3cr3t/token", actor=admin)
    source = factories.source(project, secret_reference="local:hook")
    body = b'{"text": "from the monitor", "token": "s3cr3t\\/token"}'
    sent = factories.delivery(source, body, verdict="processed")
    alert = factories.alert(project, source, first_delivery_id=sent.pk, last_delivery_id=sent.pk)
    page = text_of(browse(factories.person(roles={project: "operator"})), f"/alerts/{alert.pk}/")
    assert "from the monitor" in page
    assert "s3cr3t" not in page


@pytest.mark.parametrize("body", [b"\xff\xfe\x00not json", b"[" * 5000 + b"]" * 5000, b"x" * 100_000])
def test_a_strange_body_is_shown_all_the_same(night: Evening, browse: Browse, body: bytes) -> None:
    type(night.alert.last_delivery).objects.filter(pk=night.alert.last_delivery_id).update(body=body)
    text_of(browse(night.ada), f"/alerts/{night.alert.pk}/")


# --- audit -----------------------------------------------------------------------------------


def test_the_trail_is_for_auditors_and_for_admins_of_their_own_projects(
    night: Evening, browse: Browse, owner: User, other_project: Project
) -> None:
    assert browse(night.resi).get("/audit/").status_code == 403
    assert "runbook.published" in text_of(browse(owner), "/audit/")
    assert "runbook.published" in text_of(browse(night.ada), "/audit/")
    elsewhere = browse(factories.person(roles={other_project: "admin"}))
    assert "runbook.published" not in text_of(elsewhere, "/audit/")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("actor=lovelace&action=incident.re", True),
        ("action=approval.", False),
        ("object=INC-40", True),
        ("object=incident", True),
        ("since=2001-01-01", True),
        ("until=2001-01-01", False),
        ("since=2001-02-31", True),
        ("since=nonsense&until=0000-00-00T99", True),
        ("actor=%00", True),
    ],
)
def test_the_trail_is_filtered(night: Evening, browse: Browse, query: str, found: bool) -> None:
    assert ("incident.resolved" in text_of(browse(night.ada), f"/audit/?{query}")) is found


def test_verifying_says_that_all_is_intact_or_where_it_is_not(
    night: Evening, browse: Browse, owner: User
) -> None:
    client = browse(owner)
    assert "Intact: all" in client.post("/audit/verify/", follow=True).content.decode()
    last = AuditEntry.objects.order_by("-n")[0]
    last.n += 2
    last.pk = None
    last.save(force_insert=True)
    assert "Intact" in client.post("/audit/verify/", follow=True).content.decode()
    assert browse(night.ada).post("/audit/verify/").status_code == 403


# --- jump ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("INC-42", "incident"),
        ("high error", "runbook"),
        ("audit", "page"),
        ("", "incident"),
        ("{run}", "run,"),
    ],
)
def test_the_palette_finds_by_what_things_are_called(
    night: Evening, browse: Browse, words: str, kind: str
) -> None:
    words = words.replace("{run}", night.run.pk.hex[-8:])
    answer = browse(night.vera).get("/jump", {"q": words}, headers={"HX-Request": "true"})
    assert kind in answer.content.decode()
    assert "<html" not in answer.content.decode()


@pytest.mark.parametrize("words", ["\x00", "%" * 300, "(((", "\uff19", "zzzz"])
def test_the_palette_takes_any_words(night: Evening, browse: Browse, words: str) -> None:
    assert "Nothing found" in text_of(browse(night.vera), f"/jump?q={words}") or words == "\x00"


def test_the_palette_finds_nothing_of_other_projects(
    night: Evening, browse: Browse, other_project: Project
) -> None:
    stranger = browse(factories.person(roles={other_project: "admin"}))
    for words in ("INC-42", "high", night.run.pk.hex[-8:]):
        assert "Nothing found" in text_of(stranger, f"/jump?q={words}")
