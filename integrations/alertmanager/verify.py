"""Alertmanager signs nothing: its receiver's `http_config` can carry a token or a password."""

from __future__ import annotations

from collections.abc import Mapping

from handrail.alerts.authorization import check_authorization
from handrail.alerts.sources import Credentials, TrustLevel


def verify(headers: Mapping[str, str], credentials: Credentials) -> TrustLevel:
    """TOKEN for the configured credentials, ADDRESS when none are configured; raises NotProven.

    `authorization.credentials` of the receiver is a bearer token; `basic_auth` is a name and a password.
    Client certificates end at the proxy in front of Handrail.
    """
    return check_authorization(headers, credentials)
