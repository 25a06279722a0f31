"""Typed inputs, their forms, durations, and what problems look like."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbooks.language import InputSpec, InputType, Json, check_inputs, coerce_form, form_fields
from runbooks.language.durations import seconds, words
from runbooks.language.inputs import MAX_TOTAL, spec_problems
from runbooks.language.patterns import fully_matches, pattern_error
from runbooks.language.problems import Problem, listed, nearest, path_text
from runbooks.language.trigger_checks import cron_problem


def spec(kind: str, **fields: object) -> InputSpec:
    return InputSpec(name="x", type=InputType(kind), **fields)


@pytest.mark.parametrize(
    ("declared", "value", "result"),
    [
        (spec("string"), "a", "a"),
        (spec("string"), "", ""),
        (spec("string", pattern="[a-z]+"), "abc", "abc"),
        (spec("enum", values=("a", "b")), "b", "b"),
        (spec("integer", min=1, max=3), 3, 3),
        (spec("number"), 1, 1.0),
        (spec("number"), 0.5, 0.5),
        (spec("boolean"), False, False),
        (spec("duration"), "1h30m", 5400.0),
        (spec("duration"), 90, 90.0),
        (spec("object"), {"a": [1.5, None, "b"]}, {"a": [1.5, None, "b"]}),
        (spec("array"), [1, {"a": 2}], [1, {"a": 2}]),
        (spec("string"), None, None),
        (spec("string", default="d", has_default=True), None, "d"),
        (spec("string", default="d", has_default=True, required=True), None, "d"),
    ],
)
def test_a_right_value_is_accepted_in_the_form_a_run_sees(
    declared: InputSpec, value: Json, result: Json
) -> None:
    values, problems = check_inputs([declared], {} if value is None else {"x": value})
    assert (values, problems) == ({"x": result}, ())
    assert type(values["x"]) is type(result)


@pytest.mark.parametrize(
    ("declared", "value", "message"),
    [
        (spec("string"), 5, "This must be text, not a number."),
        (spec("string"), True, "This must be text, not true or false."),
        (spec("string"), [], "This must be text, not a list."),
        (spec("string", pattern="[a-z]+"), "ab1", "'ab1' does not match [a-z]+."),
        (spec("string", pattern="a|b"), "ab", "'ab' does not match a|b."),
        (spec("string"), "a\n" * 5_001, "This has 10002 characters; 10000 are allowed."),
        (spec("string", max_length=2), "abc", "This has 3 characters; 2 are allowed."),
        (spec("string"), "a\0", "This holds characters that are not text (a NUL or half of a pair)."),
        (spec("string"), "\ud800", "This holds characters that are not text (a NUL or half of a pair)."),
        (spec("enum", values=("eu-1", "us-1")), "eu1", "'eu1' is not one of eu-1 or us-1."),
        (spec("integer"), "3", "This must be a whole number, not text."),
        (spec("integer"), 3.0, "This must be a whole number, not 3.0."),
        (spec("integer"), True, "This must be a whole number, not true or false."),
        (spec("integer"), 2**63, "This number does not fit 64 bits."),
        (spec("integer", min=1), 0, "This must be at least 1."),
        (spec("number", max=0.5), 1, "This must be at most 0.5."),
        (spec("number"), float("nan"), "This must be a finite number."),
        (spec("number"), {}, "This must be a number, not a mapping."),
        (spec("boolean"), "true", "This must be true or false."),
        (spec("duration", min=60), 5, "This must be at least 1m."),
        (spec("duration"), True, "not true or false."),
        (spec("duration"), "10 m", "This is not a duration such as"),
        (spec("duration"), -1, "This is not between 0 and 34 years."),
        (spec("duration"), float("inf"), "This is not between 0 and 34 years."),
        (spec("object"), [], "This must be a mapping, not a list."),
        (spec("array"), {}, "This must be a list, not a mapping."),
        (spec("array", max_length=1), [1, 2], "This has 2 items; 1 are allowed."),
        (spec("array"), [float("inf")], "Numbers in this must be finite."),
        (spec("object"), {"\0": 1}, "This holds characters"),
        (spec("array"), json.loads("[" * 20 + "]" * 20), "This is nested deeper than 16 levels."),
        (spec("string", required=True), None, "This is required."),
    ],
)
def test_a_wrong_value_is_refused_not_converted(declared: InputSpec, value: Json, message: str) -> None:
    _, problems = check_inputs([declared], {"x": value})
    assert len(problems) == 1
    assert problems[0].name == "x"
    assert message in problems[0].message


def test_names_that_are_not_inputs_are_refused_with_the_nearest() -> None:
    _, problems = check_inputs([spec("string")], {"abc": 1, "y": 2})
    assert [str(problem) for problem in problems] == [
        "abc: There is no such input.",
        "y: There is no such input.",
    ]
    regions = InputSpec(name="region", type=InputType.ENUM, values=("eu-1",))
    _, problems = check_inputs([regions], {"regoin": "eu-1", "region": "eu1"})
    assert [str(problem) for problem in problems] == [
        "regoin: There is no such input. Did you mean 'region'?",
        "region: 'eu1' is not one of eu-1. Did you mean 'eu-1'?",
    ]
    assert str(check_inputs([], {"a": 1})[1][0]) == "a: There is no such input. It takes none."


def test_all_inputs_together_are_bounded() -> None:
    specs = [InputSpec(name=f"a{n}", type=InputType.STRING, max_length=100_000) for n in range(3)]
    _, problems = check_inputs(specs, {one.name: "x" * 90_000 for one in specs})
    assert [str(problem) for problem in problems] == [
        f"The inputs are longer than {MAX_TOTAL} characters in all."
    ]


def test_a_pattern_cannot_stall_a_process() -> None:
    assert pattern_error("(a+)+$") is None
    assert not fully_matches("(a+)+$", "a" * 20_000 + "!")
    assert "size limit" in (pattern_error("((a{1,1000}){1,1000}){1,1000}") or "")
    assert pattern_error("a)|(?:b") == "unopened group"
    assert pattern_error("(?=a)") is not None


@pytest.mark.parametrize("value", ["0", "90", 90, 0.5, "1ms", "1.5h", "2d", "1d1h1m1s1ms"])
def test_durations_are_seconds(value: str | float) -> None:
    if isinstance(value, str) and value.isdigit():
        with pytest.raises(ValueError, match="not a duration"):
            seconds(value)
    else:
        assert seconds(words(seconds(value))) == seconds(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [("500ms", 0.5), ("30s", 30), ("10m", 600), ("1h30m", 5400), ("2d", 172_800), ("0s", 0)],
)
def test_durations_are_written_as_they_are_read(text: str, value: float) -> None:
    assert seconds(text) == value
    assert words(value) == text


@pytest.mark.parametrize(
    "value", ["", "x", "10", "1m1h", "1h1h", "-1s", "1 s", "\u0661s", "1e3s", "10000d", "1S"]
)
def test_other_texts_are_no_durations(value: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        seconds(value)


@settings(max_examples=200)
@given(st.integers(0, 9_999 * 86_400 * 10))
def test_durations_round_trip(tenths: int) -> None:
    assert seconds(words(tenths / 10)) == tenths / 10


FORM = [
    InputSpec(name="s", type=InputType.STRING, description="Text", required=True, pattern="a+", secret=True),
    InputSpec(name="e", type=InputType.ENUM, values=("a", "b"), default="b", has_default=True, required=True),
    InputSpec(name="i", type=InputType.INTEGER, min=1, max=9, default=5, has_default=True),
    InputSpec(name="n", type=InputType.NUMBER),
    InputSpec(name="b", type=InputType.BOOLEAN, required=True, default=True, has_default=True),
    InputSpec(name="d", type=InputType.DURATION, default=90.0, has_default=True),
    InputSpec(name="o", type=InputType.OBJECT, default={"k": "é"}, has_default=True),
    InputSpec(name="l", type=InputType.ARRAY, default=None, has_default=True),
]


def test_a_form_asks_for_inputs_with_the_right_controls() -> None:
    fields = {field.name: field for field in form_fields(FORM)}
    assert [fields[name].control for name in "seinbdol"] == [
        "text", "select", "number", "number", "checkbox", "text", "textarea", "textarea"
    ]  # fmt: skip
    assert [fields[name].value for name in "seinbdol"] == ["", "b", "5", "", "", "1m30s", '{"k": "é"}', ""]
    assert [fields[name].required for name in "seb"] == [True, False, False]
    assert (fields["b"].checked, fields["i"].step, fields["n"].step, fields["e"].options) == (
        True,
        "1",
        "any",
        ("a", "b"),
    )
    assert (fields["s"].pattern, fields["s"].secret, fields["s"].max_length, fields["i"].max) == (
        "a+",
        True,
        10_000,
        9,
    )


def test_a_form_that_comes_back_keeps_what_was_typed() -> None:
    fields = {field.name: field for field in form_fields(FORM, {"s": "zzz", "i": "x"})}
    assert (fields["s"].value, fields["i"].value, fields["b"].checked, fields["d"].value) == (
        "zzz",
        "x",
        False,
        "",
    )


def test_the_texts_of_a_form_become_typed_values() -> None:
    form = {
        "s": "a\r\nb", "e": "a", "i": "7", "n": "1.5", "b": "on", "d": "90", "o": '{"a": 1}', "l": "[1]", "csrf": "x"
    }  # fmt: skip
    assert coerce_form(FORM, form) == {
        "s": "a\nb", "e": "a", "i": 7, "n": 1.5, "b": True, "d": 90.0, "o": {"a": 1}, "l": [1]
    }  # fmt: skip


def test_empty_fields_are_not_given_and_unreadable_ones_are_refused_later() -> None:
    values = coerce_form(FORM, {"s": " ", "i": "", "n": "x", "o": "{", "l": "[" * 100_000, "d": "10 m"})
    assert values == {"s": " ", "n": "x", "b": False, "o": "{", "l": "[" * 100_000, "d": "10 m"}
    _, problems = check_inputs(FORM, values)
    assert [problem.name for problem in problems] == ["s", "n", "d", "o", "l"]


def test_a_declaration_without_faults_has_no_problems() -> None:
    assert [spec_problems(one) for one in FORM] == [[]] * len(FORM)


@settings(max_examples=200)
@given(
    st.dictionaries(
        st.sampled_from("seinbdolq"), st.text(max_size=8) | st.sampled_from(["1e999", "NaN", "-0", "[[]]"])
    )
)
def test_no_form_raises(form: dict[str, str]) -> None:
    values, problems = check_inputs(FORM, coerce_form(FORM, form))
    assert set(values) >= {one.name for one in FORM} - {problem.name for problem in problems}


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("0 3 * * mon-fri", None),
        ("0 0 29 2 *", None),
        ("* * * * * *", "Five fields"),
        ("x * * * *", "bad minute"),
    ],
)
def test_schedules_are_checked(cron: str, words: str | None) -> None:
    problem = cron_problem(cron)
    assert problem is None if words is None else words in (problem or "")


def test_the_nearest_name_is_found_or_none() -> None:
    assert nearest("servce", ["region", "service"]) == "service"
    assert nearest("Service", ["service"]) == "service"
    assert nearest("db-failover", ["db_failover"]) == "db_failover"
    assert nearest("same", ["same"]) is None
    assert nearest("zzz", ["service"]) is None
    assert nearest("x" * 1_000, ["x" * 60]) is None
    assert nearest("name", [f"n{n}" for n in range(1_000)]) is None


def test_paths_and_lists_read_well() -> None:
    assert path_text(("steps", 2, "with", "query")) == "steps[2].with.query"
    assert path_text(()) == ""
    assert [listed(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a or b",
        "a, b or c",
    ]
    assert str(Problem(1, 2, 1, 3, "a.b", "Wrong.", "c")) == "1:2 a.b: Wrong. Did you mean 'c'?"
