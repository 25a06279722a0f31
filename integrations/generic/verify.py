"""A generic sender proves itself by a bearer token or basic authentication, if one is configured."""

from __future__ import annotations

from collections.abc import Mapping

from handrail.alerts.authorization import check_authorization
from handrail.alerts.sources import Credentials, TrustLevel


def verify(headers: Mapping[str, str], credentials: Credentials) -> TrustLevel:
    """TOKEN for the configured credentials, ADDRESS when none are configured; raises NotProven."""
    return check_authorization(headers, credentials)
