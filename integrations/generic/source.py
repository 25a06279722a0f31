"""The alert source `generic`."""

from __future__ import annotations

from collections.abc import Mapping

from handrail.alerts.bodies import JsonValue, header
from handrail.alerts.events import MAX_FINGERPRINT, AlertEvent
from handrail.alerts.sources import Credentials, SourceKind, TrustLevel
from integrations.generic.parse import parse
from integrations.generic.verify import verify

# Standard Webhooks, the IETF's Idempotency-Key draft, and the habit of several vendors.
_DELIVERY_HEADERS = ("Webhook-Id", "Idempotency-Key", "X-Webhook-Id", "X-Delivery-Id")


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
        for name in _DELIVERY_HEADERS:
            value = header(headers, name).strip()
            if value and len(value) <= MAX_FINGERPRINT:
                return value
        return None


SOURCE: SourceKind = GenericSource()
