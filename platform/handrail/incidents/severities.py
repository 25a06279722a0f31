"""How bad an incident is: from an alert's severity and the tier of the service that it hits. Pure."""

from __future__ import annotations

from enum import StrEnum


class Sev(StrEnum):
    """An incident's severity; SEV1 is the worst."""

    SEV1 = "SEV1"
    SEV2 = "SEV2"
    SEV3 = "SEV3"
    SEV4 = "SEV4"


_TIER_1 = {"critical": Sev.SEV1, "error": Sev.SEV2, "warning": Sev.SEV3, "info": Sev.SEV4}
_OTHERS = {"critical": Sev.SEV2, "error": Sev.SEV3, "warning": Sev.SEV4, "info": Sev.SEV4}


def severity_of_alert(alert_severity: str, tier: int | None) -> Sev:
    """The severity of an incident for an alert of ``critical, error, warning, info, unknown``.

    ``tier`` is the service's (1 is the most critical), or None when the service is not known. An unknown
    severity counts as SEV3: somebody should look, nobody need be woken.
    """
    table = _TIER_1 if tier == 1 else _OTHERS
    return table.get(alert_severity, Sev.SEV3)


def worse(left: str, right: str) -> str:
    """The worse one of two severities."""
    return min(left, right)
