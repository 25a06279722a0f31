"""Does the Slack app work? Token, scopes, signing secret, address and the last callback, each with what to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings
from slack_sdk.web import SlackResponse

from handrail.outbox.errors import Retry, Undeliverable
from handrail.outbox.models import OutboxMessage
from handrail.shared.clock import now
from integrations.slack.client import request
from integrations.slack.manifest import INTERACTIVITY_PATH, REQUIRED_SCOPES, USEFUL_SCOPES
from integrations.slack.messages import CHANNEL
from integrations.slack.models import SlackCallback
from integrations.slack.recovery import find_channel


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``level`` is ``ok``, ``warning`` or ``error``; ``mend`` says what to do."""

    about: str
    level: str
    found: str
    mend: str = ""


def look() -> Iterator[Finding]:
    """Every finding, in the order in which a person would mend them."""
    if not settings.SLACK_BOT_TOKEN:
        yield Finding(
            "bot token",
            "error",
            "none: Slack is not set up (everything else works without it)",
            "create the app with `handrail slack manifest`, then set HANDRAIL_SLACK_BOT_TOKEN",
        )
        return
    try:
        answer = request("auth.test", {})
    except (Retry, Undeliverable) as error:
        yield Finding(
            "bot token", "error", str(error), "set HANDRAIL_SLACK_BOT_TOKEN to the app's xoxb- token"
        )
        return
    yield Finding("bot token", "ok", f"is that of {answer.get('user')} in {answer.get('team')}")
    yield from _scopes(answer)
    yield from _channel()
    yield from _signing_secret()
    yield address(settings.BASE_URL, settings.SLACK_BASE_URL)
    yield from _callback()
    yield from _dead_letters()


def _scopes(answer: SlackResponse) -> Iterator[Finding]:
    header = next((str(v) for k, v in answer.headers.items() if k.lower() == "x-oauth-scopes"), "")
    if not header:
        yield Finding("scopes", "ok", "Slack does not say which it gave")
        return
    given = {scope.strip() for scope in header.split(",")}
    again = "add them and install the app again: `handrail slack manifest`"
    missing = [scope for scope in REQUIRED_SCOPES if scope not in given]
    if missing:
        yield Finding("scopes", "error", f"missing: {', '.join(missing)}", again)
    for scope, purpose in USEFUL_SCOPES.items():
        if scope not in given:
            yield Finding("scopes", "warning", f"without {scope}, Handrail no longer {purpose}", again)
    if given >= {*REQUIRED_SCOPES, *USEFUL_SCOPES}:
        yield Finding("scopes", "ok", "are complete")


def _channel() -> Iterator[Finding]:
    name = settings.SLACK_CHANNEL
    try:
        found = find_channel(name)
    except (Retry, Undeliverable) as error:
        yield Finding("channel", "warning", f"{name} could not be looked up: {error}")
        return
    if found is None:
        yield Finding(
            "channel", "error", f"{name} does not exist, or is private", "create it, or invite the app there"
        )
    else:
        yield Finding("channel", "ok", f"{name} exists")


def _signing_secret() -> Iterator[Finding]:
    if settings.SLACK_SIGNING_SECRET:
        yield Finding("signing secret", "ok", "is set; a wrong one shows when the first button is pressed")
    else:
        yield Finding(
            "signing secret",
            "error",
            "none: every button is refused",
            "set HANDRAIL_SLACK_SIGNING_SECRET (Basic Information of the app)",
        )


def address(base_url: str, slack_base_url: str) -> Finding:
    """Can Slack reach this installation under its address?"""
    url = f"{base_url}{INTERACTIVITY_PATH}"
    slack_is_here = urlsplit(slack_base_url).hostname in ("127.0.0.1", "localhost", "::1")
    if slack_is_here or urlsplit(base_url).scheme == "https":
        return Finding("address", "ok", f"buttons are sent to {url}")
    return Finding(
        "address",
        "error",
        f"Slack calls only https addresses, not {url}",
        "set HANDRAIL_BASE_URL to the address under which the internet reaches Handrail",
    )


def _callback() -> Iterator[Finding]:
    last = SlackCallback.objects.filter(pk=1).first()
    if last is None:
        yield Finding(
            "last callback",
            "warning",
            "none yet with a valid signature",
            "press a button of a card; if it is refused, compare the signing secret and the request URL",
        )
    else:
        minutes = int((now() - last.received_at).total_seconds() // 60)
        yield Finding("last callback", "ok", f"{last.received_at:%Y-%m-%d %H:%M} UTC, {minutes} minutes ago")


def _dead_letters() -> Iterator[Finding]:
    dead = OutboxMessage.objects.filter(channel=CHANNEL, state=OutboxMessage.State.DEAD)
    newest = dead.order_by("-due_at").first()
    if newest is not None:
        yield Finding(
            "dead letters",
            "warning",
            f"{dead.count()} messages could not be delivered",
            newest.last_error[:300],
        )
