"""The alert source `alertmanager`."""

from __future__ import annotations

from collections.abc import Mapping

from handrail.alerts.bodies import JsonValue
from handrail.alerts.errors import MappingError
from handrail.alerts.events import AlertEvent
from handrail.alerts.sources import Credentials, SourceKind, TrustLevel
from handrail.alerts.text import shown
from integrations.alertmanager.parse import parse
from integrations.alertmanager.verify import verify


class AlertmanagerSource:
    """Prometheus Alertmanager and its kin."""

    name = "alertmanager"
    title = "Prometheus Alertmanager"
    # Prometheus gives an alert that fires anew a new startsAt.
    start_names_episode = True

    def parse(
        self, body: bytes, headers: Mapping[str, str], settings: Mapping[str, JsonValue]
    ) -> list[AlertEvent]:
        """See `integrations.alertmanager.parse`. Raises MappingError for settings: it has none."""
        if settings:
            raise MappingError(f"the source alertmanager has no mapping or settings, found {shown(settings)}")
        return parse(body, headers)

    def verify(self, _body: bytes, headers: Mapping[str, str], credentials: Credentials) -> TrustLevel:
        """See `integrations.alertmanager.verify`."""
        return verify(headers, credentials)

    def delivery_id(self, _headers: Mapping[str, str], _body: bytes) -> str | None:
        """None: Alertmanager repeats by design and numbers nothing; peers in high availability send twice."""
        return None


SOURCE: SourceKind = AlertmanagerSource()
