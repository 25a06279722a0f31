"""The items of a loop in words: what each is called, and how many have come how far."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable

from handrail.shared.jsonvalue import JsonValue

LONGEST_LABEL = 60
_NAMING = ("name", "id", "title", "host", "hostname", "slug", "key", "url")
_TOLD = (
    ("uncertain", "outcome unknown"),
    ("awaiting_approval", "waiting for approval"),
    ("awaiting_human", "waiting for a person"),
    ("failed", "failed"),
    ("timed_out", "timed out"),
    ("compensation_failed", "undo failed"),
    ("compensating", "undoing"),
    ("executing", "running"),
    ("compensated", "undone"),
    ("cancelled", "cancelled"),
    ("skipped", "skipped"),
)
_SAME = {"claimed": "executing", "ready": "executing", "waiting": "executing"}


def label_of(item: JsonValue, n: int) -> str:
    """What people call an item: its text, what names it, or its number; ``n`` counts from 0."""
    if isinstance(item, dict):
        named = next((item[name] for name in _NAMING if isinstance(item.get(name), (str, int))), None)
        item = json.dumps(item, ensure_ascii=False) if named is None else named
    text = item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)
    text = " ".join(text.split())
    if not text:
        return f"item {n + 1}"
    return text if len(text) <= LONGEST_LABEL else text[: LONGEST_LABEL - 1] + "…"


def tally(states: Iterable[str], of: int) -> str:
    """How far the items have come: ``12 of 200, 1 failed, 2 running``."""
    counts = Counter(_SAME.get(state, state) for state in states)
    told = [f"{counts[state]} {words}" for state, words in _TOLD if counts[state]]
    return ", ".join([f"{counts['succeeded']} of {of}", *told])
