"""No known secret passes the redactor, in whichever form and in however many pieces it comes."""

from __future__ import annotations

import base64
import html
import json
import re
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handrail.vault.redaction import MASK, Redactor

secrets = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x2FF), min_size=4, max_size=40)
around = st.text(max_size=30)


@given(secrets, around, around)
def test_the_value_never_comes_through(secret: str, before: str, after: str) -> None:
    assert secret not in Redactor([secret]).text(before + secret + after).replace(MASK, "\0")


@pytest.mark.parametrize(
    "form",
    [
        lambda value: json.dumps(value)[1:-1],
        lambda value: quote(value, safe=""),
        quote_plus,
        lambda value: re.sub("%..", lambda found: found.group().lower(), quote(value, safe="")),
        lambda value: value.encode().hex(),
        lambda value: value.encode().hex().upper(),
        lambda value: base64.b64encode(value.encode()).decode(),
        lambda value: base64.b64encode(value.encode()).decode().rstrip("="),
        lambda value: base64.urlsafe_b64encode(value.encode()).decode(),
    ],
)
@pytest.mark.parametrize("value", ["pässword/+?", 'quo"te\\d', "plain-token-1", "????>>>>", "abcd"])
def test_every_form_is_replaced_whole(form: object, value: str) -> None:
    assert callable(form)
    assert Redactor([value]).text(f"<{form(value)}>") == f"<{MASK}>"


@given(secrets, st.binary(max_size=20), st.binary(max_size=20))
def test_base64_of_a_larger_text_gives_no_secret_bytes_away(secret: str, before: bytes, after: bytes) -> None:
    raw = secret.encode()
    encoded = base64.b64encode(before + raw + after).decode()
    redacted = Redactor([secret]).text(encoded)
    # The characters that are left carry bits of what surrounds the secret only.
    kept_left, _, kept_right = redacted.partition(MASK)
    assert MASK in redacted
    assert len(kept_left) * 6 <= len(before) * 8 + 5
    assert len(kept_right.rstrip("=")) * 6 <= len(after) * 8 + 5


@settings(max_examples=300)
@given(
    st.lists(st.text("ab=%", min_size=4, max_size=8), min_size=1, max_size=3),
    st.sampled_from([0, 100]),
    st.text("ab=%\n", max_size=80),
    st.data(),
)
def test_a_stream_says_what_the_whole_text_would(
    values: list[str], before: int, end: str, data: st.DataObject
) -> None:
    text = "x" * before + end
    redactor = Redactor(values)
    stream = redactor.stream()
    said, rest = "", text
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        said += stream.feed(rest[:size])
        rest = rest[size:]
    assert said + stream.close() == redactor.text(text)


@given(secrets, st.binary(max_size=8), st.integers(1, 5))
def test_a_stream_gives_no_bits_of_a_secret_inside_of_base64_away(
    secret: str, before: bytes, size: int
) -> None:
    text = base64.b64encode(before + secret.encode()).decode()
    redactor = Redactor([secret])
    stream = redactor.stream()
    said = "".join(stream.feed(text[at : at + size]) for at in range(0, len(text), size))
    assert said + stream.close() == redactor.text(text)


def test_a_stream_keeps_back_only_what_may_be_a_secret() -> None:
    stream = Redactor(["s3cr3t-token"]).stream()
    assert stream.feed("working...\n") == "working...\n"
    assert stream.feed("it is s3c") == "it is "
    assert stream.feed("ure\n") == "s3cure\n"
    assert stream.feed("s3cr3t-to") == ""
    assert stream.feed("ken!") + stream.close() == f"{MASK}!"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("x" * 200 + " it is s3cr3t-to", "x" * 200 + f" it is {MASK}"),
        ("x" * 200 + base64.b64encode(b"s3cr3t-token-of-the-tests").decode()[:20], "x" * 200 + MASK),
        ("x" * 200 + " it is s3cr3t-", "x" * 200 + " it is s3cr3t-"),
        ("it is s3cr3t-to", "it is s3cr3t-to"),
    ],
)
def test_what_a_cut_has_left_of_a_secret_is_hidden(text: str, shown: str) -> None:
    """An excerpt ends anywhere; a short text was not cut, and seven characters are nobody's secret."""
    redactor = Redactor(["s3cr3t-token-of-the-tests"])
    assert redactor.text(text) == shown
    stream = redactor.stream()
    assert "".join(map(stream.feed, text)) + stream.close() == shown


@pytest.mark.parametrize("value", [r'pa"ss\wörd/+&<1', "line one\nline two of it"])
def test_a_body_that_is_quoted_in_a_body_is_redacted(value: str) -> None:
    body = json.dumps({"token": value})
    for quoted in (json.dumps({"refused": body}), quote(body), html.escape(body), f"refused: {body!r}"):
        shown = Redactor([value]).text(quoted)
        assert MASK in shown
        assert not any(value[at : at + 5] in shown for at in range(len(value) - 5))


def test_overlapping_secrets_leave_no_rest() -> None:
    assert Redactor(["abcdef", "defghi"]).text("xabcdefghix") == f"x{MASK}x"


def test_data_keeps_its_shape_with_keys_and_numbers_redacted() -> None:
    redactor = Redactor(["hunter22", "123456"])
    assert redactor.data({"a": ["hunter22", 5, None, True], "hunter22": {"pin": 123456}}) == {
        "a": [MASK, 5, None, True],
        MASK: {"pin": MASK},
    }


def test_each_line_of_a_secret_of_several_lines_is_hidden_alone() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END KEY-----"
    assert Redactor([key]).text("loaded MIIEvQIBADANBgkq") == f"loaded {MASK}"


def test_values_too_short_to_hide_are_ignored() -> None:
    assert Redactor(["abc", ""]).text("abc def") == "abc def"


def test_a_secret_learnt_later_is_hidden_from_then_on() -> None:
    redactor = Redactor([])
    assert redactor.text("hunter22") == "hunter22"
    redactor.learn("hunter22")
    assert redactor.text("hunter22") == MASK
