"""From an alert, and from a click, to the step that starts; against an insert and one Celery round trip."""

from __future__ import annotations

import http.client
import json
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode, urlsplit

from django.conf import settings

from handrail.accounts.actions import assign_role, create_service_account
from handrail.accounts.actors import CONSOLE
from handrail.accounts.models import LinkedIdentity, User
from handrail.alerts.actions import create_source
from handrail.outbox.models import OutboxLane, OutboxMessage
from handrail.shared.clock import database_now
from integrations.slack.card import APPROVE
from integrations.slack.verify import SIGNATURE_HEADER, TIMESTAMP_HEADER, sign
from runbooks.models import Approval, Run
from tests.bench.marks import Marks
from tests.bench.measuring import Figure, in_turn, medians, percentile
from tests.bench.processes import until
from tests.bench.sides import Sides
from tests.bench.stage import Stage

TEAM, USER = "T0BENCH", "U0BENCH"
FLOOR = "floor"
CALLBACK, FORM = "/integrations/slack/interactivity", "application/x-www-form-urlencoded"

ALERT_TRIGGER = """\
triggers:
  - id: fired
    on: alert
    when: alert.labels.alertname == "BenchFired"
    inputs: {mark: "${{ alert.labels.mark }}"}
inputs:
  mark: {type: string, required: true}"""

ASKING = """\
- {id: ask, kind: approval, prompt: "Go on?", for: [go], approvers: {users: [approver]}, timeout: 1h}
- {id: go, uses: bench.mark, with: {mark: "${{ inputs.mark }}"}}"""


@dataclass(frozen=True, slots=True)
class Web:
    """A web process, the product's or the floor's."""

    connection: http.client.HTTPConnection

    @classmethod
    def at(cls, port: int) -> Web:
        return cls(http.client.HTTPConnection("127.0.0.1", port, timeout=60))

    def ready(self) -> None:
        """Connect before the clock runs: servers close what was idle for some seconds."""
        self.connection.close()
        self.connection.connect()

    def post(self, path: str, body: bytes, content_type: str, **headers: str) -> None:
        """AssertionError for anything but a success."""
        self.connection.request("POST", path, body, {"Content-Type": content_type, **headers})
        answer = self.connection.getresponse()
        said = answer.read()
        if answer.status >= 300:
            raise AssertionError(f"{path} answers {answer.status}: {said[:300]!r}")


@dataclass(frozen=True, slots=True)
class Track:
    """What both measurements need: who is measured, where it listens, and the ear."""

    stage: Stage
    both: Sides
    web: Web
    bare: Web
    marks: Marks
    samples: int
    rounds: int

    def figures(self, name: str, sample: Callable[[], float]) -> list[Figure]:
        """The median and the 95th of the samples of each round, in turn with the floor's."""
        spreads: dict[str, list[list[float]]] = {"value": [], "floor": []}

        def series(side: str, act: Callable[[], float]) -> float:
            getattr(self.both, "handrail" if side == "value" else "floor")()
            spreads[side].append([act() for _ in range(self.samples)])
            return 0.0

        in_turn(lambda: series("value", sample), lambda: series("floor", self._floor), rounds=self.rounds)
        found = []
        for word, share in (("p50", 0.5), ("p95", 0.95)):
            values, floors = (
                [percentile(samples, share) for samples in spreads[side][1:]] for side in ("value", "floor")
            )
            found.append(medians(f"{name}_{word}", values, floors))
        return found

    def _calm(self) -> None:
        """Wait until what came before has left nothing to do: an alert at night meets an idle installation, and a click
        a card that has been shown. What waits for its channel's pace is nothing to do.
        """
        active = Run.objects.filter(state__in=[Run.State.PENDING, Run.State.RUNNING])
        sending = OutboxMessage.objects.filter(state=OutboxMessage.State.SENDING)

        def is_calm() -> bool:
            now = database_now()
            busy = OutboxLane.objects.filter(free_at__gt=now).values("destination")
            unsent = OutboxMessage.objects.filter(state=OutboxMessage.State.PENDING, due_at__lte=now)
            return not (active.exists() or sending.exists() or unsent.exclude(destination__in=busy).exists())

        until(is_calm, watch=self.both.ours)

    def _floor(self) -> float:
        mark = uuid.uuid4().hex
        self.bare.ready()
        began = time.perf_counter()
        self.bare.post(f"/{FLOOR}", mark.encode(), "text/plain")
        return self.marks.wait_for(mark) - began

    def webhook(self) -> list[Figure]:
        """Alertmanager's POST about a new alert: an incident, a run, and its first step."""
        self.stage.publish(
            "on-alert", '- {id: go, uses: bench.mark, with: {mark: "${{ inputs.mark }}"}}', ALERT_TRIGGER
        )
        account = create_service_account(self.stage.project, "intake", name="Intake", actor=CONSOLE)
        assign_role(self.stage.project, account, "responder", actor=CONSOLE)
        created = create_source(
            self.stage.project, "alertmanager", "alertmanager", run_as=account, actor=CONSOLE
        )
        path = urlsplit(created.url).path

        def sample() -> float:
            mark = uuid.uuid4().hex
            body = alert_body(mark)
            self._calm()
            self.web.ready()
            began = time.perf_counter()
            self.web.post(path, body, "application/json")
            return self.marks.wait_for(mark) - began

        return self.figures("webhook_to_step", sample)

    def click(self) -> list[Figure]:
        """Slack's signed callback about Approve: a vote, the decision, and the step that it guarded."""
        asked = self._asking("asking-one")

        def sample() -> float:
            mark, approval = asked()
            body = click_body(approval.pk)
            self._calm()
            self.web.ready()
            began = time.perf_counter()
            self.web.post(CALLBACK, body, FORM, **signed(body))
            return self.marks.wait_for(mark) - began

        return self.figures("click_to_step", sample)

    def crowd(self, people: int) -> Figure:
        """So many press Approve at once: how long the last of them waits. Slack waits for three seconds."""
        asked = self._asking("asking-many")

        def value() -> float:
            self.both.handrail()
            _, approval = asked()
            body = click_body(approval.pk)
            return self._slowest(self.web, people, lambda web: web.post(CALLBACK, body, FORM, **signed(body)))

        def floor() -> float:
            self.both.floor()
            return self._slowest(
                self.bare, people, lambda web: web.post(f"/{FLOOR}", uuid.uuid4().hex.encode(), "text/plain")
            )

        return medians(f"crowd_of_{people}_clicks", *in_turn(value, floor, rounds=self.rounds))

    def _asking(self, slug: str) -> Callable[[], tuple[str, Approval]]:
        """Starts a run that waits for an approval; gives the mark of the step that is guarded, and the approval."""
        runbook = self.stage.publish(slug, ASKING, "inputs:\n  mark: {type: string, required: true}")
        # Nobody approves what they have written or started.
        approver, is_new = User.objects.get_or_create(username="approver", defaults={"name": "Approver"})
        if is_new:
            assign_role(self.stage.project, approver, "approver", actor=CONSOLE)
            LinkedIdentity.objects.create(user=approver, provider="slack", workspace=TEAM, external_id=USER)

        def asked() -> tuple[str, Approval]:
            mark = uuid.uuid4().hex
            run = self.stage.start(runbook, mark=mark)
            return mark, Approval.objects.get(run=run, state=Approval.State.PENDING)

        return asked

    def _slowest(self, served_by: Web, people: int, act: Callable[[Web], None]) -> float:
        """Everybody has a connection of their own, and presses at once; seconds of the slowest answer."""
        port = served_by.connection.port
        start = threading.Barrier(people)

        def press(_: int) -> float:
            web = Web.at(port)
            web.ready()
            start.wait(60)
            began = time.perf_counter()
            act(web)
            return time.perf_counter() - began

        with ThreadPoolExecutor(people) as crowd:
            return max(crowd.map(press, range(people)))


def signed(body: bytes) -> dict[str, str]:
    """Slack's headers about a body."""
    stamp = str(int(time.time()))
    return {TIMESTAMP_HEADER: stamp, SIGNATURE_HEADER: sign(settings.SLACK_SIGNING_SECRET, stamp, body)}


def alert_body(mark: str) -> bytes:
    """Alertmanager's webhook, version 4, about one alert that nobody has seen before."""
    labels = {"alertname": "BenchFired", "severity": "critical", "service": f"s-{mark[:12]}", "mark": mark}
    alert = {
        "status": "firing",
        "labels": labels,
        "annotations": {"summary": "A benchmark"},
        "startsAt": datetime.now(UTC).isoformat(),
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://127.0.0.1/graph",
        "fingerprint": mark[:16],
    }
    return json.dumps(
        {
            "version": "4",
            "groupKey": f"{{}}:{{mark={mark!r}}}",
            "truncatedAlerts": 0,
            "status": "firing",
            "receiver": "handrail",
            "groupLabels": {"mark": mark},
            "commonLabels": labels,
            "commonAnnotations": {},
            "externalURL": "http://127.0.0.1:9093",
            "alerts": [alert],
        }
    ).encode()


def click_body(approval: uuid.UUID) -> bytes:
    """Slack's `block_actions` about the button Approve of the approval's card."""
    payload = {
        "type": "block_actions",
        "team": {"id": TEAM, "domain": "bench"},
        "user": {"id": USER, "username": "bench", "name": "bench", "team_id": TEAM},
        "api_app_id": "A0BENCH",
        "container": {"type": "message", "message_ts": "1.1", "channel_id": "C0BENCH"},
        "trigger_id": "1.1.1",
        "channel": {"id": "C0BENCH", "name": "incidents"},
        "response_url": "",
        "actions": [
            {
                "type": "button",
                "action_id": APPROVE,
                "block_id": "b",
                "value": str(approval),
                "action_ts": "1.1",
            }
        ],
    }
    return urlencode({"payload": json.dumps(payload)}).encode()
