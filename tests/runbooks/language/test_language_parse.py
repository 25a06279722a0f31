"""Reading whole runbooks: the definition, and every problem in one pass."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handrail.alerts.events import Severity
from runbooks.engine.transitions import RunStatus, StepStatus
from runbooks.language import ActionSpec, Effect, InputType, Parsed, canonical, digest, json_schema, parse
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
from runbooks.language.document import DOCUMENT
from runbooks.language.kinds import COMMON, KINDS
from runbooks.language.problems import MOST_PROBLEMS
from runbooks.language.scope import ALERT_FIELDS, INCIDENT_FIELDS, RUN_STATUSES, SEVERITIES, STEP_STATUSES
from runbooks.language.syntax import FUNCTIONS
from runbooks.language.tokens import MACROS
from tests.runbooks.language.samples import SAMPLE

Check = Callable[[str], list[str]]

HEAD = "apiVersion: handrail/v1\nkind: Runbook\nmetadata: {id: a, title: A}\n"


@pytest.fixture
def check(actions: Mapping[str, ActionSpec]) -> Check:
    """The problems of a document that is HEAD and a body."""

    def checked(body: str) -> list[str]:
        return [str(one) for one in parse(HEAD + textwrap.dedent(body), actions=actions).problems]

    return checked


@pytest.fixture
def steps(check: Check) -> Check:
    """The problems of a list of steps; their first line is line 6."""

    def checked(body: str) -> list[str]:
        body = textwrap.indent(textwrap.dedent(body).strip("\n"), "  ")
        return check(
            "inputs: {s: {type: string}, e: {type: enum, values: [a, bb]}, n: {type: integer}}\nsteps:\n"
            + body
        )

    return checked


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
    ("body", "messages"),
    [
        (
            "- {id: a, kind: paralel}",
            [
                (
                    "6:19 steps[0].kind: 'paralel' is not one of action, group, parallel, for_each, switch, wait, "
                    "wait_until, approval, manual, runbook, set or fail. Did you mean 'parallel'?"
                )
            ],
        ),
        ("- {id: a, kind: 1}", ["6:19 steps[0].kind: '1' is not one of action,"]),
        (
            "- {id: A b, uses: noop}",
            ["6:10 steps[0].id: This must be a name of a-z, 0-9 and _ that begins with a letter"],
        ),
        ("- {uses: noop}", ["6:5 steps[0]: 'id' is missing."]),
        ("- {id: a}", ["6:5 steps[0]: 'uses' is missing: a step without 'kind' is an action"]),
        ("- text", ["6:5 steps[0]: This must be a mapping, not text."]),
        ("- {id: a, uses: nop}", ["6:19 steps[0].uses: There is no action 'nop'. Did you mean 'noop'?"]),
        ("- {id: a, use: noop}", ["6:13 steps[0].use: 'use' is not a known field. Did you mean 'uses'?"]),
        (
            "- {id: a, uses: noop, until: x}",
            [
                (
                    "6:25 steps[0].until: 'until' does not apply to the kind 'action' (a step without 'kind' is an "
                    "action); it belongs to wait or wait_until."
                )
            ],
        ),
        (
            "- {id: a, kind: wait, for: 1, uses: noop}",
            [
                "6:33 steps[0].uses: 'uses' does not apply to the kind 'wait'; it belongs to action or wait_until."
            ],
        ),
        ("- {id: a, uses: noop, title: 3}", ["6:32 steps[0].title: This must be text, not the number 3."]),
        (
            "- {id: a, uses: noop, disabled: maybe}",
            ["6:35 steps[0].disabled: This must be true or false, not text."],
        ),
        (
            "- {id: a, uses: noop, disabled: null}",
            ["6:35 steps[0].disabled: This must be true or false, not nothing."],
        ),
        ("- {id: a, uses: noop, title: true}", ["6:32 steps[0].title: This must be text, not 'true'."]),
        (
            "- {id: a, uses: noop}\n- {id: a, uses: noop}",
            ["7:10 steps[1].id: The id 'a' is taken by the step on line 6."],
        ),
        ("- {id: a, kind: wait}", ["6:5 steps[0]: A wait needs exactly one of"]),
        (
            "- {id: a, kind: wait, for: 1s, until: x}",
            ["6:5 steps[0]: A wait needs exactly one of", "6:41 steps[0].until: The name 'x' is not known."],
        ),
        ("- {id: a, kind: group, steps: []}", ["6:26 steps[0].steps: This must not be empty."]),
        (
            (
                "- {id: a, kind: wait_until, uses: http.request, with: {connection: x, method: PUT}, "
                "until: 'true', timeout: 1h}"
            ),
            [
                "6:37 steps[0].uses: Only a reading action can be used here; this call of 'http.request' is reversible."
            ],
        ),
        (
            (
                "- {id: a, kind: wait_until, uses: prometheus.query, with: {query: x}, until: 'true', timeout: 1m, "
                "sustained: 60}"
            ),
            ["6:112 steps[0].sustained: 'sustained' is not shorter"],
        ),
        (
            "- {id: a, uses: http.request, with: {connection: x, method: PUT}, effect: read}",
            [
                "6:77 steps[0].effect: This call is reversible; a runbook may only be more careful, not say read."
            ],
        ),
        (
            "- {id: a, uses: noop, effect: reed}",
            [
                "6:33 steps[0].effect: 'reed' is not one of read, reversible or irreversible. Did you mean 'read'?"
            ],
        ),
        (
            "- {id: a, uses: noop, idempotent: true}",
            ["6:37 steps[0].idempotent: 'noop' cannot be idempotent"],
        ),
        (
            "- {id: a, uses: noop, retry: {max_attempts: 0}}",
            ["6:47 steps[0].retry.max_attempts: This must be at least 1."],
        ),
        (
            "- {id: a, uses: noop, retry: {backoff: 1000}}",
            ["6:42 steps[0].retry.backoff: This must be at most 100."],
        ),
        ("- {id: a, uses: noop, with: 5}", ["6:31 steps[0].with: This must be a mapping, not the number 5."]),
        (
            (
                "- {id: a, uses: noop, probe: {uses: http.request, with: {connection: x, method: POST}, "
                "done_when: result.jsn == 1}}"
            ),
            [
                "6:39 steps[0].probe.uses: Only a reading action",
                "6:101 steps[0].probe.done_when: There is no output 'jsn'. Did you mean 'json'?",
            ],
        ),
        (
            "- {id: a, kind: group, on_failure: {compensate: true}, steps: [{id: b, uses: noop}]}",
            ["6:51 steps[0].on_failure.compensate: No step of this group has 'compensate'"],
        ),
    ],
)
def test_steps_are_checked(body: str, messages: list[str], steps: Check) -> None:
    found = steps(body)
    assert len(found) == len(messages), found
    for line, message in zip(found, messages, strict=True):
        assert line.startswith(message)


@pytest.mark.parametrize(
    ("with_", "messages"),
    [
        ("{}", ["6:31 steps[0].with: 'connection' is missing."]),
        (
            "{conection: x}",
            ["6:38 steps[0].with.conection: 'conection' is not a known field. Did you mean 'connection'?"],
        ),
        (
            "{connection: x, method: PUTT}",
            ["6:61 steps[0].with.method: 'PUTT' is not one of GET, HEAD, PUT or POST. Did you mean 'PUT'?"],
        ),
        ("{connection: x, method: '${{ inputs.s }}'}", []),
        ("{connection: x, tries: '${{ inputs.n }}'}", []),
        ("{connection: x, tries: '7'}", ["6:60 steps[0].with.tries: This must be a whole number, not text."]),
        ("{connection: x, tries: 10}", ["6:60 steps[0].with.tries: This must be at most 9."]),
        ("{connection: ''}", ["6:50 steps[0].with.connection: This must not be empty."]),
        (
            "{connection: x, json: ['${{ inputs.zz }}']}",
            ["6:65 steps[0].with.json[0]: There is no input 'zz'. Known: e, n or s."],
        ),
        ("{connection: x, path: '${{ secrets.k }}'}", ["6:64 steps[0].with.path: There is no secret 'k'."]),
        (
            "{connection: x, path: 'a ${{ b'}",
            ["6:59 steps[0].with.path: This '${{' is not closed with '}}'."],
        ),
        (
            "{connection: x, path: '${{ inputs.s + }}'}",
            ["6:64 steps[0].with.path: This is not a CEL expression: unexpected end of the expression"],
        ),
    ],
)
def test_the_inputs_of_actions_are_checked_as_far_as_they_are_known(
    with_: str, messages: list[str], steps: Check
) -> None:
    found = steps(f"- {{id: a, uses: http.request, with: {with_}}}")
    assert len(found) == len(messages), found
    for line, message in zip(found, messages, strict=True):
        place, _, words = message.partition(": ")
        assert words in line
        assert place.split(" ")[1] in line


def test_static_inputs_take_no_interpolation(steps: Check) -> None:
    hole = "${{ inputs.s }}"
    assert steps(f"- {{id: a, uses: shell.run, with: {{script: 'rm {hole}', env: {{A: '{hole}'}}}}}}") == [
        (
            "6:45 steps[0].with.script: 'script' of 'shell.run' is static text: ${{ }} is not allowed in it. "
            "Give values through other inputs."
        )
    ]


@pytest.mark.parametrize(
    ("expression", "messages"),
    [
        ("inputs.s == 'x'", []),
        ("inputs.ss == 'x'", ["There is no input 'ss'. Did you mean 's'?"]),
        ("inputs.e == 'bb'", []),
        ("inputs.e == 'b'", ["'inputs.e' is never 'b'; it is a or bb. Did you mean 'bb'?"]),
        ("'b' != inputs.e", ["'inputs.e' is never 'b'"]),
        ("inputs.n == 'x'", ["An integer is never equal to text."]),
        ("inputs.n < 1.5", []),
        ("inputs.n * 1.5 > 2.0", ["'*' cannot mix an integer and a number"]),
        ("inputs.s < 3", ["'<' cannot take text and an integer."]),
        ("inputs.s == null", []),
        ("inputs.s", ["This must be true or false; it is text."]),
        ("size(inputs.s)", ["it is an integer"]),
        ("[1]", ["it is a list"]),
        ("!true", []),
        ("true ? 1 : 2", []),
        ("inputs.s.size() > 1", []),
        ("inputs['s'] == 'a'", []),
        ("inputs[inputs.s] == 'a'", []),
        ("inputs[inputs.q] == 'a'", ["There is no input 'q'"]),
        ("secrets.k == 'a'", ["'secrets' is known only inside 'with'"]),
        ("result.x == 1", ["'result' is known only in 'until'"]),
        ("self.outputs == null", ["'self' is known only in compensate"]),
        ("item == 1", ["'item' is known only inside for_each (or what its"]),
        (
            "input.s == 'a'",
            ["Known here: alert, incident, inputs, run or steps. Did you mean 'inputs'?"],
        ),
        ("run.mod == 'a'", ["There is no field of run 'mod'. Did you mean 'mode'?"]),
        ("run.mode == 'shadoww'", ["'run.mode' is never 'shadoww'"]),
        ("run.status == 'running'", []),
        ("alert.labels.x == 'y' && incident.title != ''", []),
        ("alert.labls.x == 'y'", ["There is no field of alert 'labls'. Did you mean 'labels'?"]),
        ("incident.number == 'x'", ["An integer is never equal to text."]),
        ("alert.labels.x == 5", ["Text is never equal to an integer."]),
        ("alert.severity == 'critcal'", ["Did you mean 'critical'?"]),
        ("incident.titel == 'x'", ["There is no field of incident 'titel'."]),
        ("steps.before.status == 'succeeded'", []),
        ("steps.before.status == 'sucess'", ["is never 'sucess'"]),
        ("steps.before.stats == 'x'", ["There is no field of a step 'stats'. Did you mean 'status'?"]),
        ("steps.before.outputs.jsn == 1", ["There is no output 'jsn'. Did you mean 'json'?"]),
        ("steps.before.error.cod == ''", ["There is no field of an error 'cod'. Did you mean 'code'?"]),
        ("steps.before.error.code == 'timeout'", []),
        ("steps.before.attempts > 1", []),
        (
            "steps.before.decision == 'approved'",
            ["Only approvals have a decision; 'before' is of the kind 'action'."],
        ),
        (
            "steps.ask.decision == 'aproved'",
            [
                "'steps.ask.decision' is never 'aproved'",
            ],
        ),
        ("steps.ask.outputs.reason == 'x' && steps.ask.outputs.q", ["There is no output 'q'"]),
        ("steps.vals.outputs.x == 1 && steps.vals.outputs.yy", ["There is no output 'yy'"]),
        ("steps.pause.outputs == null", ["'pause' has no outputs: it is of the kind 'wait'."]),
        ("steps.befor.status == 'x'", ["There is no step 'befor'. Did you mean 'before'?"]),
        ("steps.here.status == 'failed'", ["The step 'here' is this step itself: it cannot be read here."]),
        ("steps.after.status == 'failed'", ["The step 'after' comes later"]),
        ("size(steps) > 1", []),
        ("nope(inputs.s)", ["There is no function 'nope'."]),
        ("inputs.s.startswith('a')", ["There is no function 'startswith'. Did you mean 'startsWith'?"]),
        ("[1, 2].exists(n, n == inputs.n) && ['a'].all(inputs, inputs == 'x')", []),
        ("[1].exists(inputs.s, true)", ["This is not a CEL expression"]),
        ("has(steps.before.outputs.json.deep)", []),
        ("timestamp(run.started_at) + duration('1h') > timestamp(run.started_at)", []),
        ("a{b: 1}", ["Messages (name{field: ...}) are not available."]),
        ("${{ true }}", ["An expression stands here as it is, without ${{ }}."]),
        ("[1,]", ["look at line 1"]),
        (".inputs.s == 'a'", []),
        ("-inputs.n < 0", []),
        ("'a' in {'a': 1} && b'x' == b'x' && \"\"\"x\"\"\" == 'y'", []),
        ("inputs.s == 'a\\'b' || (inputs.s) == r'x'", []),
        ("f(1)[0].x == 1", ["There is no function 'f'"]),
        ("inputs == {}", []),
    ],
)
def test_expressions_are_checked(
    expression: str, messages: list[str], actions: Mapping[str, ActionSpec]
) -> None:
    text = HEAD + textwrap.dedent("""\
        inputs: {s: {type: string}, e: {type: enum, values: [a, bb]}, n: {type: integer}}
        steps:
          - {id: before, uses: http.request, with: {connection: x}}
          - {id: ask, kind: approval, prompt: ok?, timeout: 1h, inputs: {reason: {type: string}}}
          - {id: vals, kind: set, values: {x: 1}}
          - {id: pause, kind: wait, for: 1s}
          - {id: here, uses: noop, when: WHEN}
          - {id: after, uses: noop}
        """).replace("WHEN", json.dumps(expression))
    found = [str(problem) for problem in parse(text, actions=actions).errors]
    assert len(found) == len(messages), found
    for line, message in zip(found, messages, strict=True):
        assert line.startswith("10:"), line
        assert message in line


@pytest.mark.parametrize(
    ("reader", "read", "words"),
    [
        ("outer", "in1", "is inside this step"),
        ("in1", "outer", "contains this step"),
        ("in2", "in1", None),
        ("in1", "in2", "comes later"),
        ("b1", "b2", "runs beside this step, in another branch of 'par'"),
        ("b2", "b1", "runs beside this step"),
        ("b2", "in1", None),
        ("in1", "b1", "comes later"),
        ("last", "b1", None),
        ("mend", "last", None),
        ("last", "mend", "belongs to 'on_failure', which runs later"),
        ("tidy", "mend", None),
        ("mend", "tidy", "belongs to 'finally', which runs later"),
        ("OUTCOME", "mend", None),
        ("OUTCOME", "tidy", "belongs to 'finally', which runs later"),
    ],
)
def test_only_steps_that_can_have_run_may_be_read(
    reader: str, read: str, words: str | None, actions: Mapping[str, ActionSpec]
) -> None:
    ids = ("outer", "in1", "in2", "par", "b1", "b2", "last", "mend", "tidy")
    when = {name: f", when: steps.{read}.status == 'failed'" if name == reader else "" for name in ids}
    outcome = f"steps.{read if reader == 'OUTCOME' else 'last'}.status == 'failed'"
    text = HEAD + textwrap.dedent(f"""\
        steps:
          - id: outer
            kind: group
            {when["outer"].lstrip(", ") or "disabled: false"}
            steps: [{{id: in1, uses: noop{when["in1"]}}}, {{id: in2, uses: noop{when["in2"]}}}]
          - id: par
            kind: parallel
            steps: [{{id: b1, uses: noop{when["b1"]}}}, {{id: b2, uses: noop{when["b2"]}}}]
          - {{id: last, uses: noop{when["last"]}}}
        on_failure: [{{id: mend, uses: noop{when["mend"]}}}]
        finally: [{{id: tidy, uses: noop{when["tidy"]}}}]
        outcome: {{ok: "{outcome}"}}
        """)
    found = [str(problem) for problem in parse(text, actions=actions).errors]
    if words is None:
        assert found == []
    else:
        assert len(found) == 1
        assert words in found[0]


@pytest.mark.parametrize(
    ("fields", "messages"),
    [
        ("for: [later]", []),
        ("for: [earlier]", ["'earlier' does not come after this approval"]),
        ("for: [ask]", ["'ask' does not come after this approval"]),
        ("for: [latr]", ["There is no step 'latr'. Did you mean 'later'?"]),
        ("for: [1]", ["This must be text, not the number 1."]),
        ("approvers: {users: [ada], min: 2}", ["2 must approve, but only 1 may."]),
        ("approvers: {users: [ada, lin], min: 2}", []),
        (
            "approvers: {teams: [dba], min_per_team: {dbaa: 1}}",
            ["'dbaa' is not among the teams that may approve. Did you mean 'dba'?"],
        ),
        (
            "approvers: {min: x, teams: {}}",
            ["This must be a whole number, not text.", "This must be a list, not a mapping."],
        ),
        ("escalate: [{after: 1h, to: {slack: x}}]", ["The approval has ended by then"]),
        ("escalate: [{after: 10x, to: {slack: x}}]", ["This must be a duration"]),
        ("escalate: [{after: true, to: {slack: x}}]", ["This must be a duration"]),
        ("on_timeout: approve", ["'approve' is not one of reject or fail."]),
        ("inputs: {a: {type: enum}}", ["An enum needs 'values'."]),
        ("inputs: {A: {type: string}}", ["'A' cannot be a name here"]),
    ],
)
def test_approvals_are_checked(fields: str, messages: list[str], steps: Check) -> None:
    found = steps(f"""
        - {{id: earlier, uses: noop}}
        - {{id: ask, kind: approval, prompt: "ok ${{{{ inputs.s }}}}?", timeout: 1h, {fields}}}
        - {{id: later, uses: noop}}
        """)
    assert len(found) == len(messages), found
    for line, message in zip(found, messages, strict=True):
        assert message in line


@pytest.mark.parametrize(
    ("trigger", "messages"),
    [
        ("{id: a, on: alert, inputs: {s: x}}", []),
        ("{id: a, on: alert}", ["The input 's' is required, and this trigger does not give it."]),
        ("{id: a, on: alert, inputs: {}}", ["The input 's' is required"]),
        (
            "{id: a, on: alert, inputs: {s: x, regin: y}}",
            ["The runbook has no input 'regin'. Did you mean 'region'?"],
        ),
        ("{id: a, on: alert, inputs: {s: x, region: eu}}", ["'eu' is not one of eu-1 or us-1."]),
        ("{id: a, on: alert, inputs: {s: 5}}", ["This must be text, not a number."]),
        ("{id: a, on: alert, inputs: {s: x, list: ['${{ alert.title }}']}}", []),
        ("{id: a, on: alert, inputs: {s: '${{ inputs.s }}'}}", ["'inputs' is known only in steps"]),
        ("{id: a, on: incident, inputs: {s: '${{ alert.title }}'}}", ["'alert' is known only"]),
        ("{id: a, on: incident, inputs: {s: '${{ incident.title }}'}}", []),
        (
            "{id: a, on: schedule, cron: '0 3 * * *', inputs: {s: '${{ foo }}'}}",
            ["The name 'foo' is not known. No names are known here."],
        ),
        ("{id: a, on: schedule, inputs: {s: x}}", ["A schedule needs 'cron'."]),
        ("{id: a, on: schedule, cron: '* * *', inputs: {s: x}}", ["Five fields are needed"]),
        (
            "{id: a, on: schedule, cron: '61 * * * *', inputs: {s: x}}",
            ["This is not a cron expression: bad minute."],
        ),
        (
            "{id: a, on: schedule, cron: '0 0 31 2 *', inputs: {s: x}}",
            ["This is not a cron expression: bad day-of-month."],
        ),
        (
            "{id: a, on: schedule, cron: '0 3 * * *', timezone: Europe/Berlon, inputs: {s: x}}",
            ["There is no time zone 'Europe/Berlon'. Did you mean 'Europe/Berlin'?"],
        ),
        (
            "{id: a, on: schedule, cron: '0 3 * * *', timezone: ../etc/passwd, inputs: {s: x}}",
            ["There is no time zone"],
        ),
        (
            "{id: a, on: alert, cron: '0 3 * * *', inputs: {s: x}}",
            ["'cron' belongs to triggers on a schedule."],
        ),
        ("{id: a, on: webhook, when: webhook.body.ref == 'main', inputs: {s: '${{ webhook.body.x }}'}}", []),
        ("{id: a, on: webhook, inputs: {s: '${{ webhook.bdy }}'}}", ["Did you mean 'body'?"]),
        ("{id: a, on: webhook, inputs: {s: '${{ alert.title }}'}}", ["'alert' is known only in steps"]),
        ("{id: a, on: alert, inputs: {s: '${{ webhook.body }}'}}", ["is known only in triggers on webhooks"]),
        ("{id: a, on: webhook, mode: suggest, inputs: {s: x}}", ["no incident on which people would see"]),
        (
            "{id: a, on: email, inputs: {s: x}}",
            ["'email' is not one of alert, incident, schedule or webhook."],
        ),
        (
            "{id: a, on: alert, inputs: {s: x}}, {id: a, on: alert, inputs: {s: x}}",
            ["The id 'a' is taken by the trigger on line 5."],
        ),
        ("{on: alert, inputs: {s: x}}", ["'id' is missing."]),
        (
            "{id: a, on: alert, when: alert.title, inputs: {s: x}, dedupe: {key: '${{ alert }', window: 0}}",
            ["it is text", "is not closed", "This must be a duration"],
        ),
    ],
)
def test_triggers_are_checked(trigger: str, messages: list[str], check: Check) -> None:
    found = check(
        "inputs: {s: {type: string, required: true}, region: {type: enum, values: [eu-1, us-1]}, "
        f"list: {{type: array}}}}\ntriggers: [{trigger}]\nsteps: [{{id: a, uses: noop}}]"
    )
    assert len(found) == len(messages), found
    for line, message in zip(found, messages, strict=True):
        assert message in line


@pytest.mark.parametrize(
    ("spec", "messages"),
    [
        ("{type: string, pattern: '('}", ["This is not a regular expression: unclosed group."]),
        ("{type: integer, pattern: 'a'}", ["A pattern belongs to a string, not to a integer."]),
        ("{type: string, values: [a]}", ["'values' belong to an enum"]),
        ("{type: string, min: 1}", ["'min' belongs to numbers and durations"]),
        ("{type: integer, min: 3, max: 1}", ["'max' is less than 'min'."]),
        ("{type: boolean, max_length: 3}", ["'max_length' belongs to texts and lists"]),
        ("{type: integer, default: x}", ["The default is refused: This must be a whole number, not text."]),
        ("{type: number, default: true}", ["The default is refused: This must be a number"]),
        ("{type: duration, default: 10x}", ["The default is refused: This is not a duration"]),
        ("{type: duration, default: 10m, max: 60}", ["The default is refused: This must be at most 1m."]),
        (
            "{type: string, default: x, required: true}",
            ["This default is never used: the input is required."],
        ),
        ("{type: string, default: null}", []),
        (
            "{type: strin}",
            ["number, boolean, enum, duration, object or array. Did you mean 'string'?"],
        ),
        ("5", ["This must be a mapping, not the number 5."]),
    ],
)
def test_declarations_of_inputs_are_checked(spec: str, messages: list[str], check: Check) -> None:
    found = check(f"inputs: {{s: {spec}}}\nsteps: [{{id: a, uses: noop, title: x}}]")
    assert len(found) == len(messages), found
    for line, message in zip(found, messages, strict=True):
        assert message in line


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


def test_the_schema_is_valid_and_accepts_what_the_parser_accepts(actions: Mapping[str, ActionSpec]) -> None:
    schema = json_schema(actions)
    jsonschema_rs.meta.validate(schema)
    validator = jsonschema_rs.Draft202012Validator(schema)
    document = parse(SAMPLE, actions=actions).document
    assert [error.message for error in validator.iter_errors(document)] == []
    wrong = parse(SAMPLE.replace("connection: traffic", "conection: traffic"), actions=actions).document
    assert not validator.is_valid(wrong)
    unknown = parse(SAMPLE.replace("uses: noop", "uses: nope"), actions=actions).document
    assert not validator.is_valid(unknown)


def test_every_field_of_the_schema_is_described(actions: Mapping[str, ActionSpec]) -> None:
    schema = json_schema(actions)
    for name in KINDS:
        for field, part in schema["$defs"][f"kind_{name}"]["properties"].items():
            assert part["description"], (name, field)


def test_a_schema_given_out_may_be_changed_without_harm(actions: Mapping[str, ActionSpec]) -> None:
    json_schema(actions)["properties"].clear()
    assert json_schema(actions)["properties"]


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


def test_the_program_of_an_argv_takes_no_values(steps: Check) -> None:
    hole = "${{ inputs.s }}"
    found = steps(f"""
        - {{id: a, uses: argv.run, with: {{argv: [echo, "{hole}"]}}}}
        - {{id: b, uses: argv.run, with: {{argv: ["{hole}"]}}}}
        - {{id: c, uses: argv.run, with: {{argv: [sh, -c, "echo {hole}"]}}}}
        - {{id: d, uses: argv.run, with: {{argv: "{hole}"}}}}
        """)
    places = ["steps[1].with.argv[0]", "steps[2].with.argv[2]", "steps[3].with.argv"]
    assert [line.split(" ")[1] for line in found] == [f"{place}:" for place in places]


def test_the_words_of_the_language_are_the_words_of_the_engine_and_of_the_alerts() -> None:
    assert sorted(Severity) == sorted(SEVERITIES)
    assert sorted(StepStatus) == sorted(STEP_STATUSES)
    assert sorted(RunStatus) == sorted(RUN_STATUSES)


def test_the_reference_page_names_every_field_and_function() -> None:
    page = (Path(__file__).parents[3] / "docs/reference/runbook-language.md").read_text()
    names = {*DOCUMENT, *COMMON, *KINDS, *FUNCTIONS, *MACROS, *ALERT_FIELDS, *INCIDENT_FIELDS, *STEP_STATUSES}
    for kind in KINDS.values():
        names |= set(kind.fields)
    assert sorted(name for name in names if f"`{name}`" not in page) == []


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


@pytest.mark.parametrize(
    "text",
    [
        "inputs: {s: {type: string, secret: true}}\nsteps: [{id: s, uses: noop}]",
        "steps: [{id: a, kind: approval, prompt: x, timeout: 1h, inputs: {s: {type: string, secret: true}}}]",
    ],
)
def test_a_secret_input_is_refused_as_long_as_it_would_be_stored(
    actions: Mapping[str, ActionSpec], text: str
) -> None:
    parsed = parse(
        f"apiVersion: handrail/v1\nkind: Runbook\nmetadata: {{id: a, title: b}}\n{text}\n", actions=actions
    )
    assert [problem.path.rpartition(".")[2] for problem in parsed.errors] == ["secret"]
