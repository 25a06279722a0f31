"""Evaluating expressions and rendering templates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbooks.language import ExpressionError, Json, compile_expression, condition, evaluate, render
from runbooks.language.expressions import parts
from runbooks.language.syntax import analyse
from runbooks.language.tokens import closing, reads

CONTEXT: dict[str, object] = {
    "inputs": {"service": "shop", "count": 3, "rate": 0.5, "on": True, "tags": ["a", "b"], "none": None},
    "steps": {
        "done": {"status": "succeeded", "outputs": {"json": {"weight": 0, "list": [1, 2, 3]}}, "attempts": 1},
        "idle": {"status": "skipped", "outputs": None, "attempts": 0},
    },
    "run": {"id": "7f", "url": "https://h/7f"},
}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ('steps.done.status == "succeeded" && inputs.count < 4', True),
        ("inputs.rate < 1", True),
        ("inputs.count + 1", 4),
        ("inputs.tags", ["a", "b"]),
        ("inputs.tags.map(t, t + '!')", ["a!", "b!"]),
        ("steps.done.outputs.json.list[1]", 2),
        ('steps["done"]["status"]', "succeeded"),
        ("steps.idle.outputs == null", True),
        ("size(steps)", 2),
        ("inputs.none", None),
        ("{'a': inputs.count}", {"a": 3}),
        ('timestamp("2026-01-01T00:00:00Z") + duration("90s")', "2026-01-01T00:01:30Z"),
        ('duration("90s")', 90.0),
        ("inputs.on ? 'yes' : 'no'", "yes"),
        ("inputs.tags.exists(x, x == 'b') // a remark", True),
        (" 'a.b' ", "a.b"),
    ],
)
def test_an_expression_has_its_value(expression: str, value: Json) -> None:
    assert evaluate(expression, CONTEXT) == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("has(inputs.service)", True),
        ("has(inputs.other)", False),
        ("has(steps.idle.outputs.json.weight)", False),
        ("has(steps.idle.outputs.json) ? steps.idle.outputs.json : 'nothing'", "nothing"),
        ("!has(inputs.other.deep.er)", True),
        ("has(steps.idle.outputs.x) || steps.idle.outputs == null", True),
        ("has(inputs.none.x) && has(inputs.none.x.y)", False),
        ("has(steps.idle.outputs.x) && steps.idle.outputs.y == 1", False),
        ("has(steps.idle.outputs.x) ? steps.idle.outputs : 'none'", "none"),
        ("[{'a': null}, {'a': {'b': 1}}, {}].map(o, has(o.a.b))", [False, True, False]),
        ("[null, {'a': 1}].filter(o, has( o . a )) // has(b.c)", [{"a": 1}]),
        ("'has(a.b)' + (has(inputs.count) ? '!' : '?')", "has(a.b)!"),
        ("has(steps.idle.outputs.json.x) ? steps.idle.outputs.value : 0", 0),
        ("steps.idle.status == 'failed' && steps.idle.outputs.y == 1 || has(steps.idle.outputs.x)", False),
    ],
)
def test_has_tests_what_may_be_missing_or_null(expression: str, value: Json) -> None:
    assert evaluate(expression, CONTEXT) == value


@pytest.mark.parametrize(
    ("expression", "code", "words", "suggestion"),
    [
        ("input.service", "unknown_name", "The name 'input' is not known here.", "inputs"),
        ("inputs.servce", "unknown_name", "There is no 'servce' in 'inputs'.", "service"),
        ("steps.doen.status", "unknown_name", "There is no 'doen' in 'steps'.", "done"),
        ("steps.idle.outputs.json", "null_value", "(the step has not run), so 'json' cannot be read", None),
        ("!has(inputs.none.y) && inputs.none.x", "null_value", "'inputs.none' is null, so 'x'", None),
        ("inputs.none.x", "null_value", "'inputs.none' is null, so 'x' cannot be read from it.", None),
        ("inputs.tags[7]", "unknown_name", "The list is too short", None),
        ('inputs["x y"]', "unknown_name", "There is no 'x y' in what is read here.", None),
        ("has(inputs.zzz) ? 1 : inputs.tags[7]", "unknown_name", "The list is too short", None),
        ("inputs.tags.map(t, t.item)", "wrong_type", "fields are read from mappings", None),
        ("inputs.tags.filter(t, t == tag)", "unknown_name", "The name 'tag' is not known here.", None),
        (
            "steps.done.outputs.json.list.map(s, inputs.servce)",
            "unknown_name",
            "There is no 'servce' in",
            "service",
        ),
        (
            "[{'a': 1}].exists(inputs, inputs.b == 1)",
            "unknown_name",
            "There is no 'b' in what is read here.",
            None,
        ),
        ("inputs.service.x", "wrong_type", "The types do not fit", None),
        ('"a" + 1', "wrong_type", "string + int", None),
        ("1 + 1.5", "wrong_type", "The types do not fit", None),
        ("1 + true", "wrong_type", "The types do not fit", None),
        ("inputs.service in inputs.none", "wrong_type", "The types do not fit", None),
        ("inputs.tags[7] in [null, false]", "unknown_name", "The list is too short", None),
        ("inputs.count / 0", "evaluation_failed", "Division by zero.", None),
        ("nope(1)", "evaluation_failed", "'nope' is not known here", None),
        (
            "size(inputs.count)",
            "evaluation_failed",
            "'size' is not known here, or as a function takes no value",
            None,
        ),
        ('int("x")', "evaluation_failed", "invalid digit", None),
        ("9223372036854775807 + inputs.count", "evaluation_failed", "overflow", None),
        ("0.0 / 0.0", "evaluation_failed", "not a finite number", None),
        ("b'x'", "wrong_type", "The result (bytes)", None),
        ("'a\\x00b'", "wrong_type", "The result holds a NUL", None),
        ("[{'\\u0000': 1}]", "wrong_type", "The result holds a NUL", None),
        ("[b'x']", "wrong_type", "The result (bytes)", None),
        ("{1: 2}", "wrong_type", "keys of a result must be text", None),
        ("1 +", "invalid_expression", "unexpected end of the expression (line 1, character 4)", None),
        ("(" * 300 + "1" + ")" * 300, "invalid_expression", "The expression is nested too deep.", None),
        ("a b", "invalid_expression", "This is not a CEL expression", None),
        (" ", "invalid_expression", "empty", None),
        ('"\ud800"', "invalid_expression", "This is not a CEL expression.", None),
        ("1+" * 1000 + "1", "expression_limit", "2001 characters; 2000 are allowed", None),
        ("[1].map(a, [1].map(b, [1].map(c, c)))", "expression_limit", "nested 2 deep, not 3", None),
    ],
)
def test_a_failing_expression_says_what_is_wrong(
    expression: str, code: str, words: str, suggestion: str | None
) -> None:
    with pytest.raises(ExpressionError) as caught:
        evaluate(expression, CONTEXT, path="steps[1].when")
    error = caught.value
    assert (error.code, error.suggestion, error.path) == (code, suggestion, "steps[1].when")
    assert words in error.message
    assert error.expression == expression
    assert error.retryable is False
    assert str(error).startswith("steps[1].when: ")


def test_an_error_without_a_place_or_of_a_long_expression_is_readable() -> None:
    with pytest.raises(ExpressionError, match="The expression is empty"):
        evaluate("", CONTEXT)
    with pytest.raises(ExpressionError, match="…"):
        evaluate("(" * 300, CONTEXT)


def test_a_condition_is_true_or_false() -> None:
    assert condition("inputs.count == 3", CONTEXT) is True
    for expression, words in [
        ("inputs.count", "a number"), ("null", "null"), ("'x'", "text"), ("[]", "a list"), ("{}", "a mapping")
    ]:  # fmt: skip
        with pytest.raises(ExpressionError, match=f"true or false, not {words}"):
            condition(expression, CONTEXT, path="x")


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("plain", "plain"),
        ("${{ inputs.count }}", 3),
        ("${{inputs.tags}}", ["a", "b"]),
        ("n=${{ inputs.count }} r=${{ inputs.rate }} ${{ inputs.on }}", "n=3 r=0.5 true"),
        ("${{ 3.0 }}x", "3x"),
        ("${{ inputs.tags }}!", '["a","b"]!'),
        ("${{ {'b': {'c': 1}} }}", {"b": {"c": 1}}),
        ("${{ '}}' }}", "}}"),
        ("$${{ inputs.count }}", "${{ inputs.count }}"),
        ("a $${{ b }} ${{ inputs.count }}", "a ${{ b }} 3"),
        ("$${{$${{", "${{${{"),
        ({"a": ["${{ inputs.count }}", 1, None]}, {"a": [3, 1, None]}),
    ],
)
def test_a_template_is_filled(template: Json, value: Json) -> None:
    assert render(template, CONTEXT) == value


@pytest.mark.parametrize(
    ("template", "path", "words"),
    [
        ({"a": [{"b": "${{ inputs.zzz }}"}]}, "with.a[0].b", "There is no 'zzz'"),
        ("x ${{ inputs.none }}", "with", "cannot stand inside text"),
        ("x ${{ inputs.none", "with", "not closed"),
        ("x ${{ } }}", "with", "not closed"),
        ("${{ }}", "with", "empty"),
        ("a${{ inputs.big }}", "with", "longer than"),
    ],
)
def test_a_template_that_cannot_be_filled_names_its_place(template: Json, path: str, words: str) -> None:
    context = {"inputs": {"none": None, "big": "x" * 1_000_001}}
    with pytest.raises(ExpressionError, match=words) as caught:
        render(template, context, path="with")
    assert caught.value.path == path


def test_a_place_without_a_path_is_named_by_its_key() -> None:
    with pytest.raises(ExpressionError) as caught:
        render({"a": "${{ x }}"}, {})
    assert caught.value.path == "a"


class Lazy(Mapping[str, object]):
    """A context that notes what is read."""

    def __init__(self, data: Mapping[str, object]) -> None:
        self.data = data
        self.read: list[str] = []

    def __getitem__(self, key: str) -> object:
        self.read.append(key)
        return self.data[key]

    def __contains__(self, key: object) -> bool:
        return key in self.data

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)


def test_only_what_is_read_is_converted() -> None:
    steps = Lazy({"a": {"status": "x"}, "b": {"status": object()}})
    assert evaluate('steps.a.status == "x"', {"steps": steps, "run": object()}) is True
    assert steps.read == ["a"]
    assert evaluate("steps.a", {"steps": {"a": Lazy({"n": Lazy({"m": 1})})}}) == {"n": {"m": 1}}


def test_a_shorter_path_brings_the_whole_value() -> None:
    assert evaluate("inputs == inputs && inputs.count == 3 && size(inputs) > 2", CONTEXT) is True


def test_data_that_is_too_much_is_refused_before_it_is_converted() -> None:
    deep: Json = 1
    for _ in range(100):
        deep = [deep]
    for expression, value, words in [
        ("size(inputs.v)", deep, "deeper than 64"),
        ("size(inputs.v)", [0] * 100_001, "more than 100000 values"),
        ("inputs.v.map(x, x)", [0] * 6_000, "too much work"),
        ("inputs.v.exists(x, inputs.v.exists(y, x == y))", [0] * 400, "too much work"),
    ]:
        with pytest.raises(ExpressionError, match=words) as caught:
            evaluate(expression, {"inputs": {"v": value}})
        assert caught.value.code == "expression_limit"


def test_results_that_are_too_deep_are_refused() -> None:
    deep: Json = 1
    for _ in range(63):
        deep = [deep]
    with pytest.raises(ExpressionError, match="is not text, a number"):
        evaluate("[[v]]", {"v": deep})


def test_values_the_evaluator_cannot_take_are_an_error_of_the_expression() -> None:
    with pytest.raises(ExpressionError, match="Failed to convert"):
        evaluate("v", {"v": object()})


def test_compiling_is_cached() -> None:
    assert compile_expression("1 + 1") is compile_expression("1 + 1")
    assert parts("a ${{ b }}") is parts("a ${{ b }}")


@pytest.mark.parametrize(
    ("source", "paths", "macros", "depth"),
    [
        ("a.b.c == a.d", (("a", "b", "c"), ("a", "d")), 0, 0),
        ("a.b.map(x, x.y.filter(z, z))", (("a", "b"), ("x",), ("z",)), 2, 2),
        ("a.b + a", (("a",),), 0, 0),
        ("'a.b' + r\"c\\\" + f(x)", (("x",),), 0, 0),
        ("[1].all(x, true) && (a)", (("x",), ("a",)), 1, 1),
        ("x[a.b].c) ]", (("x",), ("a", "b")), 0, 0),
    ],
)
def test_the_scan_finds_what_is_read(
    source: str, paths: tuple[tuple[str, ...], ...], macros: int, depth: int
) -> None:
    found = reads(source)
    assert set(found.paths) == set(paths)
    assert (found.macros, found.depth) == (macros, depth)


def test_the_end_of_an_expression_is_found_beyond_strings_and_maps() -> None:
    assert closing(" {'a': '}}'} }}", 0) == 13
    assert closing(" a } }", 0) is None


BOTH_ACCEPT = [
    "1", "-1", "1.5", "1u", "true", "null", '"a"', "'a'", 'r"a\\d"', 'b"x"', "[]", "[1, 2]", "{}", "{'a': 1}",
    "a", "a.b.c", 'a["b"]', "a[0]", "!a", "-a", "a + b * c", "a - 1", "a % 2 == 0", "a < b && b <= c || !d",
    "a in [1, 2]", "a ? b : c", "a ? b : c ? d : e", "(a)", "has(a.b)", "a.all(x, x > 0)", "a.exists(x, x.y == 'z')",
    "a.exists_one(x, x)", "a.map(x, x + 1)", "a.filter(x, x != null)", "size(a)", "a.size()", "a.startsWith('b')",
    "a.matches('^b+$')", "string(a) + 'x'", "int('5')", "double(a) * 2.0", "timestamp('2026-01-01T00:00:00Z')",
    "duration('10m') < duration('1h')", "a.getHours()", "a.b[0].c.d(1, 2)", "a // remark", "a\n  && b",
    '"""a\nb"""', "a.map(x, a.map(y, x + y))", "type(a) == int", "dyn(1)", "1 in {1: 2}", "a.b == null",
    "0x1f", "1e3", "1.0e-3", "a == true", "false != a", "true + 1", "true == true", "a.b[0] == false && c",
]  # fmt: skip
NEITHER_ACCEPTS = [
    "1 +",
    "a b",
    "(a",
    "a)",
    "a..b",
    "a &&",
    "[1",
    "{'a'}",
    "a.?b",
    "if a",
    "a == == b",
    "'a",
    "@",
    "a := 1",
]


@pytest.mark.parametrize("source", BOTH_ACCEPT)
def test_the_parser_of_validation_accepts_what_the_evaluator_accepts(source: str) -> None:
    compile_expression(source)
    analyse(source)


@pytest.mark.parametrize("source", NEITHER_ACCEPTS)
def test_both_parsers_refuse_the_same(source: str) -> None:
    from celpy.celparser import CELParseError, CELParser

    with pytest.raises(ExpressionError):
        compile_expression(source)
    with pytest.raises(CELParseError):
        CELParser().parse(source)


@pytest.mark.parametrize("source", [".a.b == 1", "size(.a)", ".size(a)", "a[.b]", "a.filter(x, .x)"])
def test_a_name_with_a_dot_before_it_is_refused(source: str) -> None:
    """The grammar knows it, and the evaluator then finds no such name."""
    compile_expression(source)
    with pytest.raises(ExpressionError, match="does not begin with a dot"):
        analyse(source)


def test_an_expression_that_only_the_evaluator_accepts_is_refused() -> None:
    compile_expression("[1,]")
    with pytest.raises(ExpressionError, match="look at line 1, character 4"):
        analyse("[1,]")


@settings(max_examples=300, deadline=None)
@given(st.text("ab.()[]{}'\"1 +-*/<>=!&|?:,$\\\n", max_size=30) | st.text(max_size=30))
def test_no_text_raises_anything_but_an_expression_error(text: str) -> None:
    for act in (partial(evaluate, text, CONTEXT), partial(render, text, CONTEXT), partial(analyse, text)):
        with suppress(ExpressionError):
            act()
