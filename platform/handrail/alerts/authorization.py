"""For senders that sign nothing: a bearer token or basic authentication, compared in constant time."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping

from handrail.alerts.bodies import header
from handrail.alerts.errors import NotProven
from handrail.alerts.sources import Credentials, TrustLevel

_LONGEST_HEADER = 8_192


def check_authorization(headers: Mapping[str, str], credentials: Credentials) -> TrustLevel:
    """How the caller proved itself by its Authorization header.

    With no secret configured, knowing the hook's address is the proof. Raises NotProven otherwise, without
    saying which part was wrong.
    """
    if not credentials.secrets:
        return TrustLevel.ADDRESS
    scheme, _, given = header(headers, "Authorization")[:_LONGEST_HEADER].strip().partition(" ")
    if credentials.username:
        wanted, kind = [f"{credentials.username}:{secret}" for secret in credentials.secrets], "basic"
    else:
        wanted, kind = list(credentials.secrets), "bearer"
    presented = _presented(given.strip(), kind) if scheme.lower() == kind else None
    if presented is None:
        raise NotProven(
            f"this source expects an Authorization header with {kind} credentials: set it at the sender"
        )
    # Every secret is compared, at full length, so that time tells nothing about which came close.
    matches = [hmac.compare_digest(presented, secret.encode()) for secret in wanted]
    if not any(matches):
        raise NotProven(
            f"the {kind} credentials are not this source's: compare them with the source's settings"
        )
    return TrustLevel.TOKEN


def _presented(given: str, kind: str) -> bytes | None:
    if kind == "bearer":
        return given.encode("utf-8", "backslashreplace") or None
    try:
        return base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError):
        return None
