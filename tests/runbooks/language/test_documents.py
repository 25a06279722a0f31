"""Reading whole runbooks: what is defined, every problem in one pass, and the digest."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import pytest

from runbooks.language import ActionSpec, Effect, InputType, canonical, digest, parse
from runbooks.language.definition import (
    ActionStep,
    ApprovalStep,
    FailStep,
    GroupStep,
    ParallelStep,
    SetStep,
    WaitStep,
    WaitUntilStep,
)
from runbooks.language.problems import MOST_PROBLEMS
from tests.runbooks.language.checking import HEAD, Check
from tests.runbooks.language.samples import SAMPLE


def test_the_sample_has_no_problems_and_means_what_it_says(actions: Mapping[str, ActionSpec]) -> None:
    parsed = parse(SAMPLE, actions=actions)
    assert parsed.errors == ()
    book = parsed.runbook
    assert book is not None
    assert (book.id, book.owner, book.pool, book.timeout) == (
        "high-error-rate", "team:payments-sre", "default", 7200.0
    )  # fmt: skip
    assert [(one.name, one.type, one.required, one.default) for one in book.inputs] == [
        ("service", InputType.STRING, True, None),
        ("region", InputType.ENUM, True, None),
        ("max_error_rate", InputType.NUMBER, False, 0.02),
    ]
    alert, nightly = book.triggers
    assert alert.dedupe is not None
    assert (alert.on, alert.mode, alert.dedupe.window, alert.dedupe.on_duplicate) == (
        "alert",
        "enforce",
        1800.0,
        "attach",
    )
    assert (nightly.cron, nightly.timezone, nightly.inputs) == (
        "0 3 * * *", "Europe/Berlin", {"service": "shop", "region": "eu-1"}
    )  # fmt: skip
    assert book.concurrency is not None
    assert book.rate_limit is not None
    assert (book.concurrency.on_conflict, book.rate_limit.max_runs, book.rate_limit.per) == (
        "queue",
        3,
        3600.0,
    )
    assert [step.id for step in book.walk()] == [
        "evidence", "errors", "deploys", "contain", "shift", "recovered", "approve_failover", "db_failover", "tell",
        "restore",
    ]  # fmt: skip


def test_the_steps_of_the_sample_are_typed(actions: Mapping[str, ActionSpec]) -> None:
    book = parse(SAMPLE, actions=actions).runbook
    assert book is not None
    evidence, contain, shift, recovered, approve, failover = (
        book.step(name)
        for name in ("evidence", "contain", "shift", "recovered", "approve_failover", "db_failover")
    )
    assert isinstance(evidence, ParallelStep)
    assert (evidence.concurrency, evidence.fail_fast, evidence.continue_on_error) == (3, False, True)
    assert isinstance(contain, GroupStep)
    assert (contain.on_failure.compensate, contain.on_failure.then, contain.timeout) == (
        True,
        "continue",
        None,
    )
    assert isinstance(shift, ActionStep)
    assert shift.retry is not None
    assert shift.probe is not None
    assert shift.compensate is not None
    assert (shift.effect, shift.idempotent, shift.timeout, shift.retry.max_attempts, shift.retry.max_interval) == (
        Effect.REVERSIBLE, True, 60.0, 4, 30.0
    )  # fmt: skip
    assert shift.retry.not_on == ("permission_denied", "invalid_input")
    assert shift.probe.done_when == "result.json.weight == 0"
    assert shift.compensate.with_["json"] == {"weight": "${{ self.outputs.json.previous }}"}
    assert (shift.path, shift.line) == ("steps[1].steps[0]", 40)
    assert isinstance(recovered, WaitUntilStep)
    assert (recovered.sustained, recovered.interval, recovered.timeout) == (180.0, 15.0, 600.0)
    assert isinstance(approve, ApprovalStep)
    assert approve.guards == ("db_failover",)
    assert (approve.approvers.min, approve.approvers.min_per_team) == (2, {"dba-oncall": 1})
    assert approve.approvers.exclude == ("starter", "last_editor")
    assert (approve.inputs[0].name, approve.channels, approve.escalate[0].after) == (
        "reason", ({"slack": "#inc-payments"},), 300.0
    )  # fmt: skip
    assert (approve.on_timeout, approve.on_reject) == ("reject", "continue")
    assert isinstance(failover, ActionStep)
    assert (failover.effect, failover.idempotent, failover.heartbeat) == (Effect.IRREVERSIBLE, False, 20.0)
    errors = book.step("errors")
    assert isinstance(errors, ActionStep)
    assert (errors.effect, errors.idempotent) == (Effect.READ, True)
    assert errors.retry is not None


def test_a_whole_number_may_be_written_with_a_point(actions: Mapping[str, ActionSpec]) -> None:
    text = HEAD + textwrap.dedent("""\
        steps:
          - id: a
            kind: approval
            prompt: Now?
            timeout: 1m
            approvers: {teams: [dba], min: 2.0, min_per_team: {dba: 2.0}}
        """)
    book = parse(text, actions=actions).runbook
    assert book is not None
    step = book.step("a")
    assert isinstance(step, ApprovalStep)
    assert (step.approvers.min, step.approvers.min_per_team) == (2, {"dba": 2})


def test_the_small_kinds_are_typed(actions: Mapping[str, ActionSpec]) -> None:
    text = HEAD + textwrap.dedent("""\
        steps:
          - {id: a, kind: wait, for: 90}
          - {id: b, kind: wait, until: run.started_at, when: true}
          - {id: c, kind: set, values: {x: "${{ 1 + 1 }}", y: [1]}, disabled: true}
          - {id: d, kind: fail, message: "no ${{ steps.c.outputs.x }}", title: Give up}
          - {id: e, uses: noop, runner: {pool: dmz}, effect: irreversible, idempotent: false}
        """)
    book = parse(text, actions=actions).runbook
    assert book is not None
    a, b, c, d, e = book.steps
    assert isinstance(a, WaitStep)
    assert isinstance(b, WaitStep)
    assert isinstance(c, SetStep)
    assert isinstance(d, FailStep)
    assert (a.for_, b.until, b.when, c.values, c.disabled) == (
        90.0, "run.started_at", "true", {"x": "${{ 1 + 1 }}", "y": [1]}, True
    )  # fmt: skip
    assert (d.message, d.title, e.pool) == ("no ${{ steps.c.outputs.x }}", "Give up", "dmz")
    assert (e.retry, e.timeout) == (None, None)
    assert book.concurrency is book.rate_limit is None


def test_fields_of_retry_that_a_step_leaves_out_come_from_the_defaults(
    actions: Mapping[str, ActionSpec],
) -> None:
    text = HEAD + (
        "defaults: {retry: {max_attempts: 5, backoff: 3}}\nsteps: [{id: a, uses: noop, retry: {backoff: 4}}]"
    )
    book = parse(text, actions=actions).runbook
    assert book is not None
    retry = book.steps[0].retry
    assert retry is not None
    assert (retry.max_attempts, retry.backoff) == (5, 4.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1:1: The document is empty: a runbook begins with apiVersion: handrail/v1."),
        ("- a", "1:1: A runbook is a mapping: it begins with apiVersion: handrail/v1."),
        ("a: [", "2:1 a[0]: YAML syntax: while parsing a flow node did not find expected node content."),
    ],
)
def test_what_is_no_runbook_says_so(text: str, message: str, actions: Mapping[str, ActionSpec]) -> None:
    parsed = parse(text, actions=actions)
    assert parsed.runbook is None
    assert message in map(str, parsed.problems)


@pytest.mark.parametrize(
    ("body", "messages"),
    [
        ("stpes: []", ["4:1 stpes: 'stpes' is not a known field. Did you mean 'steps'?"]),
        (
            "stuff: 1\nsteps: [{id: a, uses: noop}]",
            ["4:1 stuff: 'stuff' is not a known field. Known here: apiVersion,"],
        ),
        ("steps: []", ["4:1 steps: This must not be empty."]),
        ("steps: {}", ["4:1 steps: This must be a list, not a mapping."]),
        ("", ["1:1: 'steps' is missing."]),
        (
            "outcome: {Ok: 'true'}\nsteps: [{id: a, uses: noop}]",
            ["4:11 outcome.Ok: 'Ok' cannot be a name here"],
        ),
        (
            "secrets: {a: hunter2}\nsteps: [{id: a, uses: noop}]",
            ["4:14 secrets.a: This must be a reference such as"],
        ),
        ("timeout: -1\nsteps: [{id: a, uses: noop}]", ["4:10 timeout: This must be a duration such as"]),
        ("timeout: 10000d\nsteps: [{id: a, uses: noop}]", ["4:10 timeout: This must be a duration such as"]),
        ("timeout: 9999d9999h999999m99999999s999999999ms\nsteps: [{id: a, uses: noop}]", []),
        (
            "timeout: 9000000000\nsteps: [{id: a, uses: noop}]",
            ["4:10 timeout: This must be a duration such as"],
        ),
        (
            "rate_limit: {key: a, max_runs: 0, per: 1h}\nsteps: [{id: a, uses: noop}]",
            ["4:32 rate_limit.max_runs: This must be at least 1."],
        ),
        (
            "concurrency: {key: '${{ steps.a.status }}'}\nsteps: [{id: a, uses: noop}]",
            ["4:25 concurrency.key: 'steps' is known only in steps and outcome."],
        ),
    ],
)
def test_the_shape_of_the_document_is_checked(body: str, messages: list[str], check: Check) -> None:
    found = check(body)
    assert len(found) == len(messages), found
    for line, message in zip(found, messages, strict=True):
        assert line.startswith(message)


@pytest.mark.parametrize(
    "part",
    [
        "concurrency: {key: a, on_conflict: replace}",
        *(f"rate_limit: {{key: a, max_runs: 1, per: 1h, on_exceed: {word}}}" for word in ("skip", "queue")),
    ],
)
def test_limits_are_carried_out_so_that_nothing_warns_of_them(
    actions: Mapping[str, ActionSpec], part: str
) -> None:
    head = "apiVersion: handrail/v1\nkind: Runbook\nmetadata: {id: a, title: b}\n"
    parsed = parse(f"{head}{part}\nsteps: [{{id: s, uses: noop}}]", actions=actions)
    assert parsed.runbook is not None
    assert parsed.problems == ()


def test_warnings_alone_do_not_prevent_a_runbook(actions: Mapping[str, ActionSpec]) -> None:
    text = HEAD + "inputs: {s: {type: string, default: x, required: true}}\nsteps: [{id: a, uses: noop}]"
    parsed = parse(text, actions=actions)
    assert parsed.runbook is not None
    assert [problem.severity for problem in parsed.problems] == ["warning"]
    assert parsed.errors == ()


def test_all_problems_come_in_one_pass_and_in_order(actions: Mapping[str, ActionSpec]) -> None:
    text = SAMPLE.replace("kind: parallel", "kind: paralel").replace("uses: ssh.run", "uses: ssh.rum")
    text = text.replace("title: Contain", "titel: Contain").replace("result.value", "result.valu")
    parsed = parse(text, actions=actions)
    assert parsed.runbook is parsed.digest is parsed.canonical is None
    assert [(problem.line, problem.path, problem.suggestion) for problem in parsed.errors] == [
        (5, "metadata.titel", "title"),
        (30, "steps[0].kind", "parallel"),
        (71, "steps[1].steps[1].until", "value"),
        (92, "steps[3].uses", "ssh.run"),
    ]


def test_a_syntax_error_does_not_hide_other_problems_nor_invent_missing_ones(
    actions: Mapping[str, ActionSpec],
) -> None:
    text = HEAD + textwrap.dedent("""\
        triggers: [{id: t, on: schedule}]
        steps:
          - {id: a, uses: nop, when: steps.later.status == 'failed' && inputs.s == 'x'}
          - {id: ask, kind: approval, prompt: x, for: [later]}
          - {id: w, kind: wait}
          - {id: g, kind: group, on_failure: {compensate: true}}
          - {id: b, uses: noop
        """)
    found = [str(problem) for problem in parse(text, actions=actions).errors]
    assert [line.split(" ")[1] for line in found] == ["steps[0].uses:", "steps[4]:"]


def test_a_flood_of_problems_is_counted(actions: Mapping[str, ActionSpec]) -> None:
    text = HEAD + "steps:\n" + "  - {id: a, uses: nope}\n" * 190 + "  - {id: b, x: 1, y: 2}\n" * 5
    problems = parse(text, actions=actions).problems
    assert len(problems) == MOST_PROBLEMS + 1
    assert problems[-1].message.endswith("more problems are not listed; mend these first.")


def test_the_digest_is_of_the_meaning_not_of_the_layout(actions: Mapping[str, ActionSpec]) -> None:
    one = parse(HEAD + "steps: [{id: a, uses: noop}]", actions=actions)
    other = parse(
        '# remark\nkind: "Runbook"\nsteps:\n  - uses: noop\n    id: a\nmetadata:\n  title: A\n  id: a\n'
        "apiVersion: handrail/v1\n",
        actions=actions,
    )
    changed = parse(HEAD + "steps: [{id: b, uses: noop}]", actions=actions)
    assert one.digest == other.digest
    assert one.canonical == other.canonical
    assert one.digest != changed.digest
    assert one.digest == digest(one.document)
    assert one.canonical == canonical(one.document)
    assert len(one.digest or "") == 64
