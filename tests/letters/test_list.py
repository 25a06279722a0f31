"""What is given up is on one list until somebody answers for it, and stays readable afterwards."""

from __future__ import annotations

import json
import re

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from handrail.accounts.models import Project
from handrail.alerts.models import Delivery
from handrail.alerts.processing import bury, process_due
from handrail.audit.models import AuditEntry
from handrail.letters.models import DeadLetter
from handrail.letters.queries import figures, letters_for, letters_visible_to
from handrail.outbox import sending
from handrail.outbox.actions import enqueue
from handrail.outbox.errors import Undeliverable
from handrail.outbox.models import OutboxMessage
from handrail.outbox.sending import deliver_due, register_sender, unregister_sender
from runbooks import dead_letters
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    return factories.project("shop")


def dead_delivery(project: Project, body: bytes = b"nonsense") -> Delivery:
    made = factories.delivery(factories.source(project, name=factories.unique("prod")), body)
    bury(made, "it is no JSON")
    made.refresh_from_db()
    return made


def dead_message(project: Project | None) -> OutboxMessage:
    def send(_message: OutboxMessage) -> None:
        raise Undeliverable("the channel does not exist: create it")

    register_sender("test", send)
    try:
        with transaction.atomic():
            made = enqueue(
                "test", "card", factories.unique("key"), {"id": 1}, project=project, destination="#ops"
            )
        deliver_due()
    finally:
        unregister_sender("test")
    made.refresh_from_db()
    assert made.state == OutboxMessage.State.DEAD
    return made


def letter_of(row: Delivery | OutboxMessage) -> DeadLetter:
    return DeadLetter.objects.filter(ref=row.pk).latest("died_at")


def test_a_delivery_that_is_given_up_is_a_letter_with_its_reason(project: Project) -> None:
    letter = letter_of(dead_delivery(project))
    assert (letter.kind, letter.state, letter.project) == ("delivery", "open", project)
    assert letter.what.endswith("(alertmanager) sent")
    assert letter.why == "it is no JSON"


def test_a_message_that_cannot_be_sent_is_a_letter(project: Project) -> None:
    letter = letter_of(dead_message(project))
    assert letter.what == "test message “card” to #ops"
    assert "create it" in letter.why


def test_it_is_one_letter_however_often_it_is_said(project: Project) -> None:
    delivery = dead_delivery(project)
    bury(delivery, "again")
    dead_letters.find_missed()
    assert DeadLetter.objects.count() == 1


def test_something_newer_to_send_settles_the_letter(project: Project) -> None:
    message = dead_message(project)
    with transaction.atomic():
        enqueue("test", "card", message.dedupe_key, {"id": 2}, project=project)
    assert letter_of(message).state == "settled"


def test_a_retried_delivery_is_read_again_and_its_owner_keeps_it_when_it_fails_again(
    project: Project,
) -> None:
    operator = factories.person("ops", {project: "operator"})
    actor = factories.actor(operator)
    delivery = dead_delivery(project)
    first = letter_of(delivery)
    dead_letters.letters.assign(first, operator, actor=actor)
    assert "read again" in dead_letters.retry(first, actor=actor)
    delivery.refresh_from_db()
    assert delivery.verdict == Delivery.Verdict.RECEIVED
    assert DeadLetter.objects.get(pk=first.pk).state == "retried"
    bury(delivery, "still no JSON")
    again = letter_of(delivery)
    assert (again.pk != first.pk, again.owner, again.state) == (True, operator, "open")


def test_a_retry_of_a_stored_delivery_makes_its_alerts_once_its_source_is_mended(project: Project) -> None:
    source = factories.source(project, kind="generic", name="own format", settings={})
    delivery = factories.delivery(source, json.dumps({"name": "Disk full"}).encode())
    bury(delivery, "the mapping has no title")
    source.settings = {"mapping": {"title": "body.name"}}
    source.save()
    dead_letters.retry(
        letter_of(delivery), actor=factories.actor(factories.person(roles={project: "operator"}))
    )
    process_due()
    delivery.refresh_from_db()
    assert delivery.verdict == Delivery.Verdict.PROCESSED, delivery.error
    assert source.alerts.get().title == "Disk full"


def test_a_retried_message_is_sent(project: Project) -> None:
    message = dead_message(project)
    dead_letters.retry(
        letter_of(message), actor=factories.actor(factories.person(roles={project: "operator"}))
    )
    sent: list[OutboxMessage] = []
    register_sender("test", sent.append)
    try:
        sending.deliver_due()
    finally:
        unregister_sender("test")
    assert [each.pk for each in sent] == [message.pk]
    assert letter_of(message).state == "retried"


def test_twice_is_once(project: Project) -> None:
    actor = factories.actor(factories.person(roles={project: "operator"}))
    letter = letter_of(dead_delivery(project))
    dead_letters.retry(letter, actor=actor)
    letter.refresh_from_db()
    assert "already" in dead_letters.retry(letter, actor=actor)
    other = letter_of(dead_delivery(project, b"more"))
    for _ in range(2):
        dead_letters.discard(other, actor=actor, reason="a test of theirs")
    assert AuditEntry.objects.filter(action="dead_letter.discarded").count() == 1
    assert AuditEntry.objects.filter(action="delivery.retried").count() == 1


def test_what_is_discarded_stays_with_who_and_why_and_can_still_be_retried(project: Project) -> None:
    actor = factories.actor(factories.person("ops", {project: "operator"}))
    delivery = dead_delivery(project)
    letter = letter_of(delivery)
    dead_letters.discard(letter, actor=actor, reason="  a drill,\n nobody waits for it ")
    letter.refresh_from_db()
    assert (letter.state, letter.ended_by, letter.reason) == (
        "discarded", actor.name, "a drill, nobody waits for it",
    )  # fmt: skip
    assert bytes(Delivery.objects.get(pk=delivery.pk).body) == b"nonsense"
    assert figures().open == 0
    dead_letters.retry(letter, actor=actor)
    letter.refresh_from_db()
    assert letter.state == "retried"


def test_nothing_is_discarded_without_a_reason(project: Project) -> None:
    actor = factories.actor(factories.person(roles={project: "operator"}))
    letter = letter_of(dead_delivery(project))
    with pytest.raises(dead_letters.Invalid, match="Say why"):
        dead_letters.discard(letter, actor=actor, reason=" ")


def test_each_sees_and_changes_what_is_theirs(project: Project) -> None:
    delivery, message = letter_of(dead_delivery(project)), letter_of(dead_message(project))
    step = factories.dead_letter(project, kind="step")
    nobodys = letter_of(dead_message(None))
    people = {
        role: factories.actor(factories.person(roles={project: role}))
        for role in ("viewer", "responder", "operator")
    }
    owner, stranger = factories.actor(factories.owner()), factories.actor(factories.person())
    seen = {role: set(letters_visible_to(actor)) for role, actor in people.items()}
    assert seen == {"viewer": {step}, "responder": {step}, "operator": {step, delivery, message}}
    assert set(letters_visible_to(stranger)) == set()
    assert nobodys in set(letters_visible_to(owner))
    assert {role: set(letters_for(actor)) for role, actor in people.items()} == {
        "viewer": set(), "responder": {step}, "operator": {delivery, message},
    }  # fmt: skip
    answers = dead_letters.act_on_many(
        [delivery.pk, step.pk, nobodys.pk],
        actor=people["viewer"],
        act=lambda letter: dead_letters.discard(letter, actor=people["viewer"], reason="mine?"),
    )
    assert [answer.done for answer in answers] == [False, False, False]
    assert "do not let you" in answers[1].message
    assert figures().open == 4


def test_rows_of_an_older_version_are_found_and_outdated_letters_end(project: Project) -> None:
    delivery = factories.delivery(factories.source(project), verdict="dead", error="no JSON")
    message = dead_message(project)
    OutboxMessage.objects.filter(pk=message.pk).update(state="sent")
    assert dead_letters.find_missed() == 2
    assert letter_of(delivery).why == "no JSON"
    assert letter_of(message).state == "settled"
    assert dead_letters.find_missed() == 0


def test_figures_count_who_has_no_owner_in_one_query(project: Project) -> None:
    first = letter_of(dead_delivery(project))
    factories.dead_letter(project, kind="step", owner=factories.person(roles={project: "responder"}))
    with CaptureQueriesContext(connection) as captured:
        found = figures()
    assert len(captured) == 1
    assert (found.open, found.unowned, found.deliveries, found.messages, found.steps) == (2, 1, 1, 0, 1)
    assert found.oldest_at == first.died_at


# REST -------------------------------------------------------------------------------------------


def client_of(project: Project, role: str, name: str = "") -> Client:
    made = Client()
    made.force_login(factories.person(name or None, {project: role}))
    return made


def test_many_are_retried_and_discarded_over_rest_and_each_is_answered(project: Project) -> None:
    client = client_of(project, "operator")
    letters = [letter_of(dead_delivery(project, body)) for body in (b"1", b"2", b"3")]
    ids = [str(letter.pk) for letter in letters]
    got = client.post(
        "/api/v1/dead-letters/retry/", {"ids": [ids[0], str(project.pk)]}, content_type="application/json"
    )
    assert got.status_code == 200, got.content
    assert [answer["done"] for answer in got.json()["answers"]] == [True, False]
    refused = client.post("/api/v1/dead-letters/discard/", {"ids": ids[1:]}, content_type="application/json")
    assert refused.status_code == 422
    client.post(
        "/api/v1/dead-letters/discard/",
        {"ids": ids[1:], "reason": "a drill"},
        content_type="application/json",
    )
    listed = client.get("/api/v1/dead-letters/?state=discarded").json()["results"]
    assert {row["id"] for row in listed} == set(ids[1:])
    assert {row["reason"] for row in listed} == {"a drill"}


def test_who_may_not_assign_a_letter_does_not_learn_who_has_an_account(project: Project) -> None:
    letter = factories.dead_letter(project, kind="step")
    factories.person("eve")
    client = client_of(project, "viewer", "vera")
    where = f"/api/v1/dead-letters/{letter.pk}/assign/"
    for name in ("eve", "nobody-at-all"):
        answer = client.post(where, {"owner": name}, content_type="application/json")
        assert answer.status_code == 403


def test_an_owner_is_somebody_who_could_do_something(project: Project) -> None:
    client = client_of(project, "operator", "ops")
    factories.person("eve", {project: "viewer"})
    where = f"/api/v1/dead-letters/{letter_of(dead_delivery(project)).pk}/"
    refused = client.post(f"{where}assign/", {"owner": "eve"}, content_type="application/json")
    assert refused.status_code == 422
    assert "neither retry nor discard" in refused.json()["detail"]
    assert (
        client.post(f"{where}assign/", {"owner": "me"}, content_type="application/json").json()["owner"]
        == "ops"
    )
    assert [row["owner"] for row in client.get("/api/v1/dead-letters/?owner=me").json()["results"]] == ["ops"]
    assert client.get("/api/v1/dead-letters/?owner=nobody").json()["results"] == []
    client.post(f"{where}assign/", {"owner": ""}, content_type="application/json")
    assert client.get(where).json()["owner"] is None


# Pages ------------------------------------------------------------------------------------------


def test_the_page_retries_what_is_ticked_and_says_what_it_did(project: Project) -> None:
    client = client_of(project, "operator")
    ticked, other = (letter_of(dead_delivery(project, body)) for body in (b"1", b"2"))
    text = client.get("/dead-letters/").content.decode()
    assert "2 dead letters wait for somebody" in text
    assert "nobody looks after it" in text
    answer = client.post("/dead-letters/act/", {"act": "retry", "letter": str(ticked.pk)}, follow=True)
    assert "1 dead letter is taken up again." in answer.content.decode()
    other.refresh_from_db()
    assert other.state == "open"


def test_the_page_acts_on_all_that_fit_its_filter(project: Project) -> None:
    client = client_of(project, "admin")
    for body in (b"1", b"2"):
        dead_delivery(project, body)
    step = factories.dead_letter(project, kind="step")
    form = {"act": "discard", "which": "fitting", "kind": "delivery", "reason": "a drill"}
    client.post("/dead-letters/act/", form)
    assert DeadLetter.objects.filter(state="discarded").count() == 2
    step.refresh_from_db()
    assert step.state == "open"
    assert "a drill" in client.get("/dead-letters/?state=discarded").content.decode()


def test_what_is_refused_is_told_on_the_page_with_the_ticks_kept(project: Project) -> None:
    client = client_of(project, "operator")
    letter = letter_of(dead_delivery(project))
    answer = client.post("/dead-letters/act/", {"act": "discard", "letter": str(letter.pk), "reason": ""})
    assert answer.status_code == 422
    assert "Say why it may be discarded" in answer.content.decode()
    assert f'id="letter-{letter.pk}" aria-label="Choose: {letter.what}" checked' in answer.content.decode()
    nothing = client.post("/dead-letters/act/", {"act": "retry", "letter": "nonsense"})
    assert nothing.status_code == 422


def test_the_other_pages_of_a_list_are_reached_from_one_that_refused_a_form(project: Project) -> None:
    for _ in range(26):
        factories.dead_letter(project)
    client = client_of(project, "operator")
    page = client.post(
        "/dead-letters/act/",
        {"act": "discard", "which": "fitting", "reason": "", "state": "open", "csrfmiddlewaretoken": "t"},
    )
    assert page.status_code == 422
    older = re.search(r'rel="next" href="([^"]+)"', page.content.decode())
    assert older is not None
    assert older[1].startswith("/dead-letters/?state=open")
    assert "csrfmiddlewaretoken" not in older[1]
    assert client.get(older[1].replace("&amp;", "&")).status_code == 200


def test_a_letter_shows_what_was_received_as_text(project: Project) -> None:
    client = client_of(project, "operator")
    letter = letter_of(dead_delivery(project, b"<script>alert(1)</script>\x00\xff"))
    text = client.get(f"/dead-letters/{letter.pk}/").content.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "it is no JSON" in text


def test_now_has_a_line_for_whoever_can_do_something(project: Project) -> None:
    dead_delivery(project)
    assert "1 dead letter: given up" in client_of(project, "operator").get("/").content.decode()
    text = client_of(project, "viewer").get("/").content.decode()
    assert "given up" not in text
    assert "1 without an owner" in text
