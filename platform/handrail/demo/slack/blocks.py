"""What the real Slack refuses in blocks and views. Pure.

Source: https://docs.slack.dev/reference/block-kit and https://docs.slack.dev/reference/views. Only the kinds of
blocks that Handrail could sensibly use are known; any other is refused, as a misspelt one would be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Json = Any
"""A parsed JSON value of somebody else's making."""

MAX_BLOCKS = 50
MAX_VIEW_BLOCKS = 100
MAX_TEXT = 3000
MAX_HEADER = 150
MAX_ID = 255
MAX_VALUE = 2000
MAX_URL = 3000
MAX_LABEL = 75
MAX_ACTIONS = 25
MAX_CONTEXT = 10
MAX_FIELDS = 10
MAX_VIEW_TITLE = 24


def problems_of_blocks(blocks: Json, *, most: int = MAX_BLOCKS) -> list[str]:
    """Everything that is wrong, as Slack's ``response_metadata.messages`` would put it; empty when it is fine."""
    if not isinstance(blocks, list):
        return ["blocks must be an array"]
    found = [f"no more than {most} items allowed [json-pointer:/blocks]"] if len(blocks) > most else []
    seen: set[str] = set()
    for n, block in enumerate(blocks):
        found += [f"{problem} [json-pointer:/blocks/{n}]" for problem in _block(block)]
        block_id = block.get("block_id") if isinstance(block, dict) else None
        if isinstance(block_id, str):
            if block_id in seen:
                found.append(f"block_id must be unique: {block_id} [json-pointer:/blocks/{n}/block_id]")
            seen.add(block_id)
    return found


def problems_of_view(view: Json) -> list[str]:
    """What is wrong with a modal."""
    if not isinstance(view, dict) or view.get("type") != "modal":
        return ["view must be an object of type modal [json-pointer:/view]"]
    found = _text(view.get("title"), MAX_VIEW_TITLE, kinds=("plain_text",), where="title")
    for name in ("submit", "close"):
        if name in view:
            found += _text(view[name], MAX_VIEW_TITLE, kinds=("plain_text",), where=name)
    if len(str(view.get("private_metadata", ""))) > MAX_TEXT:
        found.append("private_metadata must be less than 3001 characters")
    if len(str(view.get("callback_id", ""))) > MAX_ID:
        found.append("callback_id must be less than 256 characters")
    blocks = view.get("blocks")
    has_input = isinstance(blocks, list) and any(
        isinstance(block, dict) and block.get("type") == "input" for block in blocks
    )
    if has_input and "submit" not in view:
        found.append("a view with an input block must have a submit [json-pointer:/view/submit]")
    return found + problems_of_blocks(blocks, most=MAX_VIEW_BLOCKS)


def elements_of(blocks: Json) -> Iterator[tuple[str, dict[str, Any]]]:
    """The interactive elements of checked blocks, each with the id of its block."""
    for n, block in enumerate(blocks):
        block_id = str(block.get("block_id", f"b{n}"))
        inside = block.get("elements", []) if block.get("type") == "actions" else []
        for element in [*inside, block.get("accessory"), block.get("element")]:
            if isinstance(element, dict):
                yield block_id, element


def _block(block: Json) -> list[str]:
    if not isinstance(block, dict):
        return ["must be an object"]
    check = _CHECKS.get(str(block.get("type")))
    if check is None:
        return [f"unsupported type: {block.get('type')}"]
    found = check(block)
    block_id = block.get("block_id", "")
    if not isinstance(block_id, str) or len(block_id) > MAX_ID:
        found.append("block_id must be a string of less than 256 characters")
    return found


def _text(
    text: Json, limit: int, *, kinds: tuple[str, ...] = ("plain_text", "mrkdwn"), where: str
) -> list[str]:
    if not isinstance(text, dict):
        return [f"missing required field: {where}"]
    if text.get("type") not in kinds:
        return [f"{where} must be of type {' or '.join(kinds)}"]
    value = text.get("text")
    if not isinstance(value, str) or not value:
        return [f"{where} must be more than 0 characters"]
    return [f"{where} must be less than {limit + 1} characters"] if len(value) > limit else []


def _header(block: dict[str, Any]) -> list[str]:
    return _text(block.get("text"), MAX_HEADER, kinds=("plain_text",), where="text")


def _section(block: dict[str, Any]) -> list[str]:
    fields = block.get("fields", [])
    found = _text(block["text"], MAX_TEXT, where="text") if "text" in block else []
    if "text" not in block and not fields:
        found.append("missing required field: text or fields")
    if len(fields) > MAX_FIELDS:
        found.append("no more than 10 fields allowed")
    for field in fields:
        found += _text(field, MAX_VALUE, where="field")
    if "accessory" in block:
        found += _element(block["accessory"])
    return found


def _context(block: dict[str, Any]) -> list[str]:
    elements = block.get("elements")
    if not isinstance(elements, list) or not 0 < len(elements) <= MAX_CONTEXT:
        return ["elements must have 1 to 10 items"]
    return [problem for element in elements for problem in _text(element, MAX_TEXT, where="element")]


def _actions(block: dict[str, Any]) -> list[str]:
    elements = block.get("elements")
    if not isinstance(elements, list) or not 0 < len(elements) <= MAX_ACTIONS:
        return ["elements must have 1 to 25 items"]
    ids = [element.get("action_id") for element in elements if isinstance(element, dict)]
    found = ["action_id must be unique in its block"] if len(set(ids)) < len(ids) else []
    return found + [problem for element in elements for problem in _element(element)]


def _input(block: dict[str, Any]) -> list[str]:
    found = _text(block.get("label"), 2000, kinds=("plain_text",), where="label")
    if "hint" in block:
        found += _text(block["hint"], 2000, kinds=("plain_text",), where="hint")
    return found + _element(block.get("element"))


def _element(element: Json) -> list[str]:
    if not isinstance(element, dict):
        return ["missing required field: element"]
    action_id = element.get("action_id")
    found = []
    if not isinstance(action_id, str) or not 0 < len(action_id) <= MAX_ID:
        found.append("action_id must be a string of 1 to 255 characters")
    kind = element.get("type")
    if kind == "button":
        return found + _button(element)
    if kind == "static_select":
        return found + _options(element, most=100)
    if kind in ("checkboxes", "radio_buttons"):
        return found + _options(element, most=10)
    if kind in ("plain_text_input", "number_input"):
        return found
    return [*found, f"unsupported element: {kind}"]


def _button(element: dict[str, Any]) -> list[str]:
    found = _text(element.get("text"), MAX_LABEL, kinds=("plain_text",), where="button text")
    if len(str(element.get("value", ""))) > MAX_VALUE:
        found.append("value must be less than 2001 characters")
    if len(str(element.get("url", ""))) > MAX_URL:
        found.append("url must be less than 3001 characters")
    if element.get("style", "primary") not in ("primary", "danger"):
        found.append("style must be primary or danger")
    return found


def _options(element: dict[str, Any], *, most: int) -> list[str]:
    options = element.get("options")
    if not isinstance(options, list) or not 0 < len(options) <= most:
        return [f"options must have 1 to {most} items"]
    found = []
    for option in options:
        found += _text(option.get("text"), MAX_LABEL, where="option text")
        if not 0 < len(str(option.get("value", ""))) <= 150:
            found.append("option value must be 1 to 150 characters")
    return found


def _divider(_block: dict[str, Any]) -> list[str]:
    return []


_CHECKS: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "header": _header,
    "section": _section,
    "context": _context,
    "actions": _actions,
    "input": _input,
    "divider": _divider,
}
