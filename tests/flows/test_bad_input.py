"""Hostile input at every address: never a 5xx, never a change of state, and the memory of the web stays steady."""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest
from django.apps import apps

from tests.authz.routes import routes
from tests.flows.harness import Installation
from tests.flows.hostile import FORM, HUGE, Body, Wire, bodies, slack_payloads
from tests.flows.services import embedded

pytestmark = pytest.mark.parametrize("backend", [embedded], indirect=True, scope="module")

SLACK = "/integrations/slack/interactivity"
NIL = "01900000-0000-7000-8000-000000000000"
FILLINGS = {"uuid": NIL, "int": "7"}
NOT_STATE = ("axes", "sessions", "slack.slackcallback", "migrations")
"""What a refused stranger may leave behind: counters against guessing, and the time of the last callback."""

STEADY_BYTES = 48 * 1024 * 1024


@pytest.fixture(scope="module")
def started() -> tuple[str, ...]:
    """The web alone: whatever changes was changed by a request."""
    return ("web",)


@pytest.fixture(autouse=True)
def _nothing_changes(handrail: Installation) -> Iterator[None]:
    before = state(handrail)
    yield
    assert state(handrail) == before
    assert "Traceback" not in handrail.processes[0].said()


def state(handrail: Installation) -> dict[str, tuple[int, str]]:
    """How many rows each table has, and its highest key."""
    found = {}
    for model in apps.get_models():
        name = model._meta.label_lower
        if model._meta.managed and not name.startswith(NOT_STATE):
            keys = handrail.rows(model).order_by("-pk").values_list("pk", flat=True)
            found[name] = keys.count(), str(keys.first())
    return found


def addresses() -> list[str]:
    """Every address of the URL configuration, with parameters that lead nowhere."""
    found = {
        re.sub(r"<(?:(\w+):)?\w+>", lambda match: FILLINGS.get(match.group(1), "nothing"), route.path)
        for route in routes()
        if "(?P" not in route.path and "^" not in route.path
    }
    return sorted(path for path in found if path.startswith("/"))


def open_addresses(handrail: Installation) -> list[str]:
    """Where a stranger gets further than to the door."""
    return [
        handrail.seeded.hook,
        handrail.seeded.generic_hook,
        "/hooks/v1/alertmanager/no-such-key",
        "/hooks/v1/nothing/key",
        "/hooks/",
        SLACK,
        "/sign-in/",
        "/link/nothing/",
        "/healthz",
        "/readyz",
        "/api/v1/incidents/",
        f"/api/v1/approvals/{NIL}/decide/",
    ]


def refused(client: httpx2.Client, method: str, path: str, body: Body, headers: dict[str, str]) -> None:
    """Send it; any answer but a 5xx will do, and so will a connection that is closed."""
    try:
        answer = client.request(
            method,
            path,
            content=body.content,
            headers={"Content-Type": body.kind, **body.headers, **headers},
        )
    except httpx2.TransportError:
        return
    assert answer.status_code < 500, f"{method} {path} with {body.name}: {answer.status_code}"


@pytest.mark.parametrize(
    "token", ["", "Bearer nonsense", "Bearer hr_" + "x" * 43], ids=["nobody", "junk", "wrong"]
)
def test_every_address_withstands_every_method(handrail: Installation, token: str) -> None:
    chosen = [
        body for body in bodies() if body.name in ("deep objects", "invalid UTF-8", "broken percents", "NUL")
    ]
    headers = {"Authorization": token} if token else {}
    paths = addresses()
    assert len(paths) > 30
    if token:
        paths = [path for path in paths if path.startswith("/api/")]

    def attack(path: str) -> None:
        with handrail.client() as client:
            for method in ("GET", "POST", "PUT", "DELETE", "PROPFIND"):
                if not path.endswith("/live/"):
                    for body in chosen if method == "POST" else chosen[:1]:
                        refused(client, method, path, body, headers)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(attack, paths))


def test_what_is_open_to_strangers_withstands_every_body(handrail: Installation) -> None:
    def attack(path: str) -> None:
        with handrail.client() as client:
            for body in [*bodies(), HUGE]:
                # The generic source takes whatever object it is sent: that is its purpose.
                if not (body.is_readable and path == handrail.seeded.generic_hook):
                    refused(client, "POST", path, body, {})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(attack, open_addresses(handrail)))


def test_absurd_requests_are_refused(handrail: Installation) -> None:
    wire = Wire(handrail.base_url)
    for path in open_addresses(handrail):
        for request in wire.absurd(path):
            assert wire.send(request) < 500, f"{path}: {request[:200]!r}"


def test_a_body_without_a_length_is_cut_off(handrail: Installation) -> None:
    wire = Wire(handrail.base_url)
    for path in open_addresses(handrail):
        status = wire.send(*wire.chunked(path, 65_536, 100))
        assert status < 500, f"{path}: {status}"
    assert wire.send(*wire.chunked(handrail.seeded.hook, 65_536, 100)) in (0, 413)


def test_slow_senders_keep_nobody_waiting(handrail: Installation) -> None:
    wire = Wire(handrail.base_url)
    with ExitStack() as stack:
        for path in open_addresses(handrail) * 5:
            stack.enter_context(wire.half(path))
        with handrail.client() as client:
            assert client.get("/healthz").status_code == 200
            assert client.get("/sign-in/").status_code == 200


def test_what_slack_signed_but_never_sends_is_refused(handrail: Installation) -> None:
    clicks = handrail.slack.slack.clicks
    for body in slack_payloads():
        answer = clicks.post(body, {"Content-Type": FORM})
        assert 200 <= answer.status < 500, body[:200]


def test_a_wrong_old_or_missing_signature_is_refused(handrail: Installation) -> None:
    secret = handrail.slack.slack.clicks.app.signing_secret
    body = b"payload=%7B%22type%22%3A%22block_actions%22%7D"
    moments = {"now": str(int(time.time())), "old": str(int(time.time()) - 3_600), "junk": "1e9", "none": ""}
    keys = {"ours": secret, "another": "0" * 32, "empty": ""}
    with handrail.client() as client:
        for at, timestamp in moments.items():
            for whose, key in keys.items():
                if (at, whose) == ("now", "ours"):
                    continue
                base = b"v0:" + timestamp.encode() + b":" + body
                signature = "v0=" + hmac.digest(key.encode(), base, "sha256").hex()
                headers = {
                    "X-Slack-Request-Timestamp": timestamp,
                    "X-Slack-Signature": signature,
                    "Content-Type": FORM,
                }
                answer = client.post(SLACK, content=body, headers=headers)
                assert answer.status_code == 401, (at, whose)
        assert client.post(SLACK, content=body).status_code == 401


def test_the_memory_of_the_web_is_steady(handrail: Installation) -> None:
    web = handrail.processes[0]

    def storm(rounds: int) -> int:
        def attack(path: str) -> None:
            with handrail.client() as client:
                for body in bodies() * rounds:
                    refused(client, "POST", path, body, {})

        paths = [path for path in open_addresses(handrail) if path != handrail.seeded.generic_hook]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(attack, paths))
        return resident(web.pid)

    warm = storm(2)
    after = storm(5)
    assert after - warm < STEADY_BYTES, f"{warm / 1e6:.0f} MB grew to {after / 1e6:.0f} MB"


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    pages = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert pages is not None
    return int(pages.group(1)) * 1024
