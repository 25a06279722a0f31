"""A posting whose answer was lost is found again, not repeated."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.db import transaction

from handrail.demo.slack.limits import Fault
from handrail.demo.slack.server import Handler, Server
from handrail.outbox.models import OutboxMessage
from handrail.outbox.sending import LEASE, deliver_due
from handrail.shared.clock import database_now, now
from integrations.slack import recovery
from integrations.slack.client import SEND_SECONDS
from integrations.slack.models import SlackMessage
from integrations.slack.recovery import find_channel, find_posted, metadata_of
from integrations.slack.subscribers import on_approval_changed
from runbooks.models import Approval
from tests.integrations.slack.conftest import deliver

pytestmark = pytest.mark.django_db


def enqueue(approval: Approval) -> None:
    with transaction.atomic():
        on_approval_changed(approval)


def again() -> None:
    OutboxMessage.objects.update(due_at=database_now())
    deliver()


@pytest.fixture
def cut_off(fake: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first answer of the Web API is lost on its way, after Slack has done what it was asked."""
    answer = Handler._json
    lost: list[bool] = []

    def lose(handler: Handler, status: int, data: Any, headers: dict[str, str] | None = None) -> None:
        if lost:
            answer(handler, status, data, headers)
        lost.append(True)
        handler.close_connection = True

    monkeypatch.setattr(Handler, "_json", lose)


@pytest.mark.usefixtures("cut_off")
def test_a_message_whose_answer_was_lost_is_rewritten_instead_of_posted_twice(
    fake: Server, approval: Approval
) -> None:
    enqueue(approval)
    deliver_due()
    assert OutboxMessage.objects.get().state == "pending"
    assert SlackMessage.objects.get().ts == ""
    again()
    [message] = fake.slack.workspace.messages
    assert SlackMessage.objects.get().ts == message.ts
    assert OutboxMessage.objects.get().state == "sent"


@pytest.mark.usefixtures("cut_off")
def test_without_leave_to_read_a_second_message_is_better_than_none(fake: Server, approval: Approval) -> None:
    fake.slack.limits.faults["conversations.list"] = Fault(error="missing_scope")
    enqueue(approval)
    deliver_due()
    again()
    assert len(fake.slack.workspace.messages) == 2


@pytest.mark.usefixtures("cut_off")
@pytest.mark.parametrize("fault", [Fault(status=429, retry_after=5), Fault(status=503)])
def test_while_slack_cannot_say_whether_it_is_there_nothing_is_posted_twice(
    fake: Server, approval: Approval, fault: Fault
) -> None:
    enqueue(approval)
    deliver_due()
    fake.slack.limits.faults["conversations.list"] = fault
    again()
    again()
    [message] = fake.slack.workspace.messages
    assert SlackMessage.objects.get().ts == message.ts


def test_a_message_that_never_arrived_is_posted(fake: Server, approval: Approval) -> None:
    fake.slack.limits.faults["chat.postMessage"] = Fault(status=503)
    enqueue(approval)
    deliver_due()
    again()
    assert len(fake.slack.workspace.messages) == 1


def test_a_slow_slack_is_not_asked_for_channels_beyond_the_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def slow(method: str, arguments: object) -> dict[str, Any]:
        clock[0] += SEND_SECONDS
        return {"channels": [], "response_metadata": {"next_cursor": "more"}}

    monkeypatch.setattr(recovery, "call", slow)
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    assert find_posted("#a", metadata_of("approval", "1"), now()) is None
    # Had it found the channel: its history, an update whose message is gone, and a post.
    assert clock[0] + 3 * SEND_SECONDS < LEASE.total_seconds()


def test_a_channel_is_found_by_name_and_by_id(fake: Server) -> None:
    assert find_channel("#inc-payments") == find_channel("C0PAYMENTS") == "C0PAYMENTS"
    assert find_channel("#nowhere") is None
