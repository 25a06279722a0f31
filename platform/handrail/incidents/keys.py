"""The incident key: which alerts belong to one incident. The third key; of stable labels, never of severity."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from handrail.alerts.bodies import JsonValue
from handrail.alerts.errors import MappingError
from handrail.alerts.expressions import Scope
from handrail.alerts.models import Alert
from handrail.alerts.placing import ENVIRONMENT_LABELS, SERVICE_LABELS, first_label
from handrail.alerts.settings import key_expression, read_settings

MAX_KEY = 300
STORM_KEY = "storm"
"""The key of a project's storm incident; no alert's own key can be equal, as those contain a ``=``."""


@dataclass(frozen=True, slots=True)
class IncidentKey:
    """``value`` is compared; ``words`` say to people what it is made of."""

    value: str
    words: str


def key_of(alert: Alert) -> IncidentKey:
    """The alert's incident key: by the source's expression, else service, environment and alert name."""
    expression = read_settings(alert.source.settings).incident_key
    if not expression:
        return _default(alert)
    try:
        value = key_expression(expression).evaluate(Scope({"alert": _variables(alert)}))
    except MappingError as error:
        fallback = _default(alert)
        return IncidentKey(fallback.value, f"{fallback.words} (the source's own key failed: {error})")
    text = value.strip() if isinstance(value, str) else ""
    if not text:
        fallback = _default(alert)
        return IncidentKey(fallback.value, f"{fallback.words} (the source's own key is not a text here)")
    return IncidentKey(_bounded(f"key={text}"), f"key {text[:100]}")


def _default(alert: Alert) -> IncidentKey:
    labels: dict[str, str] = alert.labels
    service = alert.service.slug if alert.service else first_label(labels, SERVICE_LABELS)
    environment = alert.environment.slug if alert.environment else first_label(labels, ENVIRONMENT_LABELS)
    name = labels.get("alertname", "").strip() or alert.title
    parts = [("service", service), ("environment", environment), ("alert", name)]
    value = "|".join(f"{part}={text}" for part, text in parts)
    words = ", ".join(f"{part} {text[:80]}" for part, text in parts if text)
    return IncidentKey(_bounded(value), words)


def _bounded(value: str) -> str:
    if len(value) <= MAX_KEY:
        return value
    return f"sha256={hashlib.sha256(value.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _variables(alert: Alert) -> JsonValue:
    labels: dict[str, JsonValue] = dict(alert.labels)
    return {
        "title": alert.title,
        "labels": labels,
        "service": alert.service.slug if alert.service else "",
        "environment": alert.environment.slug if alert.environment else "",
        "source": alert.source.name,
        "fingerprint": alert.fingerprint,
    }
