"""`slack.post`: once a step, redacted, literal; no Slack is no failure."""

from __future__ import annotations

import time

import pytest
from pytest_django import Settings

from handrail.accounts.models import Project
from handrail.demo.slack.server import Server
from handrail.outbox.models import OutboxMessage
from handrail.vault.redaction import Redactor
from integrations.slack.steps import SlackPost
from runbooks.language.definition import Json
from runbooks.steps import registry
from runbooks.steps.base import ActionContext, Failure, Success
from tests.integrations.slack.conftest import deliver

pytestmark = pytest.mark.django_db

SAID: dict[str, Json] = {"channel": "#inc-payments", "text": "Ended: <!channel> *well* hunter2"}


def context(project: Project, *, cancelled: bool = False) -> ActionContext:
    return ActionContext(
        project=project,
        run_id="r",
        node="report",
        idempotency_key="r:report:",
        deadline_monotonic=time.monotonic() + 10,
        redactor=Redactor(["hunter2"]),
        log=lambda stream, text: None,
        cancelled=lambda: cancelled,
        register_process_group=lambda group: None,
    )


def test_it_is_an_action_of_this_installation() -> None:
    assert isinstance(registry.get("slack.post"), SlackPost)


def test_it_leaves_through_the_outbox_redacted_and_literal(fake: Server, project: Project) -> None:
    outcome = SlackPost().run(SAID, context(project))
    assert isinstance(outcome, Success)
    assert outcome.outputs["channel"] == "#inc-payments"
    assert outcome.outputs["message"] == str(OutboxMessage.objects.get().pk)
    deliver()
    [message] = fake.slack.workspace.messages
    assert message.channel == "C0PAYMENTS"
    assert "&lt;!channel&gt;" in message.text
    assert "hunter2" not in message.text


def test_what_the_runbook_writes_in_lines_is_shown_in_lines(fake: Server, project: Project) -> None:
    report: dict[str, Json] = {"channel": "#inc-payments", "text": "Contained:\n- traffic\n- *db*\u2028\n"}
    SlackPost().run(report, context(project))
    deliver()
    [message] = fake.slack.workspace.messages
    assert message.text == "Contained:\n- traffic\n- *\u200bdb*\u200b\\u2028\n"


def test_a_repeated_attempt_posts_nothing_more(fake: Server, project: Project) -> None:
    first = SlackPost().run(SAID, context(project))
    deliver()
    assert SlackPost().run(SAID, context(project)) == first
    deliver()
    assert len(fake.slack.workspace.messages) == 1


def test_without_a_slack_app_it_succeeds_and_posts_nothing(project: Project, settings: Settings) -> None:
    settings.SLACK_BOT_TOKEN = ""
    assert SlackPost().run(SAID, context(project)) == Success({"message": None, "channel": "#inc-payments"})
    assert not OutboxMessage.objects.exists()


def test_a_stopped_run_posts_nothing(fake: Server, project: Project) -> None:
    outcome = SlackPost().run(SAID, context(project, cancelled=True))
    assert isinstance(outcome, Failure)
    assert not OutboxMessage.objects.exists()


@pytest.mark.parametrize(
    "rendered",
    [{}, {"channel": " ", "text": "x"}, {"channel": "#a", "text": ""}, {"channel": 3, "text": "x"}],
)
def test_inputs_that_say_nothing_are_refused(project: Project, rendered: dict[str, Json]) -> None:
    outcome = SlackPost().run(rendered, context(project))
    assert isinstance(outcome, Failure)
    assert outcome.code == "invalid_input"


def test_the_preview_is_one_line(project: Project) -> None:
    call = SlackPost().bind({"channel": "#a", "text": "one\ntwo"})
    assert call.preview(context(project)) == "Post to #a: one two"
    assert call.target() == "#a"
