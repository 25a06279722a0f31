"""Reading YAML 1.2 with places."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbooks.language.definition import Json
from runbooks.language.problems import Problems, Span
from runbooks.language.yaml import MAX_BYTES, Document, Node, load, resolve_plain


def read(text: str | bytes) -> tuple[Document, list[str]]:
    problems = Problems()
    document = load(text, problems)
    return document, [str(problem) for problem in problems.in_order()]


def data(text: str) -> Json:
    document, problems = read(text)
    assert problems == []
    assert document.root is not None
    return document.root.data


@pytest.mark.parametrize(
    "word", ["no", "on", "off", "yes", "y", "1:30", "0b1", "1_000", "2026-01-01", "=", "0o9", "1e"]
)
def test_words_that_yaml_1_1_would_convert_stay_text(word: str) -> None:
    assert data(f"a: {word}") == {"a": word}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None), ("~", None), ("null", None), ("Null", None), ("true", True), ("False", False), ("0", 0),
        ("-12", -12), ("+3", 3), ("0x1F", 31), ("0o17", 15), ("007", 7), ("1.5", 1.5), (".5", 0.5), ("1.", 1.0),
        ("1e3", 1000.0), ("-2.5E-1", -0.25),
    ],
)  # fmt: skip
def test_plain_scalars_follow_the_core_schema(text: str, value: Json) -> None:
    assert data(f"a: {text}") == {"a": value}
    assert type(resolve_plain(text)) is type(value)


def test_quoted_scalars_are_always_text() -> None:
    assert data("[\"1\", 'true', \"\", '~']") == ["1", "true", "", "~"]


def test_aliases_repeat_a_value_and_anchors_may_stand_on_keys_and_collections() -> None:
    assert data("a: &x [1, 2]\nb: *x\n&k c: &v d\ne: *k\nf: *v\n") == {
        "a": [1, 2], "b": [1, 2], "c": "d", "e": "c", "f": "d"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", "2:1 a: 'a' is written twice; first on line 1."),
        ("a: !!int 1", "1:4 a: The tag 'tag:yaml.org,2002:int' is not allowed: write the plain value."),
        ("a: !x [1]", "1:4 a: The tag '!x' is not allowed: write the plain value."),
        ("x: &x {a: 1}\ny:\n  <<: *x\n", "3:3 y: Merge keys ('<<') are not allowed: write the fields out."),
        ("1: a", '1:1: Keys are text: write "1" in quotes.'),
        ("true: a", '1:1: Keys are text: write "true" in quotes.'),
        ("? [a]\n: b", "1:3: Keys are text; a list or a mapping cannot be a key."),
        ("a: &a b\nc: {*a : d}", "2:5 c: Keys are text; an alias cannot be a key."),
        ("&a [*a]", "1:5 [0]: '*a' stands inside the value that it repeats."),
        (
            "foo: &foo 1\nb: *fooo",
            "2:4 b: '*fooo' repeats a value that is not marked '&fooo' above. Did you mean 'foo'?",
        ),
        ("a: 1\n---\nb: 2", "2:1: A file holds one runbook; a second document ('---') starts here."),
        ("a: .inf", "1:4 a: '.inf' is not a finite number."),
        ("a: 1e999", "1:4 a: '1e999' is not a finite number."),
        (
            "a: 99999999999999999999",
            "1:4 a: This number does not fit 64 bits: write it in quotes if it is an id.",
        ),
        (
            "a: b: c",
            "1:5: A ':' is not expected here: check the indentation, or put text that holds ': ' in quotes.",
        ),
        ("a:\n\t- b", "2:1 a: A tab cannot indent YAML: use spaces."),
        ("a: @b", "1:4 a: '@' cannot start a value: put it in quotes."),
        ("a: [1", "1:4 a[1]: YAML syntax: while parsing a flow sequence did not find expected ',' or ']'."),
        ("a: \x07", "1:4: The character U+0007 is not allowed in YAML: remove it."),
        ("a: \ud800", "1:4: The character U+D800 is not allowed in YAML: remove it."),
    ],
)
def test_what_surprises_is_refused_at_its_place(text: str, message: str) -> None:
    _, problems = read(text)
    assert message in problems


def test_numbers_of_thousands_of_digits_are_refused_quickly() -> None:
    _, problems = read("a: " + "9" * 100_000)
    assert len(problems) == 1


def test_bytes_are_utf8_with_or_without_a_mark() -> None:
    document, problems = read("\ufeffa: é\r\n".encode())
    assert (document.root and document.root.data, problems) == ({"a": "é"}, [])
    _, problems = read(b"a: 1\nb: \xff")
    assert problems == ["2:4: This is not UTF-8 text: save the document as UTF-8."]


def test_size_is_bounded_before_parsing() -> None:
    _, problems = read("#" * (MAX_BYTES + 1))
    assert problems == [f"1:1: The document has {MAX_BYTES + 1} bytes; {MAX_BYTES} are allowed."]


LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join(['*' + old] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LAUGHS, "more than 20000 values"),
        ("a: &a 1\nb: [" + "*a, " * 101 + "]", "More than 100 aliases"),
        ("[" * 5_000, "Nested deeper than 32 levels"),
        ("{a: " * 50_000, "Nested deeper than 32 levels"),
        ("- " * 100_000, "Nested deeper than 32 levels"),
        ("[" + "1," * 30_000 + "]", "more than 20000 values"),
    ],
    ids=["laughs", "aliases", "flow", "mappings", "block", "long"],
)
def test_hostile_documents_are_refused_quickly(text: str, words: str) -> None:
    started = time.monotonic()
    _, problems = read(text)
    assert any(words in problem for problem in problems)
    assert time.monotonic() - started < 5


def test_places_are_of_the_value_and_of_the_key() -> None:
    document, _ = read("a:\n  b: [x, 'yy']\n")
    inner = document.find(("a", "b", 1))
    assert inner is not None
    assert (inner.span.line, inner.span.column, inner.span.end_column) == (2, 10, 14)
    holder = document.find(("a",))
    assert holder is not None
    assert holder.keys["b"].column == 3
    assert document.find(("a", "nope", 0)) is None


def test_a_part_of_a_value_has_a_place_where_it_is_written_literally() -> None:
    text = 'a: "x ${{ foo }}"\nb: |\n  one\n  two ${{ bar }}\nc: "\\x41 ${{ z }}"\nd: 5\n'
    document, _ = read(text)

    def place(key: str, word: str) -> tuple[int, int]:
        node = document.find((key,))
        assert node is not None
        start = str(node.data).find(word)
        span = document.within(node, start, start + len(word))
        return span.line, span.column

    assert place("a", "foo") == (1, 11)
    assert place("b", "bar") == (4, 11)
    assert place("c", "z") == (5, 14)
    assert place("d", "5") == (6, 4)
    assert document.within(document.root or Node(Span()), 0, 0).line == 1


def test_what_stands_before_a_syntax_error_is_read() -> None:
    document, problems = read("a: 1\nb:\n  - c\n  - {d: [e\n")
    assert document.complete is False
    assert document.root is not None
    assert document.root.data == {"a": 1, "b": ["c", {"d": ["e"]}]}
    assert len(problems) == 1


@settings(max_examples=300, deadline=None)
@given(
    st.text(max_size=200)
    | st.text(alphabet="a:-[]{}&*!|>'\"#%@` \n\t?,1<", max_size=60)
    | st.binary(max_size=60)
)
def test_no_input_raises(text: str | bytes) -> None:
    read(text)


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=12)
KEY = st.text("abc\"' :#-", max_size=6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEY, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(JSON)
def test_json_is_yaml_and_reads_as_itself(value: Json) -> None:
    text = json.dumps(value, ensure_ascii=False)
    document, problems = read(text)
    assert problems == []
    assert (document.root.data if document.root else None) == value


@pytest.mark.parametrize("text", ['a: "b\\0c"', '"a\\0b": c'])
def test_nul_is_refused_where_it_is_written(text: str) -> None:
    _, problems = read(text)
    assert len(problems) == 1
    assert "NUL is not allowed" in problems[0]
