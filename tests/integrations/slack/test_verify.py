"""Only Slack is believed, and a stranger can break nothing."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations.slack.verify import WINDOW_SECONDS, refusal, sign

SECRET = "a-signing-secret"
NOW = 1_760_000_000
BODY = b"payload=%7B%22type%22%3A%22block_actions%22%7D&empty="


def headers(body: bytes = BODY, *, at: int = NOW, secret: str = SECRET) -> tuple[str, str]:
    """Slack's recipe in its own words, apart from the product's function."""
    digest = hmac.new(secret.encode(), f"v0:{at}:".encode() + body, hashlib.sha256).hexdigest()
    return str(at), f"v0={digest}"


def test_what_slack_signed_is_believed() -> None:
    assert refusal(SECRET, *headers(), BODY, now=NOW) is None
    assert sign(SECRET, *headers()[:1], BODY) == headers()[1]


@pytest.mark.parametrize("age", [-WINDOW_SECONDS, -1, 0, WINDOW_SECONDS])
def test_five_minutes_either_way_are_believed(age: int) -> None:
    assert refusal(SECRET, *headers(), BODY, now=NOW + age) is None


@pytest.mark.parametrize("age", [-WINDOW_SECONDS - 1, WINDOW_SECONDS + 1, 10**9])
def test_an_old_request_cannot_be_played_again(age: int) -> None:
    assert "five minutes" in (refusal(SECRET, *headers(), BODY, now=NOW + age) or "")


def test_an_empty_secret_believes_nobody() -> None:
    assert refusal("", *headers(secret=""), BODY, now=NOW) is not None


@pytest.mark.parametrize(
    "timestamp",
    [
        "",
        "now",
        "1e9",
        "-1",
        "+1760000000",
        " 1760000000",
        "1760000000\n",
        "١٧٦٠",
        "nan",
        "inf",
        "9" * 400,
        "1.5",
    ],
)
def test_a_timestamp_that_is_no_number_is_refused(timestamp: str) -> None:
    assert refusal(SECRET, timestamp, headers()[1], BODY, now=NOW) is not None


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "v0=",
        "v0",
        "v1=" + "0" * 64,
        "v0=" + "0" * 64,
        "v0=" + "g" * 64,
        "v0=" + "é" * 64,
        "v0=" + "0" * 63,
        "\udcff",
        "☃",
        "v0=" + "0" * 64 + "\n",
    ],
)
def test_a_signature_that_is_none_is_refused(signature: str) -> None:
    assert refusal(SECRET, str(NOW), signature, BODY, now=NOW) is not None


def test_the_signature_of_another_secret_body_or_time_is_refused() -> None:
    timestamp, signature = headers()
    assert refusal(SECRET, timestamp, headers(secret="other")[1], BODY, now=NOW) is not None
    assert refusal(SECRET, timestamp, signature, BODY + b"&", now=NOW) is not None
    assert refusal(SECRET, str(NOW + 1), signature, BODY, now=NOW) is not None
    assert refusal(SECRET, timestamp, signature.upper(), BODY, now=NOW) is not None


def test_a_signed_body_that_is_not_utf_8_is_refused() -> None:
    body = b"payload=\xff\xfe"
    assert refusal(SECRET, *headers(body), body, now=NOW) == "the body is not UTF-8"


@given(st.text(max_size=80), st.text(max_size=80), st.binary(max_size=200))
def test_nothing_that_a_stranger_sends_raises_or_is_believed(
    timestamp: str, signature: str, body: bytes
) -> None:
    assert refusal(SECRET, timestamp, signature, body, now=NOW) is not None
