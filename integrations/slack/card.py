"""The approval card: what a person must see before pressing Approve, as Slack blocks. Pure.

The limits are Slack's (https://docs.slack.dev/reference/block-kit/blocks): a header has 150 characters, a text
object 3,000, a button's value 2,000. What does not fit is not approved here: the card then leads to the web.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from handrail.shared.printable import printable
from integrations.slack.mrkdwn import code_block, cut, cut_escaped, escape, link, literal, moment

Block = dict[str, Any]
"""One block, as JSON data of Block Kit."""

HEADER_LIMIT = 150
SECTION_LIMIT = 3000
PLAN_LIMIT = 2600
"""Characters of the plan on the card; the rest of its section is for the heading and the way to the web."""

APPROVE = "approval.approve"
APPROVE_WITH_INPUTS = "approval.approve_with_inputs"
DENY = "approval.deny"
DETAILS = "approval.details"
REVIEW = "approval.review"


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One guarded step: its title, what it would do in one line (secrets masked), its effect and target."""

    title: str
    preview: str
    effect: str
    target: str = ""


@dataclass(frozen=True, slots=True)
class CastVote:
    """Somebody's answer: ``decision`` is ``approve`` or ``deny``, ``channel`` how it came.

    ``void`` says why it counts no more.
    """

    by: str
    decision: str
    at: datetime
    channel: str
    reason: str = ""
    void: str = ""

    @property
    def counts(self) -> bool:
        """Whether it is one of the approvals that are needed."""
        return self.decision == "approve" and not self.void


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalCard:
    """Everything that the card shows, read from the row. ``state`` is the approval's.

    ``needs`` says whose answers are missing; ``why`` are short sentences; ``on_timeout`` says what happens when
    nobody answers (``rejected``). ``url`` is the approval's page, ``evidence_url`` the run's.
    """

    approval_id: str
    prompt: str
    state: str
    plan: tuple[PlannedStep, ...]
    digest: str
    runbook: str
    version: str
    quorum: int
    url: str
    evidence_url: str = ""
    why: tuple[str, ...] = ()
    needs: str = ""
    votes: tuple[CastVote, ...] = ()
    deadline: datetime | None = None
    on_timeout: str = "rejected"
    asks_inputs: bool = False
    decided_at: datetime | None = None
    decided_by: str = ""
    decided_channel: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """What is posted: ``text`` is what notifications and screen readers say, ``blocks`` what is shown."""

    text: str
    blocks: tuple[Block, ...]


def render(card: ApprovalCard) -> Message:
    """The message that shows this approval as it is now."""
    plan, complete = _plan_section(card)
    pending = card.state == "pending"
    title = f"{'Approve' if pending else _WORDS.get(card.state, card.state.capitalize())}: {card.prompt}"
    blocks: list[Block] = [_header(title)]
    if len(printable(title)) > HEADER_LIMIT:
        blocks.append(_section("prompt", cut_escaped(card.prompt, SECTION_LIMIT)))
    blocks.append(plan)
    if pending:
        if card.why:
            why = "\n".join(literal(line) for line in card.why)
            text = why if len(why) <= 2500 else cut_escaped(" ".join(card.why), 2500)
            blocks.append(_section("why", f"*Why*\n{text}{_evidence(card)}"))
        blocks.append(_context("facts", _facts(card)))
        blocks.append(_buttons(card, complete=complete))
    else:
        blocks.append(_context("decision", decision_line(card)))
    return Message(text=cut(_plain(card), 1000), blocks=tuple(blocks))


def decision_line(card: ApprovalCard) -> str:
    """One line that says who decided, when, why and where; or why nobody can any more."""
    when = f" at {moment(card.decided_at)}" if card.decided_at else ""
    where = f" ({channel_in_words(card.decided_channel)})" if card.decided_channel else ""
    reason = f": {cut_escaped(card.reason, 800)}" if card.reason else ""
    details = f" · {link(card.url, 'Details')}"
    if card.state == "approved":
        names = ", ".join(_vote(vote) for vote in card.votes if vote.counts)
        who = (
            names
            if len(card.votes) > 1 and len(names) < 1200
            else literal(card.decided_by or "nobody") + where
        )
        return f":white_check_mark: *Approved* by {who}{when}{reason}{details}"
    if card.state == "rejected":
        return f":no_entry: *Denied* by {literal(card.decided_by or 'nobody')}{where}{when}{reason}{details}"
    if card.state == "expired":
        return f":hourglass: *Expired*{when}: nobody answered in time, so it was {literal(card.on_timeout)}{details}"
    if card.state == "void":
        return f":warning: *Void*{when}{reason or ': what would run has changed'} · it is asked anew{details}"
    return f":heavy_minus_sign: *Cancelled*{when}{reason}{details}"


_WORDS = {
    "approved": "Approved",
    "rejected": "Denied",
    "expired": "Expired",
    "void": "Void",
    "cancelled": "Cancelled",
}

_CHANNELS = {"web": "web", "slack": "Slack", "api": "API", "cli": "command line", "automation": "Handrail"}


def channel_in_words(name: str) -> str:
    """How an answer came, as people say it."""
    return _CHANNELS.get(name, literal(name))


def _vote(vote: CastVote) -> str:
    return f"{literal(vote.by)} ({channel_in_words(vote.channel)}) {moment(vote.at)}"


def _header(title: str) -> Block:
    text = cut(printable(title), HEADER_LIMIT)
    return {
        "type": "header",
        "block_id": "title",
        "text": {"type": "plain_text", "text": text, "emoji": False},
    }


def _section(block_id: str, text: str) -> Block:
    return {
        "type": "section",
        "block_id": block_id,
        "text": {"type": "mrkdwn", "text": text, "verbatim": True},
    }


def _context(block_id: str, text: str) -> Block:
    element = {"type": "mrkdwn", "text": text, "verbatim": True}
    return {"type": "context", "block_id": block_id, "elements": [element]}


def _plan_section(card: ApprovalCard) -> tuple[Block, bool]:
    """The section "Will run", and whether it shows the whole plan."""
    heading = "*Will run*" if card.state == "pending" else "*Asked about*"
    lines: list[str] = []
    room = PLAN_LIMIT
    for number, step in enumerate(card.plan, start=1):
        target = f"  target {step.target}" if step.target else ""
        line = f"{number}  {step.preview or step.title}  [{step.effect}]{target}"
        room -= len(code_block([line]))
        if room < 0:
            break
        lines.append(line)
    complete = len(lines) == len(card.plan)
    parts = [heading]
    if lines:
        parts.append(code_block(lines))
    if not complete:
        left = len(card.plan) - len(lines)
        more = f"{left} more steps" if lines else "a plan that is too long for Slack"
        if left == 1 and lines:
            more = "1 more step"
        parts.append(f":warning: and {more}: {link(card.url, 'read the whole plan on the web')}")
    elif not card.plan:
        parts.append("No step is guarded: approving lets the run go on.")
    return _section("plan", "\n".join(parts)), complete


def _evidence(card: ApprovalCard) -> str:
    return f"\n{link(card.evidence_url, 'Evidence')}" if card.evidence_url else ""


def _facts(card: ApprovalCard) -> str:
    """Digest, version, deadline and quorum in one line."""
    approvals = sum(vote.counts for vote in card.votes)
    names = ", ".join(_vote(vote) for vote in card.votes if vote.counts)
    quorum = f"*{approvals} of {card.quorum}* approval{'' if card.quorum == 1 else 's'}"
    if names and len(names) <= 1000:
        quorum += f": {names}"
    facts = [
        f"digest {short_digest(card.digest)}",
        f"{cut_escaped(card.runbook, 200)} {literal(card.version)}",
    ]
    if card.deadline is not None:
        facts.append(f"until {moment(card.deadline)}, then {literal(card.on_timeout)}")
    facts.append(quorum)
    void = "; ".join(f"{vote.by} {vote.void}" for vote in card.votes if vote.void)
    if void:
        facts.append(cut_escaped(f"not counted: {void}", 600))
    if card.needs:
        facts.append(cut_escaped(card.needs, 600))
    return " · ".join(facts)


def short_digest(digest: str) -> str:
    """The first eight hex digits in two groups, as people compare them: ``3f9c 21aa``."""
    return escape(f"{digest[:4]} {digest[4:8]}".strip())


def _buttons(card: ApprovalCard, *, complete: bool) -> Block:
    """Approve, Deny, Details; without Approve where the card cannot show everything that would run."""
    deny = _button(DENY, "Deny", {"value": card.approval_id, "style": "danger"})
    if not complete:
        review = _button(REVIEW, "Review on the web", {"url": card.url, "style": "primary"})
        return {"type": "actions", "block_id": "decide", "elements": [review, deny]}
    approve = _button(
        APPROVE_WITH_INPUTS if card.asks_inputs else APPROVE,
        "Approve",
        {"value": card.approval_id, "style": "primary"},
    )
    details = _button(DETAILS, "Details", {"url": card.url})
    return {"type": "actions", "block_id": "decide", "elements": [approve, deny, details]}


def _button(action_id: str, label: str, more: Mapping[str, str]) -> Block:
    return {
        "type": "button",
        "action_id": action_id,
        "text": {"type": "plain_text", "text": label, "emoji": False},
        **more,
    }


def _plain(card: ApprovalCard) -> str:
    """The notification: no markup, nothing that could mention anybody."""
    steps = plain_steps(card.plan)
    if card.state == "pending":
        return escape(f"Approval needed: {printable(card.prompt)} Will run: {steps}")
    return escape(f"{_WORDS.get(card.state, card.state)}: {printable(card.prompt)}")


def plain_steps(plan: Sequence[PlannedStep]) -> str:
    """The plan in one line of plain text."""
    return printable("; ".join(step.preview or step.title for step in plan)) or "nothing"
