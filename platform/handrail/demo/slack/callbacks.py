"""What the fake sends to the app: signed, url-encoded, at most three seconds, as Slack does.

Source: https://docs.slack.dev/interactivity/handling-user-interaction. Slack itself does not repeat an
interaction that was not acknowledged (it does repeat events); this fake does, with the headers of the events, so
that an app which survives it survives Slack.
"""

from __future__ import annotations

import hmac
import http.client
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from handrail.demo.slack.blocks import elements_of
from handrail.demo.slack.methods import describe, describe_view, show_view
from handrail.demo.slack.workspace import APP_ID, TEAM_ID, Message, Person, Received, View, Workspace

ACKNOWLEDGE_SECONDS = 3.0
KEPT_ANSWERS = 500


class NoSuch(Exception):
    """The message, button, modal or person of a click does not exist; the message says which."""


@dataclass(frozen=True, slots=True)
class App:
    """Where the app listens, and how it recognises the workspace.

    ``retries`` after the first attempt; ``patience`` in seconds is Slack's, but for tests of what is decided rather
    than of how soon.
    """

    interactivity_url: str
    signing_secret: str
    retries: int = 1
    patience: float = ACKNOWLEDGE_SECONDS


@dataclass(frozen=True, slots=True)
class Answer:
    """How the app answered; ``status`` 0 means not in time."""

    status: int
    body: str

    def data(self) -> dict[str, Any]:
        """The JSON object of the body, empty where there is none."""
        try:
            parsed = json.loads(self.body or "{}")
        except ValueError:
            return {}
        return parsed if isinstance(parsed, dict) else {}


@dataclass(frozen=True, slots=True)
class Clicks:
    """Turns what people do in the workspace into callbacks. ``base_url`` is the fake's own address."""

    workspace: Workspace
    app: App
    base_url: str

    def click(self, *, user: str, channel: str, ts: str, action_id: str) -> Answer:
        """Press a button of a message. Raises :class:`NoSuch`."""
        workspace = self.workspace
        with workspace.lock:
            person = _person(workspace, user)
            place = workspace.channel(channel)
            message = workspace.message(place.id, ts) if place else None
            if place is None or message is None:
                raise NoSuch(f"There is no message {ts} in {channel}.")
            payload = self._interaction("block_actions", person) | {
                "container": {
                    "type": "message",
                    "message_ts": ts,
                    "channel_id": place.id,
                    "is_ephemeral": False,
                },
                "trigger_id": workspace.new_trigger(user),
                "channel": {"id": place.id, "name": place.name},
                "message": describe(message),
                "state": {"values": {}},
                "response_url": f"{self.base_url}/response/"
                + workspace.new_response_token(place.id, user, ts),
                "actions": [_action(message, action_id, workspace.clock())],
            }
        return self.send(payload)

    def submit(self, *, user: str, values: Mapping[str, str]) -> Answer:
        """Submit the modal that is open for ``user``; ``values`` by action id. Raises :class:`NoSuch`."""
        workspace = self.workspace
        with workspace.lock:
            person = _person(workspace, user)
            view = workspace.view_of(user)
            if view is None or "submit" not in view.content:
                raise NoSuch(f"No modal that could be submitted is open for {person.name}.")
            payload = self._interaction("view_submission", person) | {
                "trigger_id": workspace.new_trigger(user),
                "view": describe_view(view, _state(view, values)),
                "response_urls": [],
            }
        answer = self.send(payload)
        self._follow(view, answer)
        return answer

    def close(self, *, user: str) -> None:
        """Close the modal that is open for ``user``, if one is."""
        with self.workspace.lock:
            view = self.workspace.view_of(user)
            if view is not None:
                del self.workspace.views[view.id]
                self.workspace.touch()

    def send(self, payload: Mapping[str, Any]) -> Answer:
        """Send one callback, again after a timeout or a 5xx, and remember how it was answered."""
        body = urlencode({"payload": json.dumps(payload)}).encode()
        answer = Answer(0, "")
        for attempt in range(self.app.retries + 1):
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            if attempt:
                headers |= {"X-Slack-Retry-Num": str(attempt), "X-Slack-Retry-Reason": "http_timeout"}
            began = time.monotonic()
            answer = self.post(body, headers)
            self._remember(payload, answer, time.monotonic() - began)
            if 0 < answer.status < 500:
                break
        return answer

    def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """One signed POST; status 0 when nobody answered in time."""
        target = urlsplit(self.app.interactivity_url)
        timestamp = str(int(time.time()))
        signed = {
            "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
            "X-Slack-Request-Timestamp": timestamp,
            "X-Slack-Signature": signature(self.app.signing_secret, timestamp, body),
            **headers,
        }
        kind = http.client.HTTPSConnection if target.scheme == "https" else http.client.HTTPConnection
        connection = kind(target.hostname or "", target.port, timeout=self.app.patience)
        try:
            connection.request("POST", target.path or "/", body, signed)
            response = connection.getresponse()
            return Answer(response.status, response.read(1_000_000).decode(errors="replace"))
        except (OSError, http.client.HTTPException):
            return Answer(0, "")
        finally:
            connection.close()

    def _interaction(self, kind: str, person: Person) -> dict[str, Any]:
        return {
            "type": kind,
            "team": {"id": TEAM_ID, "domain": "handrail-demo"},
            "user": {"id": person.id, "username": person.name, "name": person.name, "team_id": TEAM_ID},
            "api_app_id": APP_ID,
            "token": "deprecated",
            "enterprise": None,
            "is_enterprise_install": False,
        }

    def _remember(self, payload: Mapping[str, Any], answer: Answer, seconds: float) -> None:
        workspace = self.workspace
        with workspace.lock:
            workspace.received.append(
                Received(
                    workspace.clock(),
                    str(payload.get("type")),
                    str(payload.get("user", {}).get("id")),
                    answer.status,
                    seconds,
                    answer.body[:2000],
                )
            )
            del workspace.received[:-KEPT_ANSWERS]
            workspace.touch()

    def _follow(self, view: View, answer: Answer) -> None:
        """Do with the modal what the answer to its submission says."""
        workspace = self.workspace
        data = answer.data()
        with workspace.lock:
            if answer.status != 200:
                view.errors = {"": "We had some trouble connecting. Try again?"}
                workspace.touch()
            elif data.get("response_action") == "errors":
                view.errors = {str(name): str(text) for name, text in data.get("errors", {}).items()}
                workspace.touch()
            elif data.get("response_action") == "update":
                show_view(workspace, view, data["view"])
            else:
                workspace.views.pop(view.id, None)
                workspace.touch()


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Slack's signature, version 0. Not the product's own function: a fake must not share its mistakes."""
    return "v0=" + hmac.digest(secret.encode(), b"v0:%s:%s" % (timestamp.encode(), body), "sha256").hex()


def _person(workspace: Workspace, user: str) -> Person:
    person = workspace.people.get(user)
    if person is None:
        raise NoSuch(f"There is nobody with the id {user!r}.")
    return person


def _action(message: Message, action_id: str, now: float) -> dict[str, Any]:
    for block_id, element in elements_of(message.blocks):
        if element.get("action_id") == action_id:
            wanted = ("action_id", "text", "value", "style", "type", "url")
            return {name: element[name] for name in wanted if name in element} | {
                "block_id": block_id,
                "action_ts": f"{now:.6f}",
            }
    raise NoSuch(f"The message {message.ts} has no button {action_id!r} any more.")


def _state(view: View, values: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The state of a view's inputs, keyed by block and action as Slack does."""
    state: dict[str, dict[str, Any]] = {}
    for block_id, element in elements_of(view.content["blocks"]):
        action_id, kind = str(element["action_id"]), str(element["type"])
        given = values.get(action_id, "")
        filled: dict[str, Any] = {"type": kind}
        if kind in ("static_select", "radio_buttons"):
            options = [option for option in element["options"] if option["value"] == given]
            filled["selected_option"] = options[0] if options else None
        elif kind == "checkboxes":
            chosen = given.split(",")
            filled["selected_options"] = [o for o in element["options"] if o["value"] in chosen]
        elif kind != "button":
            filled["value"] = given or None
        else:
            continue
        state.setdefault(block_id, {})[action_id] = filled
    return state
