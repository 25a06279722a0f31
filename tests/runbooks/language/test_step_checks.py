"""What is wrong with a step, told at its place: fields, inputs of actions, expressions, approvals."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping

import pytest

from runbooks.language import ActionSpec, parse
from tests.runbooks.language.checking import HEAD, Check


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
        (
            "- {id: a, kind: wait, until: true}",
            ["6:32 steps[0].until: This must be a moment, such as timestamp("],
        ),
        (
            "- {id: a, kind: wait, until: 'size([1])'}",
            ["6:32 steps[0].until: This must be a moment, such as"],
        ),
        ("- {id: a, kind: wait, until: timestamp(run.started_at)}", []),
        ("- {id: a, kind: wait, until: run.started_at}", []),
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
        ("inputs.n == true", ["An integer is never equal to true or false."]),
        ("false != steps.before.outputs.json", []),
        ("true < true", []),
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
        (".inputs.s == 'a'", ["A name does not begin with a dot."]),
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
        (f"channels: [{{slack: '#{'a' * 79}'}}]", []),
        (f"channels: [{{slack: '#{'a' * 80}'}}]", ["This is too long: 80 characters are allowed."]),
        (f"escalate: [{{after: 1m, to: {{slack: '#{'a' * 80}'}}}}]", ["This is too long: 80 characters"]),
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
