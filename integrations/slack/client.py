"""Slack's Web API through Slack's own SDK: short timeouts, no retries of its own, errors as ours."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web import SlackResponse

from handrail.outbox.errors import Retry
from integrations.slack.errors import RATE_LIMITED, of_code

SEND_SECONDS = 10
"""For what the outbox sends; well below its lease."""

INTERACTIVE_SECONDS = 1
"""For what is called while somebody waits for the acknowledgement of a click, which is due in three seconds."""

READS = ("auth.", "conversations.", "users.")
"""Methods that take a form and ignore a JSON body (https://docs.slack.dev/apis/web-api/using-the-slack-web-api)."""

DEFAULT_WAIT_SECONDS = 30.0


def is_configured() -> bool:
    """Whether this installation has a Slack app at all."""
    return bool(settings.SLACK_BOT_TOKEN)


def call(method: str, arguments: Mapping[str, Any], *, timeout: int = SEND_SECONDS) -> dict[str, Any]:
    """Call a method of the Web API; returns the JSON object of its answer. Raises as :func:`request` does."""
    data = request(method, arguments, timeout=timeout).data
    return data if isinstance(data, dict) else {}


def request(method: str, arguments: Mapping[str, Any], *, timeout: int = SEND_SECONDS) -> SlackResponse:
    """Call a method of the Web API; returns its answer with its headers.

    Raises Retry (rate limits with Slack's own wait, outages, no connection), Undeliverable (what will never
    work), MessageGone and ViewGone.
    """
    client = WebClient(
        token=settings.SLACK_BOT_TOKEN,
        base_url=settings.SLACK_BASE_URL,
        timeout=timeout,
        retry_handlers=[],  # the SDK's own would sleep; the outbox keeps time
    )
    if _is_loopback(settings.SLACK_BASE_URL):
        client.proxy = None  # the SDK takes a proxy from the environment and knows no exceptions
    try:
        if method.startswith(READS):
            return client.api_call(method, http_verb="GET", params=dict(arguments))
        return client.api_call(method, json=dict(arguments))
    except SlackApiError as error:
        raise _translated(error) from error
    except (SlackClientError, OSError, HTTPException, ValueError) as error:
        raise Retry(f"Slack cannot be reached: {type(error).__name__}: {error}"[:300]) from error


def _translated(error: SlackApiError) -> Exception:
    response = error.response
    status = getattr(response, "status_code", 0)
    if status >= 500:
        return Retry(f"Slack answered with status {status}.")
    data = getattr(response, "data", None)
    code = data.get("error") if isinstance(data, dict) else None
    if status == 429 or code in RATE_LIMITED:
        return Retry(
            "Slack asks to wait (rate limit).",
            _wait(getattr(response, "headers", {})),
            counts=False,
            holds_lane=True,
        )
    if not isinstance(code, str):
        return Retry(f"Slack's answer (status {status}) is not one of its API's.")
    return of_code(code)


def _wait(headers: Mapping[str, Any]) -> float:
    """Seconds of ``Retry-After``, which the SDK gives as text or as a list of it; bounded."""
    for name, value in headers.items():
        if name.lower() == "retry-after":
            text = str(value[0] if isinstance(value, list) else value)
            if text.isdecimal():
                return min(float(text), 3600.0)
    return DEFAULT_WAIT_SECONDS


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
