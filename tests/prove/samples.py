"""The runbooks that the simulation crashes: those of the demo, docs and flows, the scenarios, and further kinds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runbooks.language.actions import ActionSpec
from runbooks.language.definition import Json, Runbook
from runbooks.language.parsing import parse
from tests.prove.acts import Act
from tests.prove.scenarios import SIMULATED
from tests.prove.steered import STEERED

TOP = Path(__file__).parents[2]
DEMO = TOP / "platform" / "handrail" / "demo" / "runbooks"
FLOWS = TOP / "tests" / "flows" / "runbooks"
DOCS = TOP / "docs"
_YAML = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)

Production = Callable[[str, Mapping[str, int]], Json]
"""What a call answers: its key, and how often each effect has happened so far, to its outputs."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A runbook with what production answers. ``pairs``: two crashes in one run may be tried, too.

    ``acts``: what a person does to the run. ``waits``: it waits for its turn; ``has_its_turn``: and it comes.
    ``mended``: a call that the target refuses until the run is resumed after its end.
    """

    name: str
    definition: Runbook
    production: Production
    state: str = "succeeded"
    inputs: dict[str, Json] = field(default_factory=dict)
    pairs: bool = False
    acts: tuple[Act, ...] = ()
    waits: bool = False
    has_its_turn: bool = True
    mended: str = ""


def _busy(_key: str, _did: Mapping[str, int]) -> Json:
    """A production in which there is something to do."""
    return {"status": 200, "value": 2000.0, "json": {"weight": 10}}


def _well(_key: str, did: Mapping[str, int]) -> Json:
    """The demo's production: bad until the database has failed over, and as it is told to be."""
    value = 0.001 if did.get("db_failover") else 0.3
    return {"status": 200, "value": value, "json": {"weight": 0 if did.get("shift") else 10, "previous": 10}}


def _ledger(key: str, did: Mapping[str, int]) -> Json:
    """What `prove.look` finds: whether the step that it looks for has happened."""
    looked_for = {"seen": "before"}.get(key, key.partition("/")[0])
    return {"done": did.get(looked_for, 0) > 0, "key": key}


_FILLED: dict[str, Json] = {"service": "checkout", "region": "eu-1", "host": "web-1", "n": 3}
_KINDS: tuple[tuple[str, str, str], ...] = (
    (
        "loop-undone",
        "failed",
        """
- id: block
  kind: group
  on_failure: {compensate: true, then: fail}
  steps:
    - id: each
      kind: for_each
      items: "[1, 2]"
      concurrency: 2
      steps: [{id: a, uses: prove.effect, compensate: {uses: prove.effect}}]
    - {id: boom, uses: prove.effect, with: {fails: true}}
""",
    ),
    (
        "cases",
        "succeeded",
        """
- id: choose
  kind: switch
  cases:
    - {when: "false", steps: [{id: never, uses: prove.effect}]}
    - {when: "true", steps: [{id: taken, uses: prove.effect}, {id: rest, kind: wait, for: 5s}]}
- {id: then, kind: set, values: {x: 1}}
- {id: last, uses: prove.effect}
""",
    ),
    (
        "people",
        "succeeded",
        """
- {id: by_hand, kind: manual, prompt: "Turn the key.", timeout: 1h}
- {id: ask, kind: approval, prompt: "Go on?", for: [go], approvers: {users: [human]}, timeout: 1h}
- {id: go, uses: prove.effect}
- {id: other, kind: runbook, runbook: other}
- {id: after, uses: prove.effect}
""",
    ),
    (
        "nested",
        "failed",
        """
- id: all
  kind: parallel
  fail_fast: true
  steps:
    - id: left
      kind: group
      on_failure: {compensate: true, then: fail}
      steps:
        - {id: l1, uses: prove.effect, compensate: {uses: prove.effect}}
        - {id: pause, kind: wait, for: 1h}
    - {id: right, kind: group, steps: [{id: r1, uses: prove.effect}, {id: stop, kind: fail, message: "No."}]}
""",
    ),
)


def _scenario(name: str, steps: str) -> str:
    indented = "\n".join(f"  {line}" for line in steps.strip().splitlines())
    tail = "finally:\n  - {id: report, uses: prove.effect, idempotent: true}\n"
    return (
        f"apiVersion: handrail/v1\nkind: Runbook\nmetadata: {{id: {name}, title: Proves a kind}}\n"
        f"steps:\n{indented}\n{tail}"
    )


def samples(actions: Mapping[str, ActionSpec]) -> list[Sample]:
    """Every sample. ``actions``: what the installation knows, with those of the proof."""
    found = [
        Sample(one.slug, _read(one.source(), actions), _ledger, one.state, pairs=True) for one in SIMULATED
    ]
    found += [
        Sample(name, _read(_scenario(name, steps), actions), _ledger, state, pairs=True)
        for name, state, steps in _KINDS
    ]
    found += [
        Sample(
            one.name,
            _read(_scenario(one.name, one.steps), actions),
            _ledger,
            one.state,
            pairs=True,
            acts=one.acts,
            waits=one.waits,
            has_its_turn=one.has_its_turn,
            mended=one.mended,
        )
        for one in STEERED
    ]
    for path in sorted(FLOWS.glob("*.yaml")):
        found.append(_plain(path.stem, path.read_text(), actions, _well))
    for path in sorted(DEMO.glob("*.yaml")):
        found.append(_plain(path.stem, path.read_text(), actions, _well))
    for name, text in _in_docs():
        found.append(_plain(name, text, actions, _busy))
    return found


def _plain(name: str, text: str, actions: Mapping[str, ActionSpec], production: Production) -> Sample:
    definition = _read(text, actions)
    wanted = {one.name for one in definition.inputs}
    inputs = {key: value for key, value in _FILLED.items() if key in wanted}
    inputs |= {one.name: one.default for one in definition.inputs if one.default is not None}
    return Sample(f"{name} (file)", definition, production, inputs=inputs)


def _in_docs() -> Iterator[tuple[str, str]]:
    for path in sorted(DOCS.rglob("*.md")):
        for n, found in enumerate(_YAML.findall(path.read_text())):
            if found.startswith("apiVersion: handrail/v1"):
                yield f"{path.stem}-{n + 1}", found


def _read(text: str, actions: Mapping[str, ActionSpec]) -> Runbook:
    parsed = parse(text, actions=actions)
    if parsed.runbook is None:
        raise ValueError(f"A sample is no runbook: {parsed.errors[0]}")
    return parsed.runbook
