"""Severity words of the monitoring world, and what they mean here."""

from __future__ import annotations

from handrail.alerts.events import Severity

# Sev0-4 as Azure Monitor documents them (Critical, Error, Warning, Informational, Verbose); P1-P5 as Opsgenie
# does (critical, high, moderate, low, informational); syslog's and Zabbix's own words beside them.
_WORDS: dict[Severity, str] = {
    Severity.CRITICAL: "critical crit emergency emerg fatal page disaster panic blocker sev0 p0 p1",
    Severity.ERROR: "error err high major severe serious urgent sev1 p2",
    Severity.WARNING: "warning warn medium moderate average minor degraded ticket sev2 p3",
    Severity.INFO: (
        "info informational information notice low lowest debug verbose trace none ok normal "
        "sev3 sev4 sev5 p4 p5"
    ),
}
SEVERITY_WORDS: dict[str, Severity] = {
    word: severity for severity, words in _WORDS.items() for word in words.split()
}


def read_severity(word: str) -> Severity:
    """The severity that a source's own word means: "Sev-1", "P2", "CRIT", "page".

    Case, blanks, `-`, `_` and `.` do not matter. Bare numbers mean opposite things at different vendors and
    are unknown, like every other word that is not in the table.
    """
    plain = "".join(character for character in word[:40].lower() if character not in " -_.")
    return SEVERITY_WORDS.get(plain, SEVERITY_WORDS.get(plain.replace("priority", "p"), Severity.UNKNOWN))
