"""No text, no tree and no damage to a runbook makes the parser raise."""

from __future__ import annotations

import json
from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from runbooks.language import ActionSpec, Parsed, parse
from tests.runbooks.language.samples import SAMPLE

WORDS = st.sampled_from(
    [
        "apiVersion",
        "kind",
        "Runbook",
        "metadata",
        "id",
        "title",
        "steps",
        "uses",
        "noop",
        "with",
        "when",
        "kind",
        "group",
        "parallel",
        "wait",
        "for",
        "until",
        "approval",
        "inputs",
        "type",
        "string",
        "default",
        "triggers",
        "on",
        "alert",
        "cron",
        "retry",
        "set",
        "values",
        "fail",
        "message",
        "${{",
        "}}",
        "inputs.a",
        "steps.a.status",
        "true",
        "1",
        "10m",
        "null",
    ]
)


TREES = st.recursive(
    WORDS | st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=25,
)


def _never_raises(text: str | bytes, actions: Mapping[str, ActionSpec]) -> Parsed:
    parsed = parse(text, actions=actions)
    assert (parsed.runbook is None) == bool(parsed.errors)
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    lines = len(raw.decode("utf-8", "replace").splitlines()) + 2
    for problem in parsed.problems:
        assert 1 <= problem.line <= lines
        assert problem.column >= 1
        assert (problem.end_line, problem.end_column) >= (problem.line, problem.column)
    return parsed


@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=200) | st.binary(max_size=100))
def test_no_text_raises(text: str | bytes, actions: Mapping[str, ActionSpec]) -> None:
    _never_raises(text, actions)


@settings(max_examples=200, deadline=None)
@given(top=st.dictionaries(WORDS, TREES, max_size=6), steps=TREES)
def test_no_tree_raises(top: dict[str, object], steps: object, actions: Mapping[str, ActionSpec]) -> None:
    head = {"apiVersion": "handrail/v1", "kind": "Runbook", "metadata": {"id": "a", "title": "A"}}
    _never_raises(json.dumps({**head, "steps": steps, **top}, ensure_ascii=False), actions)


@settings(max_examples=150, deadline=None)
@given(
    cut=st.integers(0, len(SAMPLE)), length=st.integers(0, 40), other=st.text("a:-{}[]\"'$ \n", max_size=5)
)
def test_no_damage_to_a_runbook_raises(
    cut: int, length: int, other: str, actions: Mapping[str, ActionSpec]
) -> None:
    _never_raises(SAMPLE[:cut] + other + SAMPLE[cut + length :], actions)
