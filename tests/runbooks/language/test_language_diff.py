"""Comparing two versions of a runbook."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from runbooks.language import ActionSpec, compare, parse
from tests.runbooks.language.samples import SAMPLE

MIN = """\
apiVersion: handrail/v1
kind: Runbook
metadata: {id: a, title: A}
steps:
  - {id: a, uses: noop}
  - {id: b, uses: noop}
  - {id: g, kind: group, steps: [{id: c, uses: noop}]}
  - {id: d, uses: noop}
"""


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ("a", "a", []),
        ("max_attempts: 4", "max_attempts: 5", ["step `shift`: retry 4 -> 5"]),
        ("backoff: 2.0", "backoff: 3", ["step `shift`: retry.backoff 2.0 -> 3.0"]),
        ("json: {weight: 0}", "json: {weight: 1}", ["step `shift`: with.json.weight 0 -> 1"]),
        ("sustained: 3m", "sustained: 240", ["step `recovered`: sustained 3m -> 4m"]),
        ("timeout: 2h", "timeout: 1h", ["runbook: timeout 2h -> 1h"]),
        ('tier: "1"', 'tier: "2"', ["runbook: labels.tier 1 -> 2"]),
        ("default: 0.02", "default: 0.03", ["input `max_error_rate`: default 0.02 -> 0.03"]),
        ("window: 30m", "window: 1h", ["trigger `error-rate`: dedupe.window 30m -> 1h"]),
        ("after: 5m", "after: 6m", ["step `approve_failover`: escalate[0].after 5m -> 6m"]),
        ("min: 2\n", "min: 1\n", ["step `approve_failover`: approvers.min 2 -> 1"]),
        ("id: restore", "id: restored", ["step `restore`: removed", "step `restored`: added"]),
        ("then: continue", "then: fail", ["step `contain`: on_failure.then continue -> fail"]),
        ("    fields: 1", "", []),
        ("    continue_on_error: true\n", "", ["step `evidence`: continue_on_error true -> false"]),
        (
            "heartbeat: 20s",
            "title: T",
            ["step `db_failover`: heartbeat 20s -> none", "step `db_failover`: title none -> T"],
        ),
        (
            "concurrency: 3",
            "fail_fast: true",
            ["step `evidence`: concurrency 3 -> none", "step `evidence`: fail_fast false -> true"],
        ),
    ],
)
def test_a_change_is_said_in_words(
    old: str, new: str, changes: list[str], actions: Mapping[str, ActionSpec]
) -> None:
    before, after = (parse(text, actions=actions).runbook for text in (SAMPLE, SAMPLE.replace(old, new)))
    assert before is not None
    assert after is not None
    assert [str(change) for change in compare(before, after)] == changes


@pytest.mark.parametrize(
    ("order", "changes"),
    [
        ("a b g(c) d", []),
        ("b g(c) d a", ["step `a`: moved place 1 -> place 4"]),
        ("a g(b c) d", ["step `b`: moved steps -> `g`"]),
        ("a b c g(d)", ["step `d`: moved steps -> `g`", "step `c`: moved `g` -> steps"]),
    ],
)
def test_steps_that_moved_are_named(
    order: str, changes: list[str], actions: Mapping[str, ActionSpec]
) -> None:
    lines = MIN.split("\n")[:4]
    for word in order.replace("b c)", "b+c)").split():
        name, _, inside = word.rstrip(")").partition("(")
        steps = ", ".join(f"{{id: {one}, uses: noop}}" for one in inside.split("+"))
        rest = f"kind: group, steps: [{steps}]" if inside else "uses: noop"
        lines.append(f"  - {{id: {name}, {rest}}}")
    before, after = (parse(text, actions=actions).runbook for text in (MIN, "\n".join(lines)))
    assert before is not None
    assert after is not None
    assert [str(change) for change in compare(before, after)] == changes


def test_a_change_of_kind_and_long_values_are_short(actions: Mapping[str, ActionSpec]) -> None:
    action = "id: a, uses: noop"
    texts = (MIN.replace(action, f"id: a, kind: fail, message: {message}") for message in ("x", "y" * 200))
    before, after, changed = (parse(text, actions=actions).runbook for text in (*texts, MIN))
    assert before is not None
    assert after is not None
    assert changed is not None
    assert str(compare(before, after)[0]).endswith("y…")
    assert str(compare(before, changed)[0]) == "step `a`: kind fail -> action"
