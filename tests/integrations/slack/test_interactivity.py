"""Buttons and modals: one vote a person whatever Slack repeats, private answers, never a server error."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus

import pytest
from django.db import transaction
from django.test import Client
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import Settings

from handrail.accounts.models import LinkedIdentity, OneTimeLink, Project, User
from handrail.demo.slack.callbacks import signature
from handrail.demo.slack.limits import Fault
from handrail.demo.slack.server import Handler, Server
from handrail.demo.slack.workspace import TEAM_ID, Workspace
from handrail.outbox.models import OutboxMessage
from integrations.slack.card import APPROVE, APPROVE_WITH_INPUTS, DENY
from integrations.slack.interactivity import MAX_BODY
from integrations.slack.models import SlackCallback
from integrations.slack.subscribers import on_approval_changed
from runbooks.approvals import decide
from runbooks.models import Approval, Vote
from tests import factories
from tests.integrations.slack.conftest import RUNBOOK, RUNBOOK_WITH_INPUTS, SECRET, deliver, make_approval

pytestmark = pytest.mark.django_db

URL = "/integrations/slack/interactivity"


@pytest.fixture(autouse=True)
def _secret(settings: Settings) -> None:
    settings.SLACK_SIGNING_SECRET = SECRET


def post(body: bytes, **headers: str) -> Any:
    """A request with Slack's signature, unless ``headers`` say otherwise."""
    timestamp = headers.pop("timestamp", str(int(time.time())))
    signed = headers.pop("signature", signature(SECRET, timestamp, body))
    sent = {"X-Slack-Request-Timestamp": timestamp, "X-Slack-Signature": signed, **headers}
    client = Client(raise_request_exception=False)
    return client.post(URL, body, content_type="application/x-www-form-urlencoded", headers=sent)


def send(payload: object, **headers: str) -> Any:
    return post(b"payload=" + quote_plus(json.dumps(payload)).encode(), **headers)


def click_payload(approval: Approval, action_id: str = APPROVE, **changes: Any) -> dict[str, Any]:
    """A button press as Slack documents it, in an organisation-wide installation at its barest."""
    return {
        "type": "block_actions",
        "user": {"id": "U0LIN", "username": "lin", "team_id": TEAM_ID},
        "team": None,
        "enterprise": {"id": "E1", "name": "Org"},
        "trigger_id": "1.2.abc",
        "channel": {"id": "C0INCIDENTS", "name": "incidents"},
        "actions": [
            {"type": "button", "action_id": action_id, "block_id": "decide", "value": str(approval.pk)}
        ],
        **changes,
    }


def card_of(slack: Workspace, approval: Approval) -> tuple[str, str]:
    """Post the card; its channel and timestamp."""
    with transaction.atomic():
        on_approval_changed(approval)
    deliver()
    message = slack.messages[-1]
    return message.channel, message.ts


def press(fake: Server, approval: Approval, action_id: str, user: str = "U0LIN") -> int:
    channel, ts = card_of(fake.slack.workspace, approval)
    return fake.slack.clicks.click(user=user, channel=channel, ts=ts, action_id=action_id).status


def state(approval: Approval) -> str:
    return Approval.objects.get(pk=approval.pk).state


def notes(slack: Workspace, user: str = "U0LIN") -> list[str]:
    deliver()
    return [note.text for note in slack.notes if note.user == user]


# --- deciding ----------------------------------------------------------------------------------


def test_a_click_approves_before_it_is_acknowledged_and_the_card_follows(
    fake: Server, slack: Workspace, approval: Approval, lin: User
) -> None:
    assert press(fake, approval, APPROVE) == 200
    assert state(approval) == "approved"
    vote = Vote.objects.get()
    assert (vote.user, vote.channel) == (lin, "slack")
    deliver()
    assert "*Approved* by lin (Slack)" in str(slack.messages[-1].blocks)
    assert notes(slack) == []


def test_the_first_of_two_leaves_the_buttons_and_says_what_is_missing(
    fake: Server, slack: Workspace, project: Project, lin: User, max_: User
) -> None:
    approval = make_approval(project, quorum=2)
    press(fake, approval, APPROVE)
    deliver()
    assert "*1 of 2* approvals: lin (Slack)" in str(slack.messages[-1].blocks)
    press(fake, approval, APPROVE, user="U0MAX")
    assert state(approval) == "approved"


def test_a_double_click_is_one_vote_and_is_answered_in_private(
    fake: Server, slack: Workspace, approval: Approval, lin: User
) -> None:
    channel, ts = card_of(slack, approval)
    for _ in range(2):
        fake.slack.clicks.click(user="U0LIN", channel=channel, ts=ts, action_id=APPROVE)
    assert Vote.objects.count() == 1
    [note] = notes(slack)
    assert note.startswith("Already approved by lin")


def test_slacks_own_repetition_is_one_vote_and_says_nothing(
    fake: Server, approval: Approval, lin: User
) -> None:
    assert send(click_payload(approval)).status_code == 200
    assert send(click_payload(approval), **{"X-Slack-Retry-Num": "1"}).status_code == 200
    assert Vote.objects.count() == 1
    assert not OutboxMessage.objects.filter(kind="private").exists()


def test_a_late_clicker_hears_who_decided_and_where(
    fake: Server, slack: Workspace, approval: Approval, lin: User, max_: User
) -> None:
    channel, ts = card_of(slack, approval)
    decide(approval.pk, actor=factories.actor(max_), decision="approve")
    fake.slack.clicks.click(user="U0LIN", channel=channel, ts=ts, action_id=APPROVE)
    [note] = notes(slack)
    assert note.startswith("Already approved by max (web) at")
    assert note.endswith("UTC.")


def test_the_starter_hears_why_not(fake: Server, slack: Workspace, project: Project, lin: User) -> None:
    approval = make_approval(project, excluded=[str(lin.pk)])
    press(fake, approval, APPROVE)
    assert state(approval) == "pending"
    [note] = notes(slack)
    assert "somebody else has to look at it" in note


def test_somebody_of_another_project_learns_nothing(
    fake: Server, slack: Workspace, approval: Approval, other_project: Project
) -> None:
    stranger = factories.person("stranger", {other_project: "approver"})
    factories.linked(stranger, "U0MAX", TEAM_ID)
    press(fake, approval, APPROVE, user="U0MAX")
    assert state(approval) == "pending"
    [note] = notes(slack, "U0MAX")
    assert "fail over" not in note.lower()


def test_an_unlinked_clicker_gets_a_one_time_link_that_only_they_see(
    fake: Server, slack: Workspace, approval: Approval, settings: Settings
) -> None:
    assert press(fake, approval, APPROVE, user="U0SAM") == 200
    assert state(approval) == "pending"
    [note] = notes(slack, "U0SAM")
    assert f"<{settings.BASE_URL}/link/" in note
    link = OneTimeLink.objects.get()
    assert link.data["external_id"] == "U0SAM"
    assert link.data["workspace"] == TEAM_ID
    assert "/link/" not in str(OutboxMessage.objects.get(kind="invitation").payload)


def test_an_account_of_the_same_id_in_another_workspace_is_nobody(
    fake: Server, approval: Approval, lin: User
) -> None:
    user = {"id": "U0LIN", "team_id": "T0OTHER"}
    assert send(click_payload(approval, user=user, team={"id": TEAM_ID})).status_code == 200
    assert state(approval) == "pending"


def test_without_a_channel_the_answer_takes_the_response_url(
    fake: Server, slack: Workspace, approval: Approval, lin: User
) -> None:
    decide(approval.pk, actor=factories.actor(lin), decision="approve")
    token = slack.new_response_token("C0GENERAL", "U0LIN", "1.1")
    payload = click_payload(approval, channel=None, response_url=f"{fake.base_url}/response/{token}")
    assert send(payload).status_code == 200
    [note] = notes(slack)
    assert "Already approved" in note


def test_an_answer_that_breaks_off_is_given_again_later(
    fake: Server, slack: Workspace, approval: Approval, lin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide(approval.pk, actor=factories.actor(lin), decision="approve")
    token = slack.new_response_token("C0GENERAL", "U0LIN", "1.1")
    send(click_payload(approval, channel=None, response_url=f"{fake.base_url}/response/{token}"))

    def break_off(handler: Handler, *_: object) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")
        handler.close_connection = True

    monkeypatch.setattr(Handler, "do_POST", break_off)
    deliver()
    waiting = OutboxMessage.objects.get(kind="private")
    assert (waiting.state, waiting.last_error) == ("pending", "Slack cannot be reached: IncompleteRead")


def test_a_response_url_elsewhere_is_never_called(fake: Server, approval: Approval, lin: User) -> None:
    decide(approval.pk, actor=factories.actor(lin), decision="approve")
    send(click_payload(approval, channel=None, response_url="http://169.254.169.254/latest"))
    deliver()
    assert OutboxMessage.objects.get(kind="private").state == "dead"


# --- modals ------------------------------------------------------------------------------------


def submit(fake: Server, values: Mapping[str, str], user: str = "U0LIN") -> dict[str, Any]:
    answer = fake.slack.clicks.submit(user=user, values=values)
    assert answer.status == 200
    return answer.data()


def test_denying_asks_why_and_shows_it_on_the_card(
    fake: Server, slack: Workspace, approval: Approval, lin: User
) -> None:
    press(fake, approval, DENY)
    assert state(approval) == "pending"
    view = slack.view_of("U0LIN")
    assert view is not None
    assert view.content["title"]["text"] == "Deny"
    assert "POST database: /failover" in str(view.content)
    assert submit(fake, {"reason": "The replica lags.\x00"}) == {}
    assert slack.view_of("U0LIN") is None
    assert state(approval) == "rejected"
    deliver()
    assert "The replica lags." in str(slack.messages[-1].blocks)


def test_a_denial_without_a_reason_is_refused_in_place(
    fake: Server, slack: Workspace, approval: Approval, lin: User
) -> None:
    press(fake, approval, DENY)
    answer = submit(fake, {"reason": "  "})
    assert answer["response_action"] == "errors"
    assert "Say why" in answer["errors"]["reason"]
    assert slack.view_of("U0LIN") is not None
    assert state(approval) == "pending"


def test_an_approval_with_inputs_asks_for_them(
    fake: Server, slack: Workspace, project: Project, lin: User
) -> None:
    approval = make_approval(project, text=RUNBOOK_WITH_INPUTS)
    press(fake, approval, APPROVE_WITH_INPUTS)
    wrong = submit(fake, {"input.lag": "99", "input.region": ""})
    assert set(wrong["errors"]) == {"input.lag", "input.region"}
    assert submit(fake, {"input.lag": "3", "input.region": "eu-1"}) == {}
    assert Vote.objects.get().inputs == {"lag": 3, "region": "eu-1"}
    assert state(approval) == "approved"


def test_a_default_that_is_too_long_for_slack_stays_whole(
    fake: Server, slack: Workspace, project: Project, lin: User
) -> None:
    note = "x" * 3001
    text = RUNBOOK.replace(
        "    for: [go]\n", f"    for: [go]\n    inputs: {{note: {{type: string, default: {note}}}}}\n"
    )
    press(fake, make_approval(project, text=text), APPROVE_WITH_INPUTS)
    view = slack.view_of("U0LIN")
    assert view is not None
    element = view.content["blocks"][-1]["element"]
    assert submit(fake, {"input.note": element.get("initial_value", "")}) == {}
    assert Vote.objects.get().inputs == {"note": note}


def test_a_modal_for_somebody_who_may_not_only_says_why(
    fake: Server, slack: Workspace, project: Project, lin: User
) -> None:
    press(fake, make_approval(project, excluded=[str(lin.pk)]), DENY)
    view = slack.view_of("U0LIN")
    assert view is not None
    assert "submit" not in view.content
    assert "somebody else has to look at it" in str(view.content)


def test_a_modal_for_a_late_clicker_says_who_decided(
    fake: Server, slack: Workspace, approval: Approval, lin: User, max_: User
) -> None:
    channel, ts = card_of(slack, approval)
    decide(approval.pk, actor=factories.actor(max_), decision="deny", reason="no")
    fake.slack.clicks.click(user="U0LIN", channel=channel, ts=ts, action_id=DENY)
    view = slack.view_of("U0LIN")
    assert view is not None
    assert "Already denied by max" in str(view.content)


def test_a_modal_that_was_overtaken_says_so_instead_of_the_form(
    fake: Server, slack: Workspace, approval: Approval, lin: User, max_: User
) -> None:
    press(fake, approval, DENY)
    decide(approval.pk, actor=factories.actor(max_), decision="approve")
    assert submit(fake, {"reason": "too late"})["response_action"] == "update"
    view = slack.view_of("U0LIN")
    assert view is not None
    assert "Already approved by max" in str(view.content)


def test_an_account_unlinked_meanwhile_is_asked_to_link_again(
    fake: Server, slack: Workspace, approval: Approval, lin: User
) -> None:
    press(fake, approval, DENY)
    LinkedIdentity.objects.all().delete()
    assert submit(fake, {"reason": "no"})["response_action"] == "update"
    assert "/link/" in str(slack.views)
    assert state(approval) == "pending"


def test_a_modal_that_slack_does_not_open_is_explained(
    fake: Server, slack: Workspace, approval: Approval, lin: User
) -> None:
    fake.slack.limits.faults["views.open"] = Fault(error="expired_trigger_id")
    assert press(fake, approval, DENY) == 200
    [note] = notes(slack)
    assert "decide on the web" in note


def test_a_modal_that_was_closed_at_once_breaks_nothing(
    fake: Server, slack: Workspace, approval: Approval, lin: User
) -> None:
    fake.slack.limits.faults["views.update"] = Fault(error="not_found")
    assert press(fake, approval, DENY) == 200


# --- what else may arrive ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"timestamp": str(int(time.time()) - 4000)},
        {"timestamp": "junk"},
        {"timestamp": ""},
        {"signature": ""},
        {"signature": "v0=" + "0" * 64},
        {"signature": "v0=ünïcode"},
    ],
)
def test_a_stranger_is_refused_and_changes_nothing(
    approval: Approval, lin: User, changes: dict[str, str]
) -> None:
    assert send(click_payload(approval), **changes).status_code == 401
    assert state(approval) == "pending"
    assert not SlackCallback.objects.exists()


def test_without_a_secret_everybody_is_refused(approval: Approval, lin: User, settings: Settings) -> None:
    settings.SLACK_SIGNING_SECRET = ""
    body = b"payload=" + quote_plus(json.dumps(click_payload(approval))).encode()
    assert post(body, signature=signature("", str(int(time.time())), body)).status_code == 401


def test_a_body_that_is_not_utf_8_is_refused(db: None) -> None:
    assert post(b"payload=\xff\xfe").status_code == 401


def test_a_body_that_is_too_large_is_refused_unread(db: None) -> None:
    assert post(b"x" * (MAX_BODY + 1)).status_code == 413


def test_it_only_takes_posts(client: Client, db: None) -> None:
    assert client.get(URL).status_code == 405


@pytest.mark.parametrize(
    "payload",
    [
        {"type": "block_suggestion", "user": {"id": "U1"}},
        {"type": "shortcut", "callback_id": "x"},
        {"type": "message_action"},
        {"type": "interactive_message", "actions": [{"name": "a", "value": "b"}], "callback_id": "x"},
        {"type": "view_closed", "view": {"callback_id": "approval.decide"}, "user": {"id": "U1"}},
        {"type": "block_actions", "actions": []},
        {"type": "block_actions", "actions": [{"action_id": "approval.details"}]},
        {"type": "block_actions", "actions": [{"action_id": ["unhashable"]}]},
        {"type": "view_submission", "user": {"id": "U1", "team_id": "T1"}, "view": {"callback_id": "other"}},
        {"type": ["x"]},
        {},
    ],
)
def test_what_is_not_for_handrail_is_acknowledged(payload: dict[str, Any], db: None) -> None:
    assert send(payload).status_code == 200


def test_the_check_of_the_address_is_answered_and_events_and_commands_are_acknowledged(db: None) -> None:
    answer = post(b'{"type": "url_verification", "challenge": "abc"}')
    assert (answer.status_code, answer.content) == (200, b"abc")
    assert answer["Content-Type"] == "text/plain"
    assert post(b'{"type": "event_callback", "event": {"type": "message"}}').status_code == 200
    assert post(b"command=%2Fother&text=&user_id=U1").status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"payload=",
        b"payload=%7B",
        b"payload=[]",
        b"payload=1",
        b"other=1",
        b"{",
        b"{" * 5000,
        b"payload=" + b"[" * 100_000,
    ],
)
def test_what_slack_would_never_send_is_a_bad_request(body: bytes, db: None) -> None:
    assert post(body).status_code == 400


def test_a_click_that_names_no_approval_or_nobody_is_a_bad_request(approval: Approval) -> None:
    assert send(click_payload(approval, user={})).status_code == 400
    assert send(click_payload(approval, user={"id": "U\x00", "team_id": "T1"})).status_code == 400
    assert send(click_payload(approval, actions=[{"action_id": APPROVE, "value": "x"}])).status_code == 400


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["user", "team", "channel", "actions", "view", "container", "trigger_id", "response_url"]
)
KINDS = st.sampled_from(["block_actions", "view_submission"])
CALM = hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@CALM
@given(kind=KINDS, changes=st.dictionaries(FIELDS, JSON, max_size=4))
def test_no_signed_payload_is_a_server_error(
    fake: Server, approval: Approval, lin: User, kind: str, changes: dict[str, Any]
) -> None:
    metadata = json.dumps({"approval": str(approval.pk), "decision": "approve"})
    payload = click_payload(approval, DENY) | {
        "type": kind,
        "view": {"callback_id": "approval.decide", "private_metadata": metadata, "state": {"values": {}}},
        **changes,
    }
    assert send(payload).status_code < 500


@CALM
@given(body=st.binary(max_size=300))
def test_no_body_is_a_server_error(db: None, body: bytes) -> None:
    assert post(body).status_code in (200, 400, 401)


def test_a_callback_is_remembered_for_the_check(approval: Approval, lin: User) -> None:
    send(click_payload(approval))
    assert SlackCallback.objects.get().kind == "click"
