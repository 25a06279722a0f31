"""Denial, timeout, the wrong people, double clicks and repeated callbacks: over real sockets, in the fake Slack."""

from __future__ import annotations

import json

import pytest

from handrail.audit.models import AuditEntry
from handrail.demo.slack.callbacks import Answer
from handrail.demo.slack.workspace import Message
from handrail.outbox.models import OutboxMessage
from runbooks.models import Approval, Vote
from tests.flows.harness import ADA, LIN, MAX, SAM, Installation, buttons_of, unique
from tests.flows.patience import eventually
from tests.flows.services import embedded

pytestmark = pytest.mark.parametrize("backend", [embedded], indirect=True, scope="module")

TRIES = 10


def asked(handrail: Installation, name: str = "AskFirst") -> tuple[str, Approval, Message]:
    """A service whose failover somebody is asked about, the question, and its card."""
    service = unique("orders")
    assert handrail.send_alert(name, service).status_code == 202
    approval = handrail.await_approval(service)
    return service, approval, handrail.card(approval)


def decisions(handrail: Installation, approval: Approval) -> list[str]:
    """The decisions about an approval in the audit trail."""
    entries = handrail.rows(AuditEntry).filter(action="approval.decided", object_id=str(approval.pk))
    return [str(entry.data["decision"]) for entry in entries.order_by("n")]


def open_denial(handrail: Installation, user: str, card: Message) -> None:
    """Press Deny until the form is there: on a slow machine Slack's trigger may be over before it opens."""
    for _ in range(TRIES):
        assert handrail.click(user, card, "approval.deny").status in (0, 200)
        if handrail.modal(user) is not None:
            return
    raise AssertionError(f"no form opened for {user} in {TRIES} tries")


def test_a_denial_with_its_reason_runs_nothing(handrail: Installation) -> None:
    service, approval, card = asked(handrail)
    open_denial(handrail, LIN, card)

    refused = handrail.submit(LIN, reason="  ")
    assert refused.data()["response_action"] == "errors"
    assert "Say why" in refused.body
    assert handrail.submit(LIN, reason="The replica lags by a minute.") == Answer(200, "")

    run = handrail.await_run(service, "succeeded", "failed", "cancelled")
    assert run.state == "succeeded", "the runbook goes on after a denial"
    approval = handrail.await_approval(service, "rejected")
    assert (approval.decided_by, approval.reason) == ("Lin Schneider", "The replica lags by a minute.")
    assert handrail.await_step(service, "fail_over", "skipped")
    assert handrail.production.effects_on(service) == []
    assert decisions(handrail, approval) == ["deny"]
    assert "The replica lags" in json.dumps(handrail.await_decided_card(approval).blocks)


def test_an_approval_that_nobody_answers_runs_nothing(handrail: Installation) -> None:
    service = unique("orders")
    assert handrail.send_alert("AskBriefly", service).status_code == 202
    approval = handrail.await_approval(service, "expired")

    run = handrail.await_run(service, "succeeded", "failed", "cancelled")
    assert run.state == "succeeded"
    assert handrail.await_step(service, "fail_over", "skipped")
    assert handrail.production.effects_on(service) == []
    assert not handrail.rows(Vote).filter(approval=approval).exists()
    assert decisions(handrail, approval) == []
    card = handrail.await_decided_card(approval)
    assert buttons_of(card) <= {"approval.details", "approval.review"}


def test_who_may_not_decide_is_told_so_in_private_and_changes_nothing(handrail: Installation) -> None:
    service, approval, card = asked(handrail)

    for user, word in ((SAM, "/link/"), (MAX, "somebody else has to look"), (ADA, "approver")):
        assert handrail.click(user, card, "approval.approve") == Answer(200, "")
        assert handrail.await_note(user, word)
    assert not handrail.rows(Vote).filter(approval=approval).exists()
    assert handrail.rows(Approval).get(pk=approval.pk).state == "pending"

    assert handrail.click(LIN, card, "approval.approve") == Answer(200, "")
    handrail.await_run(service, "succeeded")
    assert len(handrail.production.effects_on(service)) == 1


def test_who_comes_too_late_hears_who_decided(handrail: Installation) -> None:
    service, approval, card = asked(handrail)
    with handrail.sign_in("noor") as noor:
        answer = handrail.decide_on_the_web(noor, approval, "approve")
    assert answer.status_code == 303, answer.text[:2000]
    handrail.await_run(service, "succeeded")

    assert handrail.callback(LIN, card, "approval.approve") == Answer(200, "")
    note = handrail.await_note(LIN, "noor")
    assert "Already approved" in note.text + json.dumps(note.blocks)
    assert decisions(handrail, approval) == ["approve"]
    assert len(handrail.production.effects_on(service)) == 1


def test_a_double_click_and_a_repeated_callback_count_once(handrail: Installation) -> None:
    service, approval, card = asked(handrail)
    first = handrail.callback(LIN, card, "approval.approve")
    again = handrail.callback(LIN, card, "approval.approve", {"X-Slack-Retry-Num": "1"})
    second = handrail.callback(LIN, card, "approval.approve")
    assert {first.status, again.status, second.status} == {200}

    handrail.await_run(service, "succeeded")
    assert handrail.rows(Vote).filter(approval=approval).count() == 1
    assert decisions(handrail, approval) == ["approve"]
    assert len(handrail.production.effects_on(service)) == 1


def test_everything_for_slack_leaves_the_outbox(handrail: Installation) -> None:
    waiting = handrail.rows(OutboxMessage).exclude(state__in=["sent", "dead"])
    eventually("the outbox is empty", lambda: not waiting.exists())
    assert not handrail.rows(OutboxMessage).filter(state="dead").exists()
