"""The signature of a webhook, after Standard Webhooks (https://www.standardwebhooks.com). Pure.

``webhook-signature: v1,<base64 of HMAC-SHA256 over "<webhook-id>.<webhook-timestamp>.<body>">``
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

PREFIX = "whsec_"
SHORTEST_KEY = 16


class BadKey(ValueError):
    """The secret cannot be a key; the message says what it should be."""


def key_of(secret: str) -> bytes:
    """The bytes of the key: what follows ``whsec_`` in base64, or the text itself."""
    if not secret.startswith(PREFIX):
        key = secret.encode()
    else:
        try:
            key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
        except binascii.Error:
            raise BadKey(f"After {PREFIX} the key must be base64.") from None
    if len(key) < SHORTEST_KEY:
        raise BadKey(f"The key must have at least {SHORTEST_KEY} bytes.")
    return key


def headers_of(key: bytes, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers by which the receiver knows that it is ours, that it is fresh, and that it is new."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{digest}",
    }
