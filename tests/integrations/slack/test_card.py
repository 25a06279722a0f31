"""The card shows what will run, cannot be made to lie, and fits into Slack's limits."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handrail.demo.slack.blocks import elements_of, problems_of_blocks
from integrations.slack.card import (
    APPROVE,
    APPROVE_WITH_INPUTS,
    DENY,
    DETAILS,
    REVIEW,
    ApprovalCard,
    CastVote,
    Message,
    PlannedStep,
    render,
)

AT = datetime(2026, 11, 22, 10, 6, tzinfo=UTC)
CARD = ApprovalCard(
    approval_id="0198c0de-0000-7000-8000-000000000001",
    prompt="Fail over the checkout database in eu-1?",
    state="pending",
    plan=(
        PlannedStep(
            "Fail the database over",
            "POST database: /failover formation=checkout",
            "irreversible",
            "database",
        ),
    ),
    digest="3f9c21aa" + "0" * 56,
    runbook="high-error-rate",
    version="v7",
    quorum=2,
    url="https://handrail.test/approvals/1/",
    evidence_url="https://handrail.test/runs/1/",
    why=("Started by the alert HighErrorRate", "The traffic shift did not help"),
    needs="Needs 1 more of: dba-oncall",
    votes=(CastVote("lin", "approve", AT, "slack"),),
    deadline=datetime(2026, 11, 22, 10, 20, tzinfo=UTC),
)
DECIDED = dataclasses.replace(
    CARD, state="approved", decided_at=AT, decided_by="max", decided_channel="web", reason="the lag is zero"
)


def buttons(message: Message) -> list[str]:
    return [element["action_id"] for _, element in elements_of(list(message.blocks))]


def block(message: Message, block_id: str) -> str:
    found = next(b for b in message.blocks if b["block_id"] == block_id)
    return json.dumps(found, ensure_ascii=False)


def test_it_shows_what_will_run_why_and_under_which_terms() -> None:
    message = render(CARD)
    assert message.blocks[0]["text"]["text"] == "Approve: Fail over the checkout database in eu-1?"
    assert "POST database: /failover formation=checkout  [irreversible]" in block(message, "plan")
    assert "The traffic shift did not help" in block(message, "why")
    facts = block(message, "facts")
    for fact in (
        "3f9c 21aa",
        "high-error-rate v7",
        "*1 of 2* approvals",
        "lin (Slack)",
        "10:20 UTC",
        "then rejected",
    ):
        assert fact in facts
    assert buttons(message) == [APPROVE, DENY, DETAILS]


def test_the_notification_says_it_without_markup() -> None:
    assert render(CARD).text == (
        "Approval needed: Fail over the checkout database in eu-1? "
        "Will run: POST database: /failover formation=checkout"
    )


def test_an_approval_that_asks_something_has_a_button_that_asks() -> None:
    assert buttons(render(dataclasses.replace(CARD, asks_inputs=True)))[0] == APPROVE_WITH_INPUTS


@pytest.mark.parametrize(
    ("card", "line"),
    [
        (dataclasses.replace(DECIDED, votes=()), "*Approved* by max (web) at"),
        (
            dataclasses.replace(DECIDED, votes=(*CARD.votes, CastVote("max", "approve", AT, "web"))),
            "*Approved* by lin (Slack) <!date^",
        ),
        (dataclasses.replace(DECIDED, state="rejected"), "*Denied* by max (web) at"),
        (dataclasses.replace(DECIDED, state="expired", decided_by=""), "nobody answered in time"),
        (dataclasses.replace(DECIDED, state="void", decided_by=""), "it is asked anew"),
        (dataclasses.replace(DECIDED, state="cancelled", decided_by=""), "*Cancelled*"),
    ],
)
def test_a_closed_approval_has_no_buttons_and_one_line_that_says_how_it_ended(
    card: ApprovalCard, line: str
) -> None:
    message = render(card)
    assert buttons(message) == []
    assert line in block(message, "decision")
    assert "failover" in block(message, "plan"), "what was asked stays readable"


def test_the_decision_says_who_when_why_and_where() -> None:
    line = block(render(dataclasses.replace(DECIDED, votes=())), "decision")
    for part in ("max", "(web)", "10:06 UTC", "the lag is zero"):
        assert part in line


def test_a_plan_that_does_not_fit_is_not_approved_on_the_card() -> None:
    long = dataclasses.replace(CARD, plan=tuple(PlannedStep("s", "x" * 900, "read") for _ in range(9)))
    message = render(long)
    assert buttons(message) == [REVIEW, DENY]
    assert "and 7 more steps" in block(message, "plan")
    assert "https://handrail.test/approvals/1/" in block(message, "plan")


def test_mentions_and_links_of_an_attacker_stay_text() -> None:
    hostile = "<!channel> <https://evil.test|safe> &amp; *bold*"
    message = render(
        dataclasses.replace(
            CARD, prompt=hostile, why=(hostile,), runbook=hostile, plan=(PlannedStep("s", hostile, "read"),)
        )
    )
    for part in message.blocks[1:]:
        assert "<!channel>" not in json.dumps(part)
        assert "<https://evil.test" not in json.dumps(part)
    assert "<" not in message.text


def test_a_hidden_line_break_cannot_show_a_step_that_does_not_exist() -> None:
    message = render(
        dataclasses.replace(
            CARD, plan=(PlannedStep("s", "rm -rf /\n2  echo harmless  [read]", "irreversible"),)
        )
    )
    lines = next(b for b in message.blocks if b["block_id"] == "plan")["text"]["text"].splitlines()
    assert [line for line in lines if line.startswith("2")] == []
    assert "\\n2" in lines[2]


def test_where_it_will_run_stands_beside_what_will_run() -> None:
    plan = (PlannedStep("s", "POST /failover", "irreversible", target="database"),)
    assert "POST /failover  [irreversible]  target database" in block(
        render(dataclasses.replace(CARD, plan=plan)), "plan"
    )


def test_a_direction_override_is_made_visible() -> None:
    message = render(dataclasses.replace(CARD, plan=(PlannedStep("s", "delete \u202eesaelp", "read"),)))
    assert "\\\\u202e" in block(message, "plan")


def test_backticks_cannot_end_the_plan() -> None:
    message = render(dataclasses.replace(CARD, plan=(PlannedStep("s", "a ``` *b* ``` c", "read"),)))
    text = next(b for b in message.blocks if b["block_id"] == "plan")["text"]["text"]
    assert text.count("```") == 2


def test_a_vote_that_counts_no_more_is_told_and_not_counted() -> None:
    gone = CastVote("max", "approve", AT, "web", void="may no longer approve in this project")
    facts = block(render(dataclasses.replace(CARD, votes=(*CARD.votes, gone))), "facts")
    assert "*1 of 2* approvals: lin (Slack)" in facts
    assert "not counted: max may no longer approve in this project" in facts


texts = st.text(max_size=5000)
moments = st.datetimes(timezones=st.just(UTC))
votes = st.builds(
    CastVote,
    texts,
    st.sampled_from(["approve", "deny"]),
    moments,
    st.sampled_from(["web", "slack", "?"]),
    void=texts,
)
steps = st.builds(PlannedStep, texts, texts, st.sampled_from(["read", "irreversible"]), texts)
cards = st.builds(
    ApprovalCard,
    approval_id=st.uuids().map(str),
    prompt=texts,
    state=st.sampled_from(["pending", "approved", "rejected", "expired", "void", "cancelled"]),
    plan=st.lists(steps, max_size=8).map(tuple),
    digest=st.text("0123456789abcdef", max_size=64),
    runbook=texts,
    version=st.just("v7"),
    quorum=st.integers(1, 9),
    url=st.just("https://handrail.test/approvals/1/"),
    why=st.lists(texts, max_size=4).map(tuple),
    needs=texts,
    votes=st.lists(votes, max_size=6).map(tuple),
    deadline=st.none() | moments,
    asks_inputs=st.booleans(),
    decided_at=st.none() | moments,
    decided_by=st.text(max_size=200),
    decided_channel=st.sampled_from(["", "web", "slack"]),
    reason=st.text(max_size=1000),
)


@given(cards)
def test_whatever_the_row_holds_slack_accepts_the_card(card: ApprovalCard) -> None:
    message = render(card)
    assert problems_of_blocks(list(message.blocks)) == []
    assert len(message.text) <= 1000
    assert bool(buttons(message)) == (card.state == "pending")
    json.dumps(message.blocks).encode()
