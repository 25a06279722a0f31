"""What an HTTP status means to a runbook: a code, whether retrying helps, whether a doubt is left."""

from __future__ import annotations

import email.utils
from datetime import UTC, datetime

from handrail.catalog.outgoing.calls import REDIRECTS, Reply
from runbooks.language.definition import Json
from runbooks.steps.base import Failure

CODES: dict[int, tuple[str, bool]] = {
    400: ("invalid_input", False),
    401: ("authentication_failed", False),
    403: ("permission_denied", False),
    404: ("not_found", False),
    405: ("invalid_input", False),
    408: ("timeout", True),
    409: ("conflict", False),
    410: ("not_found", False),
    412: ("conflict", False),
    413: ("invalid_input", False),
    414: ("invalid_input", False),
    415: ("invalid_input", False),
    422: ("invalid_input", False),
    423: ("conflict", True),
    425: ("server_error", True),
    429: ("rate_limited", True),
    501: ("invalid_input", False),
}
"""From a status to (code, retryable). Other 4xx are ``rejected``, other 5xx ``server_error``, retryable."""

_IN_DOUBT = frozenset({301, 302, 303, 408, 502, 504, 520, 524})
"""After a write these say that nobody knows: a gateway that got no answer (Cloudflare's are 520 and 524), a redirect
that may follow an act."""

LONGEST_WAIT = 3600.0
LONGEST_EXCERPT = 500


def failure_of_status(reply: Reply, *, writes: bool, outputs: dict[str, Json]) -> Failure:
    """The failure that an unexpected status is."""
    code, retryable = _code(reply.status)
    excerpt = " ".join(reply.text().split())[:LONGEST_EXCERPT]
    return Failure(
        code,
        f"The answer was {reply.status}" + (f": {excerpt}" if excerpt else "."),
        retryable=retryable,
        uncertain=writes and reply.status in _IN_DOUBT,
        retry_after=retry_after(reply.headers.get("retry-after", ""), datetime.now(UTC))
        if retryable
        else None,
        outputs=outputs,
    )


def _code(status: int) -> tuple[str, bool]:
    if status in CODES:
        return CODES[status]
    if status in REDIRECTS:
        return "redirect_refused", False
    if status >= 500:
        return "server_error", True
    return ("rejected" if status >= 400 else "unexpected_status"), False


def retry_after(header: str, now: datetime) -> float | None:
    """Seconds to wait, from either form of ``Retry-After`` (RFC 9110, 10.2.3), at most an hour."""
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:10]), LONGEST_WAIT)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max((aware - now).total_seconds(), 0.0), LONGEST_WAIT)
