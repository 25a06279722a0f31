"""What is wrong with triggers and with the declarations of inputs."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from runbooks.language import ActionSpec, parse
from tests.runbooks.language.checking import Check


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
        ("{id: a, on: alert, inputs: {s: x, region: null}}", []),
        (
            "{id: a, on: alert, inputs: {s: null}}",
            ["The input 's' is required, and this trigger does not give it."],
        ),
        ("{id: a, on: alert, inputs: {s: x, n: '${{ int(alert.labels.n) }}'}}", []),
        ("{id: a, on: alert, inputs: {s: x, n: '${{ incident.number }}'}}", []),
        (
            "{id: a, on: alert, inputs: {s: x, n: '${{ alert.labels.n }}'}}",
            ["inputs.n: The input 'n' is of the type integer; this gives it text."],
        ),
        ("{id: a, on: alert, inputs: {s: x, n: 'at ${{ incident.number }}'}}", ["this gives it text."]),
        (
            "{id: a, on: alert, inputs: {s: '${{ incident.number }}'}}",
            ["type string; this gives it an integer."],
        ),
        ("{id: a, on: alert, inputs: {s: '${{ incident.number }}!', list: '${{ [1] }}'}}", []),
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
        f"list: {{type: array}}, n: {{type: integer}}}}\ntriggers: [{trigger}]\nsteps: [{{id: a, uses: noop}}]"
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
            ["'required' means nothing here: this default is used when no value is given."],
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
