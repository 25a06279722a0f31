"""Drives the main job as its real participants would: Alertmanager's webhook, a click in Slack, reads of the API."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx2

from handrail.shared.errors import Invalid

APPROVER = "U0LIN"
"""Lin, of the sample project's dba-oncall team, in the fake Slack."""

PATIENCE_SECONDS = 120.0
"""How long one stage of the demo may take before it is called stuck."""

SLOWEST_ANSWER_SECONDS = 30.0
"""A busy machine may be slow; the demo is there to show that nothing is lost, not how fast a laptop is."""

WAIT_SECONDS = 15 * 60.0
"""How long a person may take to press Approve: the sample runbook's own deadline."""

Say = Callable[[str], None]


def drive(address: str, home: Path, *, wait: bool, say: Say) -> bool:
    """Run the main job against the installation at ``address``; True when it ended as it should.

    ``home`` is that installation's HANDRAIL_HOME, where the sample source's address and the demo's token are kept.
    With ``wait`` the click on Approve is left to a person.
    """
    with httpx2.Client(base_url=address, timeout=SLOWEST_ANSWER_SECONDS, trust_env=False) as client:
        return _Drive(client, Places.read(address, home), say).run(wait=wait)


@dataclass(frozen=True, slots=True)
class Places:
    """Where everything is that the demo talks to."""

    hook: str
    token: str
    slack: str
    production: str

    @classmethod
    def read(cls, address: str, home: Path) -> Places:
        """From the files that `handrail up` left; Invalid when there is no sample project."""
        try:
            hook = (home / "sample-source-url").read_text().strip()
            token = (home / "sample-token").read_text().strip()
            slack = (home / "fakes-url").read_text().strip()
        except FileNotFoundError as error:
            raise Invalid(
                f"{home} has no sample project to drive: start `handrail up` in this folder first "
                "(with a Slack of your own set up, there is no fake one to click in)."
            ) from error
        parts = urlsplit(slack)
        production = urlunsplit(parts._replace(netloc=f"{parts.hostname}:{(parts.port or 80) + 1}"))
        hook_path = urlsplit(hook).path
        return cls(hook=f"{address}{hook_path}", token=token, slack=slack.rstrip("/"), production=production)


@dataclass(slots=True)
class _Drive:
    client: httpx2.Client
    places: Places
    say: Say
    service: str = "checkout"
    region: str = "eu-1"
    fingerprint: str = field(default_factory=lambda: secrets.token_hex(8))
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    told: int = 0

    def run(self, *, wait: bool) -> bool:
        """The whole story, told event by event."""
        self.say(f"1. The sample service {self.service!r} begins to fail.")
        self.client.post(
            f"{self.places.production}/control/break", json={"service": self.service}
        ).raise_for_status()
        self.say("2. Alertmanager sends its webhook.")
        self._send_alert("firing")
        incident = self._await_incident()
        self.say(
            f"3. An incident is open: INC-{incident['number']} {incident['title']}\n   {incident['url']}"
        )
        identifier = str(incident["id"])
        self._follow(identifier, lambda: self._approval(identifier) is not None)
        self._approve(identifier, wait=wait)
        self._follow(
            identifier, lambda: self._runs_ended(identifier), patience=WAIT_SECONDS if wait else None
        )
        self.say("5. The service is well again: Alertmanager says so.")
        self._send_alert("resolved")
        self._follow(identifier, lambda: self._incident(identifier)["status"] == "resolved")
        return self._conclude(identifier)

    def _approve(self, identifier: str, *, wait: bool) -> None:
        approval = self._approval(identifier)
        if approval is None:
            return
        self.say(f"4. A person has to agree: {approval['prompt']}\n   {approval['url']}")
        if wait:
            self.say(f"   Press Approve in the fake Slack, as Lin Schneider: {self.places.slack}/")
            return
        channel, timestamp, action = self._await_card()
        self.say("   Lin presses Approve in the fake Slack.")
        click = {"user": APPROVER, "channel": channel, "ts": timestamp, "action_id": action}
        self.client.post(f"{self.places.slack}/api/fake/click", json=click).raise_for_status()

    def _conclude(self, identifier: str) -> bool:
        self._follow(identifier, lambda: self._postmortem(identifier) is not None)
        incident, postmortem = self._incident(identifier), self._postmortem(identifier) or {}
        self.say(f"6. INC-{incident['number']} is {incident['status']}.")
        self.say(
            f"   Its postmortem draft, with {len(postmortem['sections'])} sections:\n   {postmortem['url']}"
        )
        runs = self._runs(identifier)
        contained = any(run["outcome"].get("recovered") is True for run in runs)
        if not contained:
            self.say("   But no run verified the recovery: the demo did not go as it should.")
        return incident["status"] == "resolved" and bool(postmortem["sections"]) and contained

    def _send_alert(self, status: str) -> None:
        now = datetime.now(UTC)
        alert = {
            "status": status,
            "labels": {
                "alertname": "HighErrorRate",
                "severity": "critical",
                "service": self.service,
                "region": self.region,
                "environment": self.region,
            },
            "annotations": {
                "summary": f"High error rate on {self.service}",
                "description": f"8.4 % of the requests to {self.service} in {self.region} fail (limit 2 %).",
            },
            "startsAt": self.started.isoformat(),
            "endsAt": now.isoformat() if status == "resolved" else "0001-01-01T00:00:00Z",
            "generatorURL": f"{self.places.production}/prometheus/graph",
            "fingerprint": self.fingerprint,
        }
        body = {
            "version": "4",
            "groupKey": f'{{}}:{{alertname="HighErrorRate",service="{self.service}"}}',
            "truncatedAlerts": 0,
            "status": status,
            "receiver": "handrail",
            "groupLabels": {"alertname": "HighErrorRate", "service": self.service},
            "commonLabels": alert["labels"],
            "commonAnnotations": alert["annotations"],
            "externalURL": "http://alertmanager.example",
            "alerts": [alert],
        }
        answer = self.client.post(self.places.hook, json=body)
        if not answer.is_success:
            raise Invalid(f"The webhook was refused with {answer.status_code}: {answer.text[:300]}")

    def _await_incident(self) -> dict[str, Any]:
        for _ in _patiently(PATIENCE_SECONDS):
            for incident in self._read("/api/v1/incidents/?open=true")["results"]:
                if self.service in incident["title"].lower():
                    return dict(incident)
        raise Invalid("No incident was opened: look at the source's deliveries and the alert's decisions.")

    def _follow(self, identifier: str, done: Callable[[], bool], *, patience: float | None = None) -> None:
        """Tell the incident's new events until ``done``; Invalid when nothing comes of it."""
        for _ in _patiently(patience or PATIENCE_SECONDS):
            self._tell_news(identifier)
            if done():
                self._tell_news(identifier)
                return
        raise Invalid(
            "Nothing more happens: see `handrail check`, and the messages of the worker and the sweeper."
        )

    def _tell_news(self, identifier: str) -> None:
        news = self._read(f"/api/v1/incidents/{identifier}/timeline/?after={self.told}")["results"]
        for event in news:
            self.told = max(self.told, event["n"])
            # An incident of an earlier demo may have been reopened: its story has been told.
            if self._is_ours(event["at"]):
                self.say(f"   {event['at'][11:19]}  {event['text']}")

    def _await_card(self) -> tuple[str, str, str]:
        for _ in _patiently(PATIENCE_SECONDS):
            answer = self.client.get(f"{self.places.slack}/api/fake/messages").json()
            for message in reversed(answer["messages"]):
                for block in message["blocks"]:
                    for element in block.get("elements", []):
                        if element.get("type") == "button" and "approve" in str(element.get("action_id")):
                            return message["channel"], message["ts"], element["action_id"]
        raise Invalid("The approval card did not reach the fake Slack: see the outbox's dead letters.")

    def _incident(self, identifier: str) -> dict[str, Any]:
        return self._read(f"/api/v1/incidents/{identifier}/")

    def _runs(self, identifier: str) -> list[dict[str, Any]]:
        """The runs that this demo's alert started."""
        found = self._read(f"/api/v1/runs/?incident={identifier}")["results"]
        return [run for run in found if self._is_ours(run["created_at"])]

    def _is_ours(self, moment: str) -> bool:
        """Whether something happened since this demo began."""
        return datetime.fromisoformat(moment) >= self.started

    def _runs_ended(self, identifier: str) -> bool:
        runs = self._runs(identifier)
        return bool(runs) and all(run["state"] in {"succeeded", "failed", "cancelled"} for run in runs)

    def _approval(self, identifier: str) -> dict[str, Any] | None:
        found = self._read(f"/api/v1/approvals/?state=pending&incident={identifier}")["results"]
        return found[0] if found else None

    def _postmortem(self, identifier: str) -> dict[str, Any] | None:
        """The draft of the resolution that we saw, or None as long as it is not written."""
        path = f"/api/v1/incidents/{identifier}/postmortem/"
        answer = self.client.get(path, headers=self._authorization())
        if answer.status_code == httpx2.codes.NOT_FOUND:
            return None
        draft = self._checked(path, answer)
        return draft if self._is_ours(draft["generated_at"]) else None

    def _read(self, path: str) -> dict[str, Any]:
        return self._checked(path, self.client.get(path, headers=self._authorization()))

    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.places.token}"}

    @staticmethod
    def _checked(path: str, answer: httpx2.Response) -> dict[str, Any]:
        if not answer.is_success:
            raise Invalid(f"{path} was refused with {answer.status_code}: {answer.text[:300]}")
        data: dict[str, Any] = answer.json()
        return data


def _patiently(seconds: float) -> Iterator[None]:
    """Once every 0.2 s, for so many seconds."""
    pause = threading.Event()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield
        pause.wait(0.2)
