"""`handrail slack check` says what is wrong and how to mend it; the manifest fits what the code needs."""

from __future__ import annotations

import dataclasses

import pytest
from pytest_django import Settings

from handrail.demo.slack.server import Handler, Server
from handrail.outbox.models import OutboxMessage
from handrail.shared.clock import now
from integrations.slack.checking import address, look
from integrations.slack.manifest import manifest
from integrations.slack.models import SlackCallback

pytestmark = pytest.mark.django_db


def found() -> dict[str, tuple[str, str]]:
    return {finding.about: (finding.level, f"{finding.found} {finding.mend}") for finding in look()}


def test_a_working_app_is_all_well(fake: Server) -> None:
    SlackCallback.objects.create(pk=1, received_at=now(), kind="click")
    findings = found()
    assert {level for level, _ in findings.values()} == {"ok"}
    assert set(findings) == {"bot token", "scopes", "channel", "signing secret", "address", "last callback"}


def test_no_token_is_where_it_ends(settings: Settings) -> None:
    settings.SLACK_BOT_TOKEN = ""
    assert list(found()) == ["bot token"]
    assert "handrail slack manifest" in found()["bot token"][1]


def test_a_wrong_token_is_said(fake: Server, settings: Settings) -> None:
    settings.SLACK_BOT_TOKEN = "xoxb-of-somebody-else"
    assert found()["bot token"][0] == "error"
    assert "invalid_auth" in found()["bot token"][1]


def test_what_is_missing_is_said_with_its_purpose(fake: Server, settings: Settings) -> None:
    fake.slack = dataclasses.replace(fake.slack, scopes=("channels:read",))
    fake.RequestHandlerClass = type("BoundHandler", (Handler,), {"slack": fake.slack})
    settings.SLACK_CHANNEL = "#nowhere"
    settings.SLACK_SIGNING_SECRET = ""
    OutboxMessage.objects.create(
        channel="slack",
        kind="post",
        dedupe_key="k",
        due_at=now(),
        state="dead",
        last_error="No such channel.",
    )
    levels = [(finding.about, finding.level) for finding in look()]
    assert ("scopes", "error") in levels
    assert ("channel", "error") in levels
    assert ("signing secret", "error") in levels
    assert ("last callback", "warning") in levels
    assert found()["dead letters"] == ("warning", "1 messages could not be delivered No such channel.")


def test_slack_calls_only_https() -> None:
    slack = "https://slack.com/api/"
    assert address("http://handrail.example", slack).level == "error"
    assert address("https://handrail.example", slack).level == "ok"
    assert address("http://127.0.0.1:8000", "http://127.0.0.1:8001/api/").level == "ok"


def test_the_manifest_leads_to_this_installation() -> None:
    made = manifest("https://handrail.example")
    interactivity = made["settings"]["interactivity"]
    assert interactivity["request_url"] == "https://handrail.example/integrations/slack/interactivity"
    assert "chat:write" in made["oauth_config"]["scopes"]["bot"]
