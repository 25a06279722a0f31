"""The source `webhook`: any JSON, which is no alert. Runbooks with a trigger on webhooks look at it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import cast

from handrail.alerts.authorization import check_authorization
from handrail.alerts.bodies import JsonValue, read_json
from handrail.alerts.errors import MappingError
from handrail.alerts.events import Message
from handrail.alerts.sources import Credentials, SourceKind, TrustLevel, id_in_headers
from handrail.alerts.text import bounded
from handrail.shared.jsonvalue import storable

MAX_HEADERS = 60
MAX_HEADER = 1_000
_PROOF = re.compile(
    r"auth|cookie|token|secret|signature|password|credential|(api|access|private)-?key", re.IGNORECASE
)
"""What stands in the name of a header that may prove who sent it: no expression, and so no run, gets to see those."""


class WebhookSource:
    """Whatever can send JSON, and wants a runbook to start."""

    name = "webhook"
    title = "A webhook that starts runbooks"
    # There are no episodes.
    start_names_episode = False

    def parse(
        self, body: bytes, headers: Mapping[str, str], settings: Mapping[str, JsonValue]
    ) -> Sequence[Message]:
        """The document as it came. Raises UnreadableBody, BodyTooLarge; MappingError for any mapping."""
        if settings:
            raise MappingError("a webhook has no mapping: the triggers of runbooks say what its fields mean")
        document = cast("JsonValue", storable(read_json(body, headers)))
        return [Message(body=document, headers=_shown(headers))]

    def verify(self, _body: bytes, headers: Mapping[str, str], credentials: Credentials) -> TrustLevel:
        """TOKEN for the configured credentials, ADDRESS when none are configured; raises NotProven."""
        return check_authorization(headers, credentials)

    def delivery_id(self, headers: Mapping[str, str], _body: bytes) -> str | None:
        """The id in one of the usual headers, or None."""
        return id_in_headers(headers, "X-GitHub-Delivery")


def _shown(headers: Mapping[str, str]) -> dict[str, str]:
    shown = [(name.lower(), value) for name, value in headers.items() if not _PROOF.search(name)]
    return {bounded(name, 100): bounded(value, MAX_HEADER) for name, value in shown[:MAX_HEADERS]}


SOURCE: SourceKind = WebhookSource()
