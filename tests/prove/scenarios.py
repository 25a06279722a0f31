"""The runbooks that are run while everything is killed, and what each must have done in the end."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scenario:
    """``once``: nodes whose effect must happen exactly once; ``repeatable``: at least once; ``never``: not at all.

    The undoing of a node is called ``node:compensate``, the second item's in a loop ``node[1]``. ``is_started``:
    by people; others are started by a schedule, or by a step. ``rest`` stands beside the steps.
    """

    slug: str
    steps: str
    state: str
    once: tuple[str, ...] = ()
    repeatable: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    is_started: bool = True
    rest: str = ""

    def source(self) -> str:
        indented = "\n".join(f"  {line}" for line in self.steps.strip().splitlines())
        head = (
            f"apiVersion: handrail/v1\nkind: Runbook\nmetadata: {{id: {self.slug}, title: Proves something}}"
        )
        return f"{head}\n{self.rest}\nsteps:\n{indented}\n"


CHAIN = Scenario(
    "chain",
    """
- {id: one, uses: prove.effect}
- {id: two, uses: prove.effect, idempotent: true}
- id: three
  uses: prove.effect
  probe: {uses: prove.look, with: {key: "${{ run.id }}:three:"}, done_when: result.done}
- {id: four, uses: prove.effect}
- {id: five, uses: prove.effect, idempotent: true}
""",
    "succeeded",
    once=("one", "three", "four"),
    repeatable=("two", "five"),
)

FAN = Scenario(
    "fan",
    """
- id: all
  kind: parallel
  steps:
    - {id: a, uses: prove.effect}
    - {id: b, uses: prove.effect, idempotent: true}
    - {id: c, uses: prove.effect}
    - {id: d, uses: prove.effect, idempotent: true}
- {id: join, uses: prove.effect}
""",
    "succeeded",
    once=("a", "c", "join"),
    repeatable=("b", "d"),
    # Others wait as pending runs: who ends, who lets them begin and who sweeps are killed as well.
    rest="concurrency: {key: all, limit: 3}",
)

BACK = Scenario(
    "back",
    """
- id: block
  kind: group
  on_failure: {compensate: true, then: fail}
  steps:
    - {id: a, uses: prove.effect, compensate: {uses: prove.effect}}
    - {id: b, uses: prove.effect, idempotent: true, compensate: {uses: prove.effect}}
    - {id: boom, uses: prove.effect, with: {fails: true}, idempotent: true}
""",
    "failed",
    once=("a", "a:compensate"),
    repeatable=("b", "b:compensate"),
)

TIMERS = Scenario(
    "timers",
    """
- {id: before, uses: prove.effect}
- {id: rest, kind: wait, for: 1s}
- id: seen
  kind: wait_until
  uses: prove.look
  with: {key: "${{ run.id }}:before:"}
  until: result.done
  sustained: 1s
  interval: 1s
  timeout: 5m
- {id: after, uses: prove.effect}
""",
    "succeeded",
    once=("before", "after"),
)

ASKED = Scenario(
    "asked",
    """
- {id: ask, kind: approval, prompt: "Go on?", for: [go], approvers: {users: [human]}, timeout: 1h}
- {id: go, uses: prove.effect}
""",
    "succeeded",
    once=("go",),
)

SLOW = Scenario(
    "slow",
    """
- {id: long, uses: prove.effect, with: {seconds: 1.2}, idempotent: true}
- {id: then, uses: prove.effect}
""",
    "succeeded",
    once=("then",),
    repeatable=("long",),
)

LOOP = Scenario(
    "loop",
    """
- id: each
  kind: for_each
  items: '["p", "q", "r"]'
  concurrency: 2
  steps:
    - {id: act, uses: prove.effect}
    - {id: again, uses: prove.effect, idempotent: true}
- {id: after, uses: prove.effect}
""",
    "succeeded",
    once=("act[0]", "act[1]", "act[2]", "after"),
    repeatable=("again[0]", "again[1]", "again[2]"),
)

CHOICE = Scenario(
    "choice",
    """
- {id: before, uses: prove.effect}
- id: which
  kind: switch
  cases:
    - {when: steps.before.status == 'failed', steps: [{id: wrong, uses: prove.effect}]}
    - {when: steps.before.status == 'succeeded', steps: [{id: taken, uses: prove.effect}]}
  default: [{id: none, uses: prove.effect}]
""",
    "succeeded",
    once=("before", "taken"),
    never=("wrong", "none"),
)

HAND = Scenario(
    "hand",
    """
- {id: look, kind: manual, prompt: Look at it., inputs: {seen: {type: integer, required: true}}, timeout: 1h}
- {id: after, uses: prove.effect}
""",
    "succeeded",
    once=("after",),
)

INNER = Scenario("inner", "- {id: deep, uses: prove.effect}", "succeeded", once=("deep",), is_started=False)

LIMITED = Scenario(
    "limited",
    """
- {id: before, uses: prove.effect}
- id: both
  kind: parallel
  steps:
    - {id: sub, kind: runbook, runbook: inner}
    - {id: call, uses: prove.effect, rate: 1000/s, concurrency: {key: all, limit: 20}}
- {id: after, uses: prove.effect}
""",
    "succeeded",
    once=("before", "call", "after"),
    # Nobody is kept back by so much; but everybody takes the locks of what is counted.
    rest="rate_limit: {key: all, max_runs: 1000, per: 1s, on_exceed: queue}",
)

OUTER = Scenario(
    "outer",
    """
- {id: before, uses: prove.effect}
- {id: sub, kind: runbook, runbook: limited}
- {id: after, uses: prove.effect}
""",
    "succeeded",
    once=("before", "after"),
)

BIG = Scenario(
    "big",
    """
- {id: long, uses: prove.effect, idempotent: true, with: {says: 40000}}
- {id: then, uses: prove.effect}
""",
    "succeeded",
    once=("then",),
    repeatable=("long",),
)

TICK = Scenario(
    "tick",
    "- {id: act, uses: prove.effect}",
    "succeeded",
    once=("act",),
    is_started=False,
    rest='triggers: [{id: minute, on: schedule, cron: "* * * * *"}]',
)

SIMULATED = (CHAIN, FAN, BACK, TIMERS, ASKED, SLOW)
"""Those that the simulation crashes, too; of the other kinds of steps it has runbooks of its own."""

SCENARIOS = (CHAIN, FAN, BACK, TIMERS, ASKED, SLOW, LOOP, CHOICE, HAND, INNER, LIMITED, OUTER, BIG, TICK)
