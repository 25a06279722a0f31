"""The kinds that hold or await more than one call: how they are written, and what is knowably wrong with them."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping

import pytest

from runbooks.language import ActionSpec, compare, parse
from runbooks.language.definition import ForEachStep, Runbook, SwitchStep

HEAD = """\
apiVersion: handrail/v1
kind: Runbook
metadata: {id: a, title: A}
inputs: {n: {type: integer}, hosts: {type: array}}
steps:
"""
Problems = Callable[[str], list[str]]
Read = Callable[[str], Runbook]


@pytest.fixture
def problems(actions: Mapping[str, ActionSpec]) -> Problems:
    """The problems of these steps, without their places."""

    def found(steps: str) -> list[str]:
        text = HEAD + textwrap.indent(textwrap.dedent(steps).strip("\n"), "  ")
        return [f"{one.path}: {one.message}" for one in parse(text, actions=actions).problems]

    return found


@pytest.fixture
def read(actions: Mapping[str, ActionSpec]) -> Read:
    """The definition of these steps."""

    def found(steps: str) -> Runbook:
        parsed = parse(HEAD + textwrap.indent(textwrap.dedent(steps).strip("\n"), "  "), actions=actions)
        assert parsed.runbook is not None, parsed.problems
        return parsed.runbook

    return found


SWITCH = """
- id: s
  kind: switch
  cases:
    - when: inputs.n > 3
      steps: [{id: big, uses: noop}]
    - when: inputs.n > 1
      steps: [{id: small, uses: noop}]
  default: [{id: none, uses: noop}]
- {id: after, uses: noop, when: steps.big.status == 'succeeded'}
"""


def test_a_switch_is_read_with_its_cases_and_its_default(read: Read) -> None:
    switch = read(SWITCH).step("s")
    assert isinstance(switch, SwitchStep)
    assert [(case.when, case.steps[0].id, case.steps[0].path) for case in switch.cases] == [
        ("inputs.n > 3", "big", "steps[0].cases[0].steps[0]"),
        ("inputs.n > 1", "small", "steps[0].cases[1].steps[0]"),
    ]
    assert [step.id for step in switch.children()] == ["big", "small", "none"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("- when: inputs.n > 1", "- when: inputs.m > 1", "steps[0].cases[1].when: There is no input 'm'."),
        ("- when: inputs.n > 1", "- when: inputs.n", "cases[1].when: This must be true or false"),
        (
            "{id: small, uses: noop}",
            "{id: small, uses: noop, when: steps.big.status == 'failed'}",
            "The step 'big' is in another case of 's', and only one of them runs: it cannot be read here.",
        ),
        (
            "- when: inputs.n > 3",
            "- when: true",
            "cases[0].when: This is always true: nothing that comes after it is taken.",
        ),
        ("{id: none, uses: noop}", "{id: big, uses: noop}", "The id 'big' is taken by the step on line"),
        ("{id: none, uses: noop}", "{id: none, uses: nop}", "There is no action 'nop'."),
        ("status == 'succeeded'", "outputs.x.y == 1", ""),
        ("steps.big.status", "steps.s.outputs", "'s' has no outputs: it is of the kind 'switch'."),
    ],
)
def test_what_is_wrong_in_a_switch_is_said_at_its_place(
    problems: Problems, old: str, new: str, message: str
) -> None:
    found = problems(SWITCH.replace(old, new, 1))
    assert any(message in one for one in found) if message else found == []


def test_a_step_that_moves_to_another_case_is_a_change(read: Read) -> None:
    both = SWITCH.replace("[{id: small, uses: noop}]", "[{id: big2, uses: noop}, {id: small, uses: noop}]")
    moved = SWITCH.replace("[{id: big, uses: noop}]", "[{id: big, uses: noop}, {id: big2, uses: noop}]")
    assert [str(one) for one in compare(read(both), read(moved))] == [
        "step `big2`: moved `s` case 2 -> `s` case 1"
    ]
    raised = SWITCH.replace("inputs.n > 3", "inputs.n > 4")
    assert [str(one) for one in compare(read(SWITCH), read(raised))] == [
        "step `s`: cases[0].when inputs.n > 3 -> inputs.n > 4"
    ]


LOOP = """
- id: each
  kind: for_each
  items: inputs.hosts
  as: host
  concurrency: 5
  steps:
    - {id: look, uses: http.request, with: {connection: c, path: "/${{ host.name }}"}}
    - {id: act, uses: noop, when: steps.look.outputs.status == 200}
- {id: after, uses: noop, when: "steps.each.outputs.all(one, one.status == 'succeeded')"}
"""


def test_a_loop_is_read_with_its_item(read: Read) -> None:
    book = read(LOOP)
    each = book.step("each")
    assert isinstance(each, ForEachStep)
    assert (each.items, each.as_, each.concurrency, each.on_item_failure) == (
        "inputs.hosts", "host", 5, "fail",
    )  # fmt: skip
    assert {name: place.loops for name, place in book.places.items()} == {
        "each": (), "look": ("each",), "act": ("each",), "after": (),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "steps.each.outputs.all(one, one.status == 'succeeded')",
            "steps.look.status == 'succeeded'",
            "'look' is done once for each item of 'each' (what they gave is the list steps.each.outputs): it cannot",
        ),
        ("host.name", "item.name", "'item' is known only inside for_each (or what its 'as' says)."),
        ("host.name", "hosts.name", "The name 'hosts' is not known."),
        ('when: "steps.each', 'when: "host == 1 && steps.each', "The name 'host' is not known."),
        ("as: host", "as: inputs", "steps[0].as: 'inputs' cannot name the item"),
        ("as: host", "as: loop", "steps[0].as: 'loop' cannot name the item"),
        ("items: inputs.hosts", "items: inputs.n", "steps[0].items: This must be a list; it is an integer."),
        ("items: inputs.hosts", "items: steps.after.outputs", "The step 'after' comes later"),
        ("concurrency: 5", "concurrency: 51", "steps[0].concurrency: This must be at most 50."),
        ("as: host", "as: host\n  timeout: 1h\n  on_item_failure: continue", ""),
        (
            "{id: act, uses: noop, when: steps.look.outputs.status == 200}",
            "{id: act, kind: for_each, items: host.l, as: host, steps: [{id: x, uses: noop}]}",
            "The item of the for_each around this one is 'host', too: give this one another 'as'.",
        ),
        (
            "{id: act, uses: noop, when: steps.look.outputs.status == 200}",
            "{id: act, kind: for_each, items: host.l, steps: [{id: x, uses: noop, when: item == host.y}]}",
            "",
        ),
        (
            "- id: each",
            "- {id: ask, kind: approval, prompt: Go?, for: [each], timeout: 1m}\n- id: each",
            "'each' is done once for each item of 'each', which this approval cannot show: put the approval inside",
        ),
        (
            "{id: look,",
            "{id: ask, kind: approval, prompt: Go?, for: [act], timeout: 1m}\n    - {id: look,",
            "",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_loop_is_said_at_its_place(
    problems: Problems, old: str, new: str, message: str
) -> None:
    assert old in LOOP
    found = problems(LOOP.replace(old, new, 1))
    assert any(message in one for one in found) if message else found == [], found
