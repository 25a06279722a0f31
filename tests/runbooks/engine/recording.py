"""Records histories of the engine as it is now: ``python -m tests.runbooks.engine.recording``.

What was recorded once is never written again: these files are the runs that a later version finds when it is deployed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from runbooks.engine import events as e
from runbooks.engine.transitions import StepStatus
from runbooks.language.actions import ActionSpec
from runbooks.language.definition import Effect, Json
from runbooks.language.parsing import parse
from tests.runbooks.engine.life import Life

FOLDER = Path(__file__).parent / "histories"
ACTIONS = {
    name: ActionSpec(
        name=name, title=name, inputs_schema={"type": "object"}, effect=effect, may_be_idempotent=True
    )
    for name, effect in (("noop", Effect.READ), ("test.call", Effect.REVERSIBLE), ("test.read", Effect.READ))
}
BROKEN: dict[str, Json] = {"code": "broken", "message": "It broke.", "retryable": False}
AGAIN: dict[str, Json] = BROKEN | {"retryable": True}
REPORT = "finally: [{id: report, uses: test.call}]"

Play = Callable[[Life], None]
PLAYS: dict[str, tuple[str, Play]] = {}
"""Each history by its name: the runbook below its metadata, and what happens."""


def recorded(name: str, source: str) -> Callable[[Play], Play]:
    """Register a history."""

    def register(play: Play) -> Play:
        PLAYS[name] = (source, play)
        return play

    return register


def do(life: Life, *keys: str, outputs: Json = None) -> None:
    """Calls that start and succeed, a second each."""
    for key in keys:
        begin(life, key)
        life.commit(*life.succeeded(key, outputs))


def begin(life: Life, key: str) -> None:
    """A call that starts."""
    life.now += timedelta(seconds=1)
    life.commit(life.started(key))


def lose(life: Life, key: str) -> None:
    """A call whose worker dies."""
    begin(life, key)
    life.now += timedelta(seconds=30)
    life.commit(life.lost(key))


def fails(life: Life, key: str, error: dict[str, Json] | None = None) -> None:
    """A call that starts and fails."""
    begin(life, key)
    life.commit(life.failed(key, error or BROKEN))


def later(life: Life) -> None:
    """The next moment at which something is due."""
    life.now = life.due()[0]
    life.advance()


UNDONE = """
steps:
  - id: block
    kind: group
    on_failure: {compensate: true, then: fail}
    steps:
      - {id: before, uses: test.call, compensate: {uses: test.call}}
      - id: doubtful
        uses: test.call
        probe: {uses: test.read, done_when: result.done}
        compensate: {uses: test.call, with: {to: "${{ steps.before.status }}"}}
      - {id: breaks, uses: test.call}
"""


@recorded("found-done-then-undone", UNDONE)
def _(life: Life) -> None:
    do(life, "before")
    lose(life, "doubtful")
    do(life, "doubtful/probe", outputs={"done": True})
    fails(life, "breaks")
    do(life, "doubtful/compensate", "before/compensate")


@recorded("found-not-done-then-tried-again", UNDONE)
def _(life: Life) -> None:
    do(life, "before")
    lose(life, "doubtful")
    do(life, "doubtful/probe", outputs={"done": False})
    do(life, "doubtful", "breaks")


@recorded("probe-cannot-tell-human-says-fail", UNDONE)
def _(life: Life) -> None:
    do(life, "before")
    lose(life, "doubtful")
    fails(life, "doubtful/probe")
    life.commit(life.decided("doubtful", "fail"))
    do(life, "before/compensate")


@recorded("undoing-fails-half-way", UNDONE + REPORT)
def _(life: Life) -> None:
    do(life, "before", "doubtful")
    fails(life, "breaks")
    fails(life, "doubtful/compensate")
    do(life, "report")


@recorded("undoing-in-doubt-human-says-done", UNDONE)
def _(life: Life) -> None:
    do(life, "before", "doubtful")
    fails(life, "breaks")
    lose(life, "doubtful/compensate")
    life.commit(life.decided("doubtful/compensate", "done"))
    do(life, "before/compensate")


@recorded("human-says-retry", "steps: [{id: a, uses: test.call}, {id: b, uses: test.call}]")
def _(life: Life) -> None:
    lose(life, "a")
    life.commit(life.decided("a", "retry"))
    do(life, "a", "b")


@recorded("ends-uncertain-of-itself", "steps: [{id: a, uses: test.call}]")
def _(life: Life) -> None:
    begin(life, "a")
    life.commit(life.failed("a", AGAIN | {"code": "timeout"}, uncertain=True))
    life.commit(life.decided("a", "done"))


@recorded("poison", "steps: [{id: a, uses: test.call, idempotent: true}]")
def _(life: Life) -> None:
    for _ in range(3):
        lose(life, "a")
    life.commit(life.decided("a", "fail"))


@recorded("retried-with-backoff", "steps: [{id: a, uses: test.call, retry: {max_attempts: 3, jitter: none}}]")
def _(life: Life) -> None:
    fails(life, "a", AGAIN)
    later(life)
    fails(life, "a", AGAIN)
    later(life)
    do(life, "a")


BRANCHES = """
steps:
  - id: both
    kind: parallel
    fail_fast: true
    steps:
      - {id: doubtful, uses: test.call}
      - {id: slow, kind: wait, for: 5m}
      - {id: breaks, uses: test.call}
"""


@recorded("doubt-outlives-its-block", BRANCHES + REPORT)
def _(life: Life) -> None:
    lose(life, "doubtful")
    fails(life, "breaks")
    life.commit(life.decided("doubtful", "done"))
    do(life, "report")


@recorded("doubt-outlives-its-run", BRANCHES)
def _(life: Life) -> None:
    lose(life, "doubtful")
    fails(life, "breaks")
    life.commit(life.decided("doubtful", "fail"))


ONE_MOMENT = """
steps:
  - id: both
    kind: parallel
    fail_fast: true
    steps:
      - id: slow
        kind: group
        steps: [{id: rest, kind: wait, for: 30s}, {id: late, uses: test.call}]
      - {id: short, kind: group, timeout: 30s, steps: [{id: ask, kind: approval, prompt: "?", timeout: 1h}]}
"""


@recorded("timer-and-failure-in-one-moment", ONE_MOMENT + REPORT)
def _(life: Life) -> None:
    later(life)
    do(life, "report")


CASES = """
steps:
  - id: choose
    kind: switch
    cases: [{when: "inputs.big", steps: [{id: big, uses: test.call}]}]
    default: [{id: small, uses: test.call}, {id: x, kind: set, values: {y: 1}}]
inputs: {big: {type: boolean, default: false}}
"""


@recorded("switch-default", CASES)
def _(life: Life) -> None:
    do(life, "small")


@recorded("loop-ended-by-fail", """
steps:
  - id: each
    kind: for_each
    items: "[1, 2, 3]"
    concurrency: 2
    steps:
      - {id: a, uses: test.call}
      - {id: stop, kind: fail, when: "item == 2", message: "Two is too much."}
""")  # fmt: skip
def _(life: Life) -> None:
    begin(life, "a[0]")
    do(life, "a[1]")
    life.commit(*life.succeeded("a[0]", None))


@recorded("loop-goes-on-after-a-failure", """
steps:
  - id: each
    kind: for_each
    items: "[1, 2]"
    on_item_failure: continue
    steps: [{id: a, uses: test.call}]
  - {id: after, uses: test.call}
""")  # fmt: skip
def _(life: Life) -> None:
    fails(life, "a[0]")
    do(life, "a[1]", "after")


ASKED = """
steps:
  - {id: ask, kind: approval, prompt: "Go on?", for: [go], timeout: 15m, on_reject: continue}
  - {id: go, uses: test.call, when: 'steps.ask.decision == "approved"'}
"""


@recorded("approval-expired", ASKED)
def _(life: Life) -> None:
    life.now += timedelta(minutes=15)
    life.commit(life.voted("ask", "expired"))


@recorded("approval-void-then-approved", ASKED)
def _(life: Life) -> None:
    life.commit(life.voted("ask", "approved"))
    life.now += timedelta(seconds=1)
    life.commit(e.ApprovalVoided(at=life.now, key="ask", reason="The plan has changed.", guarded="go"))
    life.commit(life.voted("ask", "approved"))
    do(life, "go")


PEOPLE = """
steps:
  - {id: by_hand, kind: manual, prompt: "Turn the key.", timeout: 10m}
  - {id: other, kind: runbook, runbook: other, timeout: 5m}
on_failure: [{id: tell, uses: test.call}]
"""


@recorded("manual-cannot", PEOPLE)
def _(life: Life) -> None:
    life.commit(e.ManualAnswered(at=life.now, key="by_hand", choice="cannot", by="ada", reason="No key."))
    do(life, "tell")


@recorded("manual-timed-out", PEOPLE)
def _(life: Life) -> None:
    later(life)
    do(life, "tell")


@recorded("sub-run-stopped-by-its-timeout", PEOPLE)
def _(life: Life) -> None:
    life.commit(e.ManualAnswered(at=life.now, key="by_hand", choice="done", by="ada"))
    later(life)
    life.commit(life.child_ended("other", "timed_out"))
    do(life, "tell")


@recorded("wait-until-never-reached", """
steps:
  - {id: seen, kind: wait_until, uses: test.read, until: result.ok, interval: 10s, timeout: 25s}
""")  # fmt: skip
def _(life: Life) -> None:
    while not life.state.ended:
        if not life.claimable():
            later(life)
        life.commit(life.started("seen"))
        life.commit(*life.succeeded("seen", {"ok": False}))


@recorded("run-timed-out", """
timeout: 10m
steps: [{id: a, uses: test.call}, {id: rest, kind: wait, for: 1h}, {id: b, uses: test.call}]
on_failure: [{id: tell, uses: test.call}]
""" + REPORT)  # fmt: skip
def _(life: Life) -> None:
    do(life, "a")
    later(life)
    do(life, "tell", "report")


@recorded(
    "stopped-in-the-middle-of-a-call",
    "steps: [{id: a, uses: test.call}, {id: b, uses: test.call}]\n" + REPORT,
)
def _(life: Life) -> None:
    begin(life, "a")
    life.commit(e.CancelRequested(at=life.now, by="ada", reason="enough"))
    life.commit(life.failed("a", BROKEN | {"code": "cancelled"}))
    do(life, "report")


def source_of(name: str) -> str:
    """The whole document."""
    body = PLAYS[name][0].strip()
    return f"apiVersion: handrail/v1\nkind: Runbook\nmetadata: {{id: {name}, title: A runbook}}\n{body}\n"


def play(name: str) -> Life:
    """The run as it goes with the engine as it is. ValueError for a runbook with a mistake."""
    parsed = parse(source_of(name), actions=ACTIONS)
    if parsed.runbook is None:
        raise ValueError(f"{name}: {parsed.errors[0]}")
    inputs = {one.name: one.default for one in parsed.runbook.inputs}
    life = Life(parsed.runbook, inputs=inputs)
    life.start()
    PLAYS[name][1](life)
    return life


def main() -> None:
    """Write those that are not there."""
    for name in PLAYS:
        path = FOLDER / f"{name}.json"
        if path.exists():
            continue
        life = play(name)
        end = {
            key: node.status.value
            for key, node in life.state.nodes.items()
            if node.status != StepStatus.PENDING
        }
        rows = [
            {"type": event.type, "data": event.data(), "at": event.at.isoformat()} for event in life.history
        ]
        content = {
            "schema": e.SCHEMA,
            "source": source_of(name),
            "end": {"status": life.state.status.value, "steps": end},
            "events": rows,
        }
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
