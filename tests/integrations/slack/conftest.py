"""A fake Slack on a real socket, Handrail on another, and an approval that waits."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from handrail.accounts.models import Project, User
from handrail.demo.slack.callbacks import App
from handrail.demo.slack.limits import Pace
from handrail.demo.slack.server import Server, make_server
from handrail.demo.slack.workspace import TEAM_ID, Workspace
from handrail.outbox.models import OutboxLane
from handrail.outbox.sending import deliver_due
from handrail.shared import wakeups
from handrail.shared.clock import database_now
from runbooks.models import Approval
from tests import factories

SECRET = "the-signing-secret-of-the-tests"
TOKEN = "xoxb-of-the-tests"

RUNBOOK = """\
apiVersion: handrail/v1
kind: Runbook
metadata: {id: fail-over, title: Fail over, owner: team:dba}
steps:
  - id: ask
    title: May the database fail over?
    kind: approval
    prompt: Fail over the checkout database?
    timeout: 15m
    for: [go]
  - id: go
    uses: noop
"""

RUNBOOK_WITH_INPUTS = RUNBOOK.replace(
    "    for: [go]\n",
    "    for: [go]\n"
    "    inputs:\n"
    "      lag: {type: integer, required: true, min: 0, max: 30, description: The lag in seconds.}\n"
    "      region: {type: enum, values: [eu-1, us-1], required: true}\n",
)

PLAN = [
    {
        "step": "go",
        "title": "Fail the database over",
        "effect": "irreversible",
        "preview": "POST database: /failover",
        "target": "database",
    }
]


@pytest.fixture(autouse=True)
def _no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wakeups, "send", lambda task, *args, queue="": True)


@pytest.fixture
def fake(settings: Settings) -> Iterator[Server]:
    """A fake Slack without a pace, whose app does not listen anywhere yet."""
    app = App("http://127.0.0.1:9/", SECRET, retries=0, patience=60)
    server = make_server("127.0.0.1", 0, token=TOKEN, app=app)
    unhurried = Pace(per_second=1000, burst=1000)
    server.slack.limits.chat = server.slack.limits.method = unhurried
    settings.SLACK_BASE_URL = f"{server.base_url}/api/"
    settings.SLACK_BOT_TOKEN = TOKEN
    settings.SLACK_SIGNING_SECRET = SECRET
    settings.SLACK_CHANNEL = "#incidents"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def slack(fake: Server, live_server: LiveServer) -> Workspace:
    """The fake's workspace, with Handrail as its app."""
    address = f"{live_server.url}/integrations/slack/interactivity"
    fake.reach(App(address, SECRET, retries=0, patience=60))
    return fake.slack.workspace


def deliver() -> None:
    """Send everything that is in the outbox, without its pace."""
    OutboxLane.objects.update(free_at=database_now())
    while deliver_due():
        OutboxLane.objects.update(free_at=database_now())


@pytest.fixture
def lin(project: Project) -> User:
    """An approver whose Slack account is linked."""
    user = factories.person("lin", {project: "approver"})
    factories.linked(user, "U0LIN", TEAM_ID)
    return user


@pytest.fixture
def max_(project: Project) -> User:
    """Another approver, linked too."""
    user = factories.person("max", {project: "approver"})
    factories.linked(user, "U0MAX", TEAM_ID)
    return user


def make_approval(project: Project, *, text: str = RUNBOOK, **fields: object) -> Approval:
    """A pending approval of a running run of a runbook that can really be read."""
    run = factories.run(factories.runbook(project, "fail-over", text=text))
    step = factories.step(run, "ask", kind="approval", state="awaiting_approval")
    return factories.approval(run, step=step, plan=PLAN, **fields)


@pytest.fixture
def approval(project: Project) -> Approval:
    return make_approval(project)
