"""What an error of AWS means to a runbook. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from runbooks.steps.base import Failure
from runbooks.steps.http_outcomes import CODES, retry_after

_AUTHENTICATION = re.compile(
    r"ExpiredToken|InvalidClientToken|UnrecognizedClient|SignatureDoesNotMatch|InvalidSignature|IncompleteSignature"
    r"|InvalidAccessKeyId|AuthFailure|MissingAuthentication|RequestExpired"
)
_WORDS: tuple[tuple[re.Pattern[str], tuple[str, bool]], ...] = (
    (
        re.compile(
            r"Thrott|TooManyRequests|RequestLimitExceeded|SlowDown|LimitExceeded.*Rate|BandwidthLimitExceeded"
            r"|ThroughputExceeded|TransactionInProgress|PriorRequestNotComplete"
        ),
        ("rate_limited", True),
    ),
    (_AUTHENTICATION, ("authentication_failed", False)),
    (
        re.compile(r"AccessDenied|UnauthorizedOperation|NotAuthorized|OptInRequired"),
        ("permission_denied", False),
    ),
    (re.compile(r"NotFound|NoSuch|DoesNotExist|NonExistent"), ("not_found", False)),
    (re.compile(r"Conflict|AlreadyExists|ConditionalCheckFailed|InUse"), ("conflict", False)),
    (
        re.compile(r"Timeout|Unavailable|InternalError|InternalFailure|ServiceException"),
        ("server_error", True),
    ),
)
"""The services' own codes, which say more than their status: many send 400 for all."""

READS = re.compile(r"(?:Get|List|Describe|Head|BatchGet|Lookup|Search|Query|Scan)(?=[A-Z]|\Z)")
"""Operations that change nothing, by AWS's own naming."""

_IN_DOUBT = frozenset({502, 504})


class Refused(Exception):
    """AWS did not do it."""

    def __init__(self, failure: Failure) -> None:
        """``failure`` is what the step says."""
        super().__init__(failure.message)
        self.failure = failure


def not_of_aws(operation: str, why: str) -> Failure:
    """The failure that an answer of somebody else is."""
    words = f"The answer is not AWS's ({why[:300]}): is the connection's address its service's?"
    return Failure("bad_response", words, uncertain=not READS.match(operation))


def failure_of_answer(answer: Mapping[str, Any], operation: str) -> Failure:
    """The failure that an error answer is, as botocore has parsed it."""
    error = answer.get("Error", {})
    name, said = str(error.get("Code", "")), str(error.get("Message", ""))
    status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    code, retryable = _code(name, status)
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return Failure(
        code,
        f"AWS says {name}: {said[:500]}",
        retryable=retryable,
        uncertain=status in _IN_DOUBT and not READS.match(operation),
        retry_after=retry_after(headers.get("retry-after", ""), datetime.now(UTC)) if retryable else None,
        outputs={"status": status, "error": name},
    )


def _code(name: str, status: int) -> tuple[str, bool]:
    for pattern, found in _WORDS:
        if pattern.search(name):
            return found
    if status in CODES:
        return CODES[status]
    return ("server_error", True) if status >= 500 else ("rejected", False)
