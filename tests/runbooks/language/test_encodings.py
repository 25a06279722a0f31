"""Values from alerts cannot change the URL, the query or the command that they are written into."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.language import encodings, parse, render
from runbooks.language.definition import ActionStep
from runbooks.language.encodings import CannotEncode, encode, marked
from runbooks.language.errors import ExpressionError
from runbooks.steps import registry

RUNBOOK = """
apiVersion: handrail/v1
kind: Runbook
metadata: {id: hostile, title: Hostile}
inputs:
  service: {type: string, required: true}
steps:
  - id: call
    uses: http.request
    with: {connection: traffic, path: "/weights/${{ inputs.service }}?of=${{ inputs.service }}"}
"""


def unquoted(text: str) -> str:
    """What PromQL's lexer makes of the inside of a string literal."""
    return text.encode("latin-1", "backslashreplace").decode("unicode_escape")


@given(st.text())
def test_a_value_in_a_path_is_one_segment_of_plain_characters(value: str) -> None:
    written = encode(encodings.URL_PATH, value, "/weights/")
    assert not set(written) & set("/?#\\ \r\n&=;")
    assert written.isascii()


@given(st.text(alphabet=st.characters(max_codepoint=0x9F)), st.sampled_from("'\""))
def test_a_value_in_quotes_stays_in_its_quotes_and_means_itself(value: str, mark: str) -> None:
    written = encode(encodings.PROMQL, value, f"up{{service={mark}")
    assert mark not in written
    assert "\n" not in written
    assert unquoted(written) == value


def test_a_quote_in_a_value_does_not_end_the_matcher() -> None:
    query = "up{service='" + encode(encodings.PROMQL, "x'} or vector(1) #", "up{service='") + "'}"
    assert query == r"up{service='x\x27} or vector(1) #'}"


def test_a_value_in_a_regex_matcher_matches_only_itself() -> None:
    assert encode(encodings.PROMQL, ".*", 'up{service=~"') == r"\x5c.\x5c*"


@pytest.mark.parametrize("value", ["5m", "0.02", "checkout", "job:errors:rate5m", "1h30m", "1e3"])
def test_names_numbers_and_durations_stand_outside_of_quotes(value: str) -> None:
    assert encode(encodings.PROMQL, value, "rate(x[") == value


@pytest.mark.parametrize("value", ["1) or vector(1", "5m]) or up[5m", "", "a b", "{}", "'x'", "x#"])
def test_anything_else_outside_of_quotes_is_refused(value: str) -> None:
    with pytest.raises(CannotEncode, match="in quotes"):
        encode(encodings.PROMQL, value, "rate(x[")


def test_backquotes_are_refused_because_they_know_no_escapes() -> None:
    with pytest.raises(CannotEncode, match="Backquotes"):
        encode(encodings.PROMQL, "x", "up{a=`")


def test_a_quote_after_an_escaped_quote_and_in_a_comment_is_told_apart() -> None:
    assert encode(encodings.PROMQL, "'", r"up{a='\'") == r"\x27"
    with pytest.raises(CannotEncode):
        encode(encodings.PROMQL, "'", "up # it's\n + ")


def argv(template: list[str], value: str) -> object:
    spec = registry.specs()["shell.run"]
    with_ = marked({"argv": list(template)}, spec.encodings, spec.static_inputs)
    return render(with_["argv"], {"inputs": {"v": value}})


def test_data_may_be_an_argument() -> None:
    assert argv(["pg_autoctl", "--formation", "${{ inputs.v }}"], "a b; rm -rf /") == [
        "pg_autoctl",
        "--formation",
        "a b; rm -rf /",
    ]


def test_data_that_looks_like_an_option_is_refused_but_not_after_a_double_dash() -> None:
    with pytest.raises(ExpressionError, match="taken for an option"):
        argv(["rm", "${{ inputs.v }}"], "-rf")
    assert argv(["rm", "--", "${{ inputs.v }}"], "-rf") == ["rm", "--", "-rf"]
    assert argv(["git", "--since=${{ inputs.v }}"], "-1") == ["git", "--since=-1"]


@pytest.mark.parametrize(
    "template",
    [
        ["${{ inputs.v }}"],
        ["sh", "-c", "echo ${{ inputs.v }}"],
        ["/bin/bash", "-euc", "echo ${{ inputs.v }}"],
        ["sudo", "python3", "-c", "${{ inputs.v }}"],
    ],
)
def test_data_is_never_a_program(template: list[str]) -> None:
    with pytest.raises(ExpressionError, match="must be written in the runbook"):
        argv(template, "x")


def test_a_static_input_takes_no_value() -> None:
    spec = registry.specs()["shell.run"]
    with_ = marked({"script": "echo ${{ inputs.v }}"}, spec.encodings, spec.static_inputs)
    with pytest.raises(ExpressionError, match="static text"):
        render(with_, {"inputs": {"v": "x"}})


def test_a_parsed_runbook_carries_the_encodings_into_rendering() -> None:
    parsed = parse(RUNBOOK, actions=registry.specs())
    assert parsed.runbook is not None, parsed.problems
    step = parsed.runbook.step("call")
    assert isinstance(step, ActionStep)
    rendered = render(dict(step.call.with_), {"inputs": {"service": "../a?b&c=d"}})
    assert isinstance(rendered, dict)
    assert rendered["path"] == "/weights/..%2Fa%3Fb%26c%3Dd?of=..%2Fa%3Fb%26c%3Dd"
