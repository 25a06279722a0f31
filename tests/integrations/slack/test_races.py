"""Many clicks at once, from Slack and from elsewhere, are one decision."""

from __future__ import annotations

import threading

from django.db import connection, transaction

from handrail.accounts.models import Project, User
from handrail.audit.models import AuditEntry
from handrail.demo.slack.server import Server
from handrail.demo.slack.workspace import Workspace
from handrail.shared.errors import HandrailError
from integrations.slack.card import APPROVE
from integrations.slack.subscribers import on_approval_changed
from runbooks.approvals import decide
from runbooks.models import Approval, Vote
from tests import factories
from tests.integrations.slack.conftest import deliver

CLICKS = 200
AT_ONCE = 20


def test_two_hundred_clicks_and_votes_elsewhere_are_one_decision(
    fake: Server, slack: Workspace, approval: Approval, project: Project, lin: User, max_: User
) -> None:
    with transaction.atomic():
        on_approval_changed(approval)
    deliver()
    [card] = slack.messages
    web = factories.actor(factories.person("web", {project: "approver"}))
    todo = iter(range(CLICKS))
    lock, statuses, won = threading.Lock(), [], []
    barrier = threading.Barrier(AT_ONCE)

    def press() -> None:
        barrier.wait()
        while True:
            with lock:
                n = next(todo, None)
            if n is None:
                break
            if n % 10 == 9:
                try:
                    won.append(decide(approval.pk, actor=web, decision="approve"))
                except HandrailError:
                    continue
                finally:
                    connection.close()
            else:
                user = "U0LIN" if n % 2 else "U0MAX"
                answer = fake.slack.clicks.click(
                    user=user, channel=card.channel, ts=card.ts, action_id=APPROVE
                )
                statuses.append(answer.status)

    threads = [threading.Thread(target=press) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) == {200}
    assert Vote.objects.count() == 1
    assert AuditEntry.objects.filter(action="approval.decided").count() == 1
    assert Approval.objects.get().state == "approved"
    deliver()
    assert len(slack.messages) == 1
    assert "actions" not in {block["type"] for block in slack.messages[0].blocks}
