"""The modals: a placeholder, the form that asks for a reason and inputs, and a notice. Pure.

Limits: https://docs.slack.dev/reference/views. A trigger id lives three seconds, so the placeholder opens at once
and is replaced when the form is known.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from handrail.shared.printable import printable
from integrations.slack.card import PlannedStep, plain_steps, short_digest
from integrations.slack.mrkdwn import cut, cut_escaped, link
from runbooks.language.inputs import FormField

View = dict[str, Any]

DECIDE = "approval.decide"
"""The callback id of the form."""

REASON = "reason"
"""The block and action id of the reason."""

MAX_REASON = 1000
MAX_INPUT = 3000
MAX_OPTIONS = 100

_TITLES = {"approve": "Approve", "deny": "Deny"}


@dataclass(frozen=True, slots=True)
class Question:
    """What the form is about: whose decision on what, and what it asks for besides."""

    approval_id: uuid.UUID
    decision: str
    prompt: str
    plan: tuple[PlannedStep, ...]
    digest: str
    url: str
    fields: tuple[FormField, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """What a submitted form was about, from its own metadata."""

    approval_id: uuid.UUID
    decision: str


def placeholder(decision: str, url: str) -> View:
    """Shown at once; it leads to the web in case that the form does not come."""
    return _view(
        _TITLES[decision],
        [_section("wait", f"One moment… If nothing comes, {link(url, 'decide on the web')}.")],
    )


def form(question: Question) -> View:
    """The form. A denial asks for a reason, an approval for the approval's own inputs."""
    plan = cut_escaped(plain_steps(question.plan), 1500)
    about = [
        _section("about", f"*{cut_escaped(question.prompt, 600)}*"),
        _section(
            "plan",
            f"Will run: {plan}\ndigest {short_digest(question.digest)} · {link(question.url, 'Details')}",
        ),
    ]
    asked = [_reason()] if question.decision == "deny" else [_input(field) for field in question.fields]
    view = _view(_TITLES[question.decision], about + asked)
    view["callback_id"] = DECIDE
    view["submit"] = _plain(_TITLES[question.decision])
    view["private_metadata"] = json.dumps(
        {"approval": str(question.approval_id), "decision": question.decision}
    )
    return view


def notice(title: str, text: str, url: str = "") -> View:
    """A modal that only says something."""
    more = f"\n{link(url, 'Details')}" if url else ""
    return _view(title, [_section("notice", cut_escaped(text, 2000) + more)])


def linking(url: str) -> View:
    """What somebody sees whose account is not linked. ``url`` is a one-time link."""
    return _view("Link your account", [_section("notice", linking_text(url))])


def linking_text(url: str) -> str:
    """The sentence with the one-time link."""
    return (
        f"Handrail does not know who you are in Slack. {link(url, 'Link your account')} "
        "(works once, for a quarter of an hour), then press the button again."
    )


def block_of(name: str) -> str:
    """The block and action id of an input."""
    return f"input.{name}"


def read_metadata(metadata: str) -> Asked | None:
    """What the form was about; None when the modal is not ours."""
    try:
        data = json.loads(metadata)
        approval_id, decision = uuid.UUID(data["approval"]), data["decision"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return Asked(approval_id, decision) if decision in _TITLES else None


def form_texts(values: Mapping[str, object]) -> dict[str, str]:
    """The submitted inputs by their own names."""
    prefix = block_of("")
    return {
        name.removeprefix(prefix): str(value)
        for name, value in values.items()
        if name.startswith(prefix) and value is not None
    }


def errors(problems: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """The answer to a submission that shows each problem at its block."""
    shown = {block: cut(printable(message), 150) for block, message in problems}
    return {"response_action": "errors", "errors": shown}


def replace_with(view: View) -> dict[str, Any]:
    """The answer to a submission that replaces the modal."""
    return {"response_action": "update", "view": view}


def _view(title: str, blocks: list[dict[str, Any]]) -> View:
    return {"type": "modal", "title": _plain(title), "close": _plain("Close"), "blocks": blocks}


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}


def _section(block_id: str, text: str) -> dict[str, Any]:
    return {
        "type": "section",
        "block_id": block_id,
        "text": {"type": "mrkdwn", "text": text, "verbatim": True},
    }


def _reason() -> dict[str, Any]:
    return {
        "type": "input",
        "block_id": REASON,
        "label": _plain("Why?"),
        "hint": _plain("The people who asked will read it, and it stays in the audit trail."),
        "element": {
            "type": "plain_text_input",
            "action_id": REASON,
            "multiline": True,
            "max_length": MAX_REASON,
        },
    }


def _input(field: FormField) -> dict[str, Any]:
    block_id = block_of(field.name)
    block: dict[str, Any] = {
        "type": "input",
        "block_id": block_id,
        "label": _plain(field.name.replace("_", " ").capitalize()),
        "optional": not field.required,
        "element": _element(field, block_id),
    }
    if field.description:
        block["hint"] = _plain(cut(printable(field.description), 2000))
    return block


def _element(field: FormField, action_id: str) -> dict[str, Any]:
    options = ("true", "false") if field.control == "checkbox" else field.options
    if field.control in ("select", "checkbox") and 0 < len(options) <= MAX_OPTIONS:
        element: dict[str, Any] = {
            "type": "static_select",
            "action_id": action_id,
            "options": [_option(option) for option in options],
        }
        initial = ("true" if field.checked else "false") if field.control == "checkbox" else field.value
        if initial in options:
            element["initial_option"] = _option(initial)
        return element
    element = {
        "type": "plain_text_input",
        "action_id": action_id,
        "multiline": field.control == "textarea",
        "max_length": min(field.max_length or MAX_INPUT, MAX_INPUT),
    }
    if len(field.value) > MAX_INPUT:
        # A part of it would come back as if somebody had written just that.
        element["placeholder"] = _plain("Left empty, it is the default, which is too long for Slack.")
    elif field.value:
        element["initial_value"] = field.value
    return element


def _option(value: str) -> dict[str, Any]:
    return {"text": _plain(cut(printable(value), 75)), "value": value[:150]}
