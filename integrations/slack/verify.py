"""Is this request from Slack? Signature version 0 over the raw bytes, at most five minutes old. Pure.

Source: https://docs.slack.dev/authentication/verifying-requests-from-slack. Own code in place of the SDK's
verifier, which raises ValueError on a junk timestamp and on invalid UTF-8, and TypeError on a signature that is
not ASCII: a stranger could make it answer 500.
"""

from __future__ import annotations

import hashlib
import hmac
import re

WINDOW_SECONDS = 300
"""How old a request may be, so that a recorded one cannot be played again."""

TIMESTAMP_HEADER = "X-Slack-Request-Timestamp"
SIGNATURE_HEADER = "X-Slack-Signature"

_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
_SIGNATURE = re.compile(r"v0=[0-9a-f]{64}", re.ASCII)


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """The value of the signature header: ``v0=`` and 64 hex digits."""
    base = b"v0:" + timestamp.encode() + b":" + body
    return "v0=" + hmac.new(secret.encode(), base, hashlib.sha256).hexdigest()


def refusal(secret: str, timestamp: str, signature: str, body: bytes, *, now: float) -> str | None:
    """Why the request is not to be believed, for the log; None when it is Slack's.

    ``timestamp`` and ``signature`` are the headers as received, empty when absent; ``now`` is Unix time in
    seconds. An empty secret believes nobody: it is publicly known.
    """
    if not secret:
        return "no signing secret is configured (HANDRAIL_SLACK_SIGNING_SECRET)"
    if not _TIMESTAMP.fullmatch(timestamp):
        return "the timestamp header is missing or not a number"
    if abs(now - int(timestamp)) > WINDOW_SECONDS:
        return "the timestamp is more than five minutes away from this machine's clock"
    if not _SIGNATURE.fullmatch(signature):
        return "the signature header is missing or not of version 0"
    if not hmac.compare_digest(sign(secret, timestamp, body), signature):
        return "the signature does not match: is the signing secret that of this Slack app?"
    try:
        body.decode()
    except UnicodeDecodeError:
        return "the body is not UTF-8"
    return None
