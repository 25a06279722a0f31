"""A body is read within its limits, or refused with a reason; it never breaks the reader."""

from __future__ import annotations

import contextlib
import gzip
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.exceptions import ParseError

from handrail.alerts.bodies import MAX_BODY_BYTES, read_form, read_json
from handrail.alerts.errors import BodyTooLarge, IntakeError, UnreadableBody
from handrail.shared.rest.bodies import read
from handrail.shared.strict_json import MAX_DEPTH

LATIN = {"Content-Type": "application/json; charset=ISO-8859-1"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_unicode_is_read_in_every_encoding(encoding: str) -> None:
    assert read_json('{"a": "Überlauf 🔥"}'.encode(encoding)) == {"a": "Überlauf 🔥"}


def test_latin_1_is_read_when_it_is_named() -> None:
    assert read_json('{"a": "é"}'.encode("latin-1"), LATIN) == {"a": "é"}


def test_latin_1_is_refused_when_it_is_not_named() -> None:
    with pytest.raises(UnreadableBody, match="not valid UTF-8"):
        read_json('{"a": "é"}'.encode("latin-1"))


@pytest.mark.parametrize("charset", ["utf-7", "idna", "rot13", "hex", "no-such", "\0"])
def test_odd_charsets_are_refused(charset: str) -> None:
    with pytest.raises(UnreadableBody, match="charset"):
        read_json(b"{}", {"content-type": f"text/plain; charset={charset}"})


def test_a_body_beyond_the_limit_is_refused() -> None:
    with pytest.raises(BodyTooLarge, match="1,048,577 bytes"):
        read_json(b" " * (MAX_BODY_BYTES + 1))


def test_depth_up_to_the_limit_is_read() -> None:
    read_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    with pytest.raises(UnreadableBody, match="nested deeper than 64"):
        read_json(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1))


def test_brackets_inside_text_are_not_depth() -> None:
    text = "[{" * 500 + '"\\'
    assert read_json(json.dumps([text]).encode()) == [text]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"<html>", "not JSON: Expecting value at line 1, column 1"),
        (gzip.compress(b"{}", mtime=0), "compressed \\(gzip\\): send it uncompressed"),
        (b"payload=%7B%7D", "looks like a form"),
        (b'{"a": "b', "Unterminated string starting at line 1"),
        (b'{"a": 1', "end of the body"),
        (b'{"a": 1} x', "Extra data"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "-Infinity"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "5000 digits"),
        (b'{"status": 1, "status": 2}', 'the key "status" twice'),
        (b'{"a": "\xff"}', "not valid UTF-8"),
        (b'"' + b"\\" * 999_999, "not JSON"),
        (b'"\\' * 500_000, "not JSON"),
    ],
)
def test_a_refusal_says_what_is_wrong(body: bytes, message: str) -> None:
    with pytest.raises(UnreadableBody, match=message) as refusal:
        read_json(body)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 300


@pytest.mark.parametrize("unit", [b"[", b"]", b'"', b'\\"', b'{"a":', b"[]", b'"\\', b"0,"])
def test_hostile_repetition_takes_little_time(unit: bytes) -> None:
    body = unit * (MAX_BODY_BYTES // len(unit))
    started = time.process_time()
    with pytest.raises(IntakeError):
        read_json(body)
    assert time.process_time() - started < 3


@given(st.binary() | st.text().map(lambda text: json.dumps({"a": text}).encode()))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(IntakeError):
        read_json(body)


def test_a_form_is_read() -> None:
    assert read_form(b"title=Disk+full&state=down&empty=") == {
        "title": "Disk full",
        "state": "down",
        "empty": "",
    }


@pytest.mark.parametrize(
    ("body", "message"), [(b"a=%ff", "UTF-8"), (b"&".join([b"a=1"] * 2_000), "1000 fields")]
)
def test_a_broken_form_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(UnreadableBody, match=message):
        read_form(body)


def test_a_key_twice_among_a_hundred_thousand_is_found_in_one_look() -> None:
    text = "{" + ",".join(f'"{n}":1' for n in range(100_000)) + ',"99999":2}'
    # Comparing each key with every other would be ten thousand million looks: the test would never end.
    with pytest.raises(ParseError, match="twice in one object"):
        read(text)
