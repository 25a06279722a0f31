"""The alert source `generic`."""

from __future__ import annotations

from collections.abc import Mapping

from handrail.alerts.bodies import JsonValue
from handrail.alerts.events import AlertEvent
from handrail.alerts.sources import Credentials, SourceKind, TrustLevel, id_in_headers
from integrations.generic.parse import parse
from integrations.generic.verify import verify


class GenericSource:
    """Whatever can send JSON."""

    name = "generic"
    title = "Any JSON"
    # Nothing is known of what the sender means by a start.
    start_names_episode = False

    def parse(
        self, body: bytes, headers: Mapping[str, str], settings: Mapping[str, JsonValue]
    ) -> list[AlertEvent]:
        """See `integrations.generic.parse`; `settings` is the mapping document."""
        return parse(body, headers, settings)

    def verify(self, _body: bytes, headers: Mapping[str, str], credentials: Credentials) -> TrustLevel:
        """See `integrations.generic.verify`."""
        return verify(headers, credentials)

    def delivery_id(self, headers: Mapping[str, str], _body: bytes) -> str | None:
        """The id in one of the usual headers, or None."""
        return id_in_headers(headers)


SOURCE: SourceKind = GenericSource()
