"""An installation under test: its own folder, database, queues and ports; real processes; fakes of what is outside."""

from __future__ import annotations

import copy
import hashlib
import json
import secrets
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

import dj_database_url
import httpx2
from django.db import connections
from django.db.models import Model, QuerySet

from handrail.alerts.models import Alert
from handrail.demo.slack.callbacks import Answer, App
from handrail.demo.slack.limits import Pace
from handrail.demo.slack.server import Server, make_server
from handrail.demo.slack.workspace import APP_ID, TEAM_ID, Message, Note, View
from handrail.incidents.models import Incident
from runbooks.models import Approval, Run, StepRun
from tests.flows.held_production import HeldProduction, serving
from tests.flows.patience import eventually
from tests.flows.processes import TOP, Process, environment
from tests.flows.seed import PASSWORD, Seeded
from tests.flows.services import Backend, postgres_database, queue_prefix, require
from tests.ports import free_ports

M = TypeVar("M", bound=Model)

ALIAS = "installation"
"""The alias under which the test's own process reads the database of the installation."""

LIN, MAX, ADA, SAM = "U0LIN", "U0MAX", "U0ADA", "U0SAM"
"""In Slack: lin may approve; max wrote the runbooks; ada is no approver; sam is known to nobody."""


@dataclass(slots=True)
class Installation:
    """One installation. ``env`` is the environment of its processes."""

    home: Path
    base_url: str
    env: dict[str, str]
    slack: Server
    production: HeldProduction
    seeded: Seeded
    processes: list[Process] = field(default_factory=list)

    # -- processes --------------------------------------------------------------------------------

    def process(self, *arguments: str, name: str = "") -> Process:
        """A process of ``handrail <arguments>``, not started; it dies with the installation."""
        name = name or arguments[0]
        count = sum(process.name.startswith(name) for process in self.processes)
        process = Process(f"{name}-{count + 1}", arguments, self.env, self.home / f"{name}-{count + 1}.log")
        self.processes.append(process)
        return process

    def start_web(self) -> Process:
        """Start the web, and return when it answers."""
        web = self.process("web").start()

        def answers() -> bool:
            assert web.is_running(), f"the web ended:\n{web.said()[-4000:]}"
            try:
                return httpx2.get(f"{self.base_url}/readyz", timeout=10, trust_env=False).is_success
            except httpx2.HTTPError:
                return False

        eventually("the web answers", answers)
        return web

    def start_worker(self) -> Process:
        return self.process("worker", "--concurrency", "2").start()

    def start_sweeper(self) -> Process:
        return self.process("sweeper").start()

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of ``handrail`` to its end."""
        return subprocess.run(
            [sys.executable, "-m", "handrail.cli", *arguments],
            cwd=TOP,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def logs(self, characters: int = 6_000) -> Iterator[tuple[str, str]]:
        """The end of what each process said, with its name."""
        for process in self.processes:
            yield process.name, process.said()[-characters:]

    # -- the world outside ------------------------------------------------------------------------

    def client(self) -> httpx2.Client:
        """A new browser, or program, without any cookies."""
        return httpx2.Client(base_url=self.base_url, timeout=60, trust_env=False)

    def send_alert(self, name: str, service: str, status: str = "firing", **labels: str) -> httpx2.Response:
        """Alertmanager's webhook about one alert."""
        with self.client() as client:
            return client.post(self.seeded.hook, content=alert_body(name, service, status, **labels))

    def api(self, path: str, *, token: str = "") -> dict[str, Any]:
        """Read the REST API as lin, or with another token."""
        headers = {"Authorization": f"Bearer {token or self.seeded.tokens['lin']}"}
        with self.client() as client:
            answer = client.get(f"/api/v1/{path}", headers=headers)
        assert answer.is_success, f"{path}: {answer.status_code} {answer.text[:500]}"
        data: dict[str, Any] = answer.json()
        return data

    @contextmanager
    def sign_in(self, username: str) -> Iterator[httpx2.Client]:
        """A browser of a person who has signed in."""
        with self.client() as client:
            client.get("/sign-in/").raise_for_status()
            token = client.cookies["csrftoken"]
            form = {"username": username, "password": PASSWORD, "csrfmiddlewaretoken": token}
            answer = client.post("/sign-in/", data=form, headers={"Referer": self.base_url})
            assert answer.status_code == 302, answer.text[:500]
            yield client

    def decide_on_the_web(
        self, browser: httpx2.Client, approval: Approval, decision: str, reason: str = ""
    ) -> httpx2.Response:
        """Press a button of the approval's page."""
        form = {
            "decision": decision,
            "reason": reason,
            "csrfmiddlewaretoken": browser.cookies["csrftoken"],
        }
        headers = {"Referer": self.base_url}
        return browser.post(f"/approvals/{approval.pk}/decide/", data=form, headers=headers)

    def decide_over_api(self, username: str, approval: Approval, decision: str) -> httpx2.Response:
        """Decide with the token of a person."""
        headers = {"Authorization": f"Bearer {self.seeded.tokens[username]}"}
        with self.client() as client:
            path = f"/api/v1/approvals/{approval.pk}/decide/"
            return client.post(path, json={"decision": decision}, headers=headers)

    # -- the database -----------------------------------------------------------------------------

    def rows(self, model: type[M]) -> QuerySet[M]:
        """The rows of the installation's database, as they are now."""
        return model._default_manager.using(ALIAS)

    def incident(self, service: str) -> Incident:
        """The incident that the alerts of a service opened."""
        return eventually(
            f"an incident of {service}",
            lambda: (
                self.rows(Incident).filter(incident_alerts__alert__labels__service=service).distinct().first()
            ),
        )

    def the_run(self, service: str) -> Run:
        """The one run about a service."""
        return eventually(
            f"a run about {service}", lambda: self.rows(Run).filter(inputs__service=service).first()
        )

    def await_run(self, service: str, *states: str) -> Run:
        """The run about a service, once it is in one of these states."""
        return eventually(
            f"the run about {service} is {' or '.join(states)}",
            lambda: self.rows(Run).filter(inputs__service=service, state__in=states).first(),
        )

    def await_step(self, service: str, node: str, *states: str) -> StepRun:
        """A step of the run about a service, once it is in one of these states."""
        steps = self.rows(StepRun).filter(run__inputs__service=service, node=node, role="step")
        return eventually(
            f"the step {node} about {service} is {' or '.join(states)}",
            lambda: steps.filter(state__in=states).first(),
        )

    def await_approval(self, service: str, state: str = "pending") -> Approval:
        """The approval about a service, once it is in this state."""
        approvals = self.rows(Approval).filter(run__inputs__service=service, state=state)
        return eventually(f"an approval about {service} is {state}", approvals.first)

    def alerts(self, service: str) -> QuerySet[Alert]:
        return self.rows(Alert).filter(labels__service=service)

    # -- Slack ------------------------------------------------------------------------------------

    def card(self, approval: Approval) -> Message:
        """The approval's card in the fake Slack, as it is shown now; waits for it."""
        return eventually(f"the card of {approval.pk}", lambda: self._card(approval))

    def _card(self, approval: Approval) -> Message | None:
        """A copy: Slack's own is rewritten in place."""
        with self.slack.slack.workspace.lock:
            for message in self.slack.slack.workspace.messages:
                if str(approval.pk) in json.dumps(message.blocks):
                    return copy.deepcopy(message)
        return None

    def click(self, user: str, card: Message, action: str) -> Answer:
        """Somebody presses a button of a card; the fake sends the signed callback."""
        return self.slack.slack.clicks.click(user=user, channel=card.channel, ts=card.ts, action_id=action)

    def callback(
        self, user: str, card: Message, action: str, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a click's callback as it was for the card as it stood then, with or without its buttons now."""
        payload = click_payload(self.slack, user, card, action)
        body = urlencode({"payload": json.dumps(payload)}).encode()
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.slack.slack.clicks.post(body, {**kind, **(headers or {})})

    def modal(self, user: str) -> View | None:
        """The form that is open for somebody."""
        with self.slack.slack.workspace.lock:
            view = self.slack.slack.workspace.view_of(user)
        return view if view is not None and "submit" in view.content else None

    def submit(self, user: str, **values: str) -> Answer:
        """Somebody submits the form that is open."""
        return self.slack.slack.clicks.submit(user=user, values=values)

    def await_note(self, user: str, word: str) -> Note:
        """A private note to somebody that has ``word`` in it."""

        def look() -> Note | None:
            with self.slack.slack.workspace.lock:
                notes = [note for note in self.slack.slack.workspace.notes if note.user == user]
            return next((note for note in notes if word in note.text + json.dumps(note.blocks)), None)

        return eventually(f"a private note to {user} about {word!r}", look)

    def await_decided_card(self, approval: Approval) -> Message:
        """The card, once its buttons are gone."""

        def look() -> Message | None:
            card = self._card(approval)
            return card if card is not None and "approval.approve" not in buttons_of(card) else None

        return eventually("the card shows that it is decided", look)


def buttons_of(message: Message) -> set[str]:
    """The action ids of a message's buttons."""
    return {
        str(element.get("action_id"))
        for block in message.blocks
        for element in block.get("elements", [])
        if element.get("type") == "button"
    }


def click_payload(slack: Server, user: str, card: Message, action: str) -> dict[str, Any]:
    """What Slack sends about a click: https://docs.slack.dev/reference/interaction-payloads/block_actions-payload."""
    button = next(
        element
        for block in card.blocks
        for element in block.get("elements", [])
        if element.get("action_id") == action
    )
    with slack.slack.workspace.lock:
        token = slack.slack.workspace.new_response_token(card.channel, user, card.ts)
        trigger = slack.slack.workspace.new_trigger(user)
    return {
        "type": "block_actions",
        "team": {"id": TEAM_ID, "domain": "handrail-demo"},
        "user": {"id": user, "username": user.lower(), "team_id": TEAM_ID},
        "api_app_id": APP_ID,
        "container": {"type": "message", "message_ts": card.ts, "channel_id": card.channel},
        "trigger_id": trigger,
        "channel": {"id": card.channel, "name": "inc-payments"},
        "message": {"type": "message", "ts": card.ts, "text": card.text, "blocks": card.blocks},
        "state": {"values": {}},
        "response_url": f"{slack.base_url}/response/{token}",
        "actions": [{"type": "button", "block_id": "buttons", "action_ts": card.ts, **button}],
    }


_started = datetime.now(UTC)


def alert_body(name: str, service: str, status: str = "firing", **labels: str) -> bytes:
    """The body of Alertmanager's webhook, version 4; the same arguments give the same bytes."""
    all_labels = {
        "alertname": name,
        "severity": "critical",
        "service": service,
        "region": "eu-1",
        "environment": "eu-1",
        **labels,
    }
    ended = datetime.now(UTC).isoformat() if status == "resolved" else "0001-01-01T00:00:00Z"
    alert = {
        "status": status,
        "labels": all_labels,
        "annotations": {"summary": f"{name} on {service}"},
        "startsAt": _started.isoformat(),
        "endsAt": ended,
        "generatorURL": "http://prometheus.example/graph",
        "fingerprint": hashlib.sha256(f"{name}/{service}".encode()).hexdigest()[:16],
    }
    body = {
        "version": "4",
        "groupKey": f'{{}}:{{alertname="{name}"}}',
        "truncatedAlerts": 0,
        "status": status,
        "receiver": "handrail",
        "groupLabels": {"alertname": name},
        "commonLabels": all_labels,
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example",
        "alerts": [alert],
    }
    return json.dumps(body).encode()


def unique(word: str) -> str:
    """A name of a service that no other test uses."""
    return f"{word}-{secrets.token_hex(4)}"


@dataclass(slots=True)
class Nursery:
    """Databases that are filled once and then copied: filling one takes as long as a whole flow."""

    folder: Path
    production_port: int = field(default_factory=lambda: free_ports(1)[0])
    _stack: ExitStack = field(default_factory=ExitStack)
    _filled: dict[str, tuple[str, Seeded]] = field(default_factory=dict)

    def filled(self, database: str) -> tuple[str, Seeded]:
        """The URL of a filled database that nobody uses, ``sqlite`` or ``postgres``."""
        if database not in self._filled:
            url = f"sqlite:///{self.folder / 'filled.sqlite3'}"
            if database == "postgres":
                url = self._stack.enter_context(postgres_database())
            env = environment(HANDRAIL_HOME=str(self.folder), HANDRAIL_DATABASE_URL=url)
            self._filled[database] = url, _seed(env, f"http://127.0.0.1:{self.production_port}")
        return self._filled[database]

    @contextmanager
    def copy(self, database: str, home: Path) -> Iterator[tuple[str, Seeded]]:
        """The URL of a filled database of one's own."""
        source, seeded = self.filled(database)
        if database == "postgres":
            with postgres_database(urlsplit(source).path.strip("/")) as url:
                yield url, seeded
        else:
            shutil.copy(self.folder / "filled.sqlite3", home / "handrail.sqlite3")
            yield f"sqlite:///{home / 'handrail.sqlite3'}", seeded

    def close(self) -> None:
        self._stack.close()


@contextmanager
def installation(
    home: Path,
    backend: Backend,
    nursery: Nursery,
    *,
    start: Sequence[str] = ("web", "worker", "sweeper"),
    **settings: str,
) -> Iterator[Installation]:
    """Make an installation on ``backend``, start its processes, and leave nothing of it behind.

    ``start`` names the processes that run from the beginning; ``settings`` are more environment variables.
    """
    require(backend)
    home.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        url, seeded = stack.enter_context(nursery.copy(backend.database, home))
        prefix = stack.enter_context(queue_prefix(backend))
        env = _environment(home, backend, url, prefix) | settings
        host = "127.0.0.1"
        (web_port,) = free_ports(1)
        base_url = f"http://{host}:{web_port}"
        slack = stack.enter_context(_fake_slack(base_url))
        env |= {
            "HANDRAIL_BIND": f"{host}:{web_port}",
            "HANDRAIL_BASE_URL": base_url,
            "HANDRAIL_SLACK_BASE_URL": f"{slack.base_url}/api/",
            "HANDRAIL_SLACK_BOT_TOKEN": slack.slack.token,
            "HANDRAIL_SLACK_SIGNING_SECRET": slack.slack.clicks.app.signing_secret,
        }
        production = HeldProduction()
        stack.enter_context(serving(nursery.production_port, production))
        made = Installation(home, base_url, env, slack, production, seeded)
        stack.enter_context(_database(env))
        stack.callback(_stop_all, made)
        if "worker" in start:
            made.start_worker()
        if "sweeper" in start:
            made.start_sweeper()
        if "web" in start:
            made.start_web()
        yield made


def _environment(home: Path, backend: Backend, database_url: str, prefix: str) -> dict[str, str]:
    return environment(
        HANDRAIL_HOME=str(home),
        HANDRAIL_SESSION_KEY=secrets.token_hex(32),
        HANDRAIL_DATABASE_URL=database_url,
        HANDRAIL_BROKER_URL=backend.broker_url,
        HANDRAIL_QUEUE_PREFIX=prefix,
        HANDRAIL_AUTO_RESOLVE_AFTER="1",
        HANDRAIL_INCIDENT_BUDGET="10000",
    )


def _seed(env: dict[str, str], production_url: str) -> Seeded:
    done = subprocess.run(
        [sys.executable, "-m", "tests.flows.seed", production_url],
        cwd=TOP,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"the installation cannot be filled:\n{done.stderr[-6000:]}"
    return Seeded(**json.loads(done.stdout.splitlines()[-1]))


@contextmanager
def _fake_slack(base_url: str) -> Iterator[Server]:
    """The fake Slack, unhurried: what a rate limit does is another test's story, and how soon is the benchmark's."""
    address = f"{base_url}/integrations/slack/interactivity"
    app = App(address, secrets.token_hex(16), retries=1, patience=60)
    server = make_server("127.0.0.1", 0, token=f"xoxb-{secrets.token_hex(8)}", app=app)
    server.slack.limits.chat = server.slack.limits.method = Pace(per_second=1000, burst=1000)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)


@contextmanager
def _database(env: dict[str, str]) -> Iterator[None]:
    """The installation's database as ``ALIAS`` of this process."""
    parsed: dict[str, Any] = dict(dj_database_url.parse(env["HANDRAIL_DATABASE_URL"]))
    default = dict(connections.databases["default"])
    options = {"timeout": 60} if parsed["ENGINE"].endswith("sqlite3") else {}
    connections.databases[ALIAS] = {
        **default,
        "HOST": "",
        "USER": "",
        "PORT": "",
        **parsed,
        "OPTIONS": options,
    }
    try:
        yield
    finally:
        connections[ALIAS].close()
        del connections[ALIAS]
        del connections.databases[ALIAS]


def _stop_all(made: Installation) -> None:
    for process in reversed(made.processes):
        process.stop()
