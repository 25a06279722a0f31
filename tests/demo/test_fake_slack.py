"""The fake Slack refuses what the real one refuses, and its page can be used by everybody."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from handrail.demo.slack import page
from handrail.demo.slack.blocks import problems_of_blocks, problems_of_view
from handrail.demo.slack.callbacks import App, signature
from handrail.demo.slack.limits import Limits, Pace
from handrail.demo.slack.markup import mrkdwn_html
from handrail.demo.slack.server import Server, make_server

TOKEN = "xoxb-test"
MODAL = {
    "type": "modal",
    "title": {"type": "plain_text", "text": "Deny"},
    "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "One moment"}}],
}
BUTTON = {"type": "button", "action_id": "go", "text": {"type": "plain_text", "text": "Go"}, "value": "v"}
CARD = [{"type": "actions", "block_id": "a", "elements": [BUTTON]}]


@pytest.fixture
def fake() -> Iterator[Server]:
    server = make_server("127.0.0.1", 0, token=TOKEN, app=App("http://127.0.0.1:9/", "s", retries=0))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def ask(
    fake: Server, method: str, path: str, body: bytes = b"", **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", fake.server_address[1], timeout=10)
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, content, {name.lower(): value for name, value in response.getheaders()}


def call(fake: Server, method: str, token: str = TOKEN, **arguments: Any) -> dict[str, Any]:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    _, content, _ = ask(fake, "POST", f"/api/{method}", json.dumps(arguments).encode(), **headers)
    answer: dict[str, Any] = json.loads(content)
    return answer


def test_the_token_is_checked(fake: Server) -> None:
    assert call(fake, "auth.test")["ok"]
    assert call(fake, "auth.test", token="")["error"] == "not_authed"
    assert call(fake, "auth.test", token="xoxb-other")["error"] == "invalid_auth"


@pytest.mark.parametrize(
    ("method", "arguments", "error"),
    [
        ("chat.postMessage", {"text": "x"}, "invalid_arguments"),
        ("chat.postMessage", {"channel": "#nowhere", "text": "x"}, "channel_not_found"),
        ("chat.postMessage", {"channel": "#general"}, "no_text"),
        ("chat.postMessage", {"channel": "#general", "text": "x" * 40_001}, "msg_too_long"),
        ("chat.postMessage", {"channel": "#general", "blocks": [{"type": "headr"}]}, "invalid_blocks"),
        ("chat.postMessage", {"channel": "#general", "blocks": "{"}, "invalid_json"),
        ("chat.postMessage", {"channel": "#general", "text": "x", "thread_ts": "1.1"}, "thread_not_found"),
        ("chat.update", {"channel": "C0GENERAL", "ts": "1.1", "text": "x"}, "message_not_found"),
        ("chat.update", {"channel": "#general", "ts": "1.1", "text": "x"}, "channel_not_found"),
        ("chat.postEphemeral", {"channel": "#general", "user": "U0", "text": "x"}, "user_not_in_channel"),
        ("views.open", {"trigger_id": "1.2.3", "view": MODAL}, "invalid_trigger_id"),
        ("views.update", {"view_id": "V0", "view": MODAL}, "not_found"),
        ("users.info", {"user": "U0ADA"}, "invalid_arguments"),
        ("chat.destroy", {}, "unknown_method"),
    ],
)
def test_what_the_real_one_refuses(fake: Server, method: str, arguments: dict[str, Any], error: str) -> None:
    assert call(fake, method, **arguments)["error"] == error


def test_a_trigger_opens_one_modal_within_three_seconds(fake: Server) -> None:
    workspace = fake.slack.workspace
    now = [1000.0]
    workspace.clock = lambda: now[0]
    trigger = workspace.new_trigger("U0ADA")
    opened = call(fake, "views.open", trigger_id=trigger, view=MODAL)
    assert opened["ok"]
    assert call(fake, "views.open", trigger_id=trigger, view=MODAL)["error"] == "exchanged_trigger_id"
    late = workspace.new_trigger("U0ADA")
    now[0] += 3.1
    assert call(fake, "views.open", trigger_id=late, view=MODAL)["error"] == "expired_trigger_id"
    view_id = opened["view"]["id"]
    assert call(fake, "views.update", view_id=view_id, hash="other", view=MODAL)["error"] == "hash_conflict"
    assert call(fake, "views.update", view_id=view_id, hash=opened["view"]["hash"], view=MODAL)["ok"]


def test_posting_has_a_pace_with_a_wait(fake: Server) -> None:
    now = [0.0]
    fake.slack.limits.clock, fake.slack.limits.chat = lambda: now[0], Pace(per_second=1.0, burst=2)
    for _ in range(2):
        assert call(fake, "chat.postMessage", channel="#general", text="x")["ok"]
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/x-www-form-urlencoded"}
    body = urlencode({"channel": "#general", "text": "x"}).encode()
    status, content, answered = ask(fake, "POST", "/api/chat.postMessage", body, **headers)
    assert (status, json.loads(content)["error"], answered["retry-after"]) == (429, "ratelimited", "1")
    assert call(fake, "chat.postMessage", channel="#incidents", text="x")["ok"], "another channel"
    now[0] += 1.0
    assert call(fake, "chat.postMessage", channel="#general", text="x")["ok"]


def test_the_wait_grows_with_what_is_owed() -> None:
    limits = Limits(lambda: 0.0, method=Pace(per_second=0.1, burst=1))
    assert [limits.refuse("chat.update", "C1"), limits.refuse("chat.update", "C2")] == [0, 10]


def test_faults_are_answered_on_demand(fake: Server) -> None:
    order = json.dumps({"method": "chat.postMessage", "status": 503, "times": 1}).encode()
    ask(fake, "POST", "/api/fake/fail", order, **{"Content-Type": "application/json"})
    assert not call(fake, "chat.postMessage", channel="#general", text="x")["ok"]
    assert call(fake, "chat.postMessage", channel="#general", text="x")["ok"]


@pytest.mark.parametrize(
    ("blocks", "problem"),
    [
        ({}, "must be an array"),
        ([{"type": "divider"}] * 51, "no more than 50"),
        ([{"type": "divider", "block_id": "a"}, {"type": "divider", "block_id": "a"}], "must be unique"),
        ([{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}], "less than 151"),
        ([{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}], "plain_text"),
        ([{"type": "section"}], "text or fields"),
        ([{"type": "section", "text": {"type": "mrkdwn", "text": ""}}], "more than 0"),
        ([{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}}], "less than 3001"),
        ([{"type": "context", "elements": []}], "1 to 10"),
        ([{"type": "actions", "elements": [BUTTON, BUTTON]}], "unique in its block"),
        ([{"type": "actions", "elements": [BUTTON | {"value": "x" * 2001}]}], "less than 2001"),
        ([{"type": "actions", "elements": [BUTTON | {"style": "green"}]}], "primary or danger"),
        (
            [{"type": "actions", "elements": [{"type": "datepicker", "action_id": "d"}]}],
            "unsupported element",
        ),
        (["x"], "must be an object"),
    ],
)
def test_the_limits_of_blocks(blocks: Any, problem: str) -> None:
    assert any(problem in found for found in problems_of_blocks(blocks))


def test_the_limits_of_modals() -> None:
    assert problems_of_view(MODAL) == []
    assert problems_of_view([]) != []
    assert any(
        "25" in p for p in problems_of_view(MODAL | {"title": {"type": "plain_text", "text": "x" * 25}})
    )
    question = {
        "type": "input",
        "label": {"type": "plain_text", "text": "Why?"},
        "element": {"type": "plain_text_input", "action_id": "why"},
    }
    assert any("submit" in problem for problem in problems_of_view(MODAL | {"blocks": [question]}))


def test_a_click_on_what_is_not_there_is_said(fake: Server) -> None:
    body = json.dumps({"user": "U0ADA", "channel": "#general", "ts": "1", "action_id": "go"}).encode()
    status, content, _ = ask(fake, "POST", "/api/fake/click", body, **{"Content-Type": "application/json"})
    assert status == 409
    assert "no message" in json.loads(content)["error"]


def test_an_app_that_does_not_answer_is_noted(fake: Server) -> None:
    posted = call(fake, "chat.postMessage", channel="#general", blocks=CARD)
    answer = fake.slack.clicks.click(user="U0ADA", channel="C0GENERAL", ts=posted["ts"], action_id="go")
    assert answer.status == 0
    assert fake.slack.workspace.received[0].status == 0


def test_the_signature_is_slacks_own_example() -> None:
    """The shape of https://docs.slack.dev/authentication/verifying-requests-from-slack, values of our own."""
    assert signature("secret", "1", b"x=1").startswith("v0=")
    assert len(signature("secret", "1", b"x=1")) == 67


def test_the_page_shows_buttons_to_whoever_is_chosen(fake: Server) -> None:
    call(fake, "chat.postMessage", channel="#general", text="t", blocks=CARD)
    status, content, headers = ask(fake, "GET", "/?channel=general&user=U0LIN")
    html = content.decode()
    assert status == 200
    assert headers["content-security-policy"] == page.POLICY
    assert '<button class="button plain">Go</button>' in html
    assert 'name="user" value="U0LIN"' in html
    assert "style=" not in html
    assert "onclick" not in html


def test_a_form_of_another_site_presses_nothing(fake: Server) -> None:
    status, _, _ = ask(fake, "POST", "/do/click", b"user=U0ADA", **{"Sec-Fetch-Site": "cross-site"})
    assert status == 403


def test_a_press_on_the_page_leads_back_to_it(fake: Server) -> None:
    status, _, headers = ask(fake, "POST", "/do/click", b"user=U0ADA&channel=general")
    assert (status, headers["location"]) == (303, "/?channel=general&user=U0ADA#latest")
    assert "There is no message" in fake.slack.workspace.notes[0].text


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("*bold* and `code`", "<strong>bold</strong> and <code>code</code>"),
        ("&lt;b&gt; &amp;", "&lt;b&gt; &amp;"),
        ("<script>", "&lt;script&gt;"),
        (
            "<https://a.test/?a=1&amp;b=2|here>",
            '<a href="https://a.test/?a=1&amp;b=2" target="_blank" rel="noopener">here</a>',
        ),
        ("<javascript:alert(1)|x>", "&lt;javascript:alert(1)|x&gt;"),
        ("<!date^0^{time}|then>", "<time>00:00 UTC</time>"),
        ("```\n*a*\n```", "<pre><code>*a*</code></pre>"),
    ],
)
def test_markup_becomes_html_and_nothing_else_does(text: str, html: str) -> None:
    assert mrkdwn_html(text) == html


def test_what_is_too_large_or_unknown_is_refused(fake: Server) -> None:
    assert ask(fake, "GET", "/nothing")[0] == 404
    assert ask(fake, "POST", "/nothing")[0] == 404
    connection = http.client.HTTPConnection("127.0.0.1", fake.server_address[1], timeout=10)
    connection.putrequest("POST", "/api/auth.test")
    connection.putheader("Content-Length", "99999999")
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()
