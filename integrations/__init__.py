"""Integrations: one folder a vendor, each deletable in one commit together with its line here."""

from __future__ import annotations

from collections.abc import Mapping

# Sources: the kind's name -> where its SourceKind is. Loaded only when asked for.
INTEGRATIONS: Mapping[str, str] = {
    "alertmanager": "integrations.alertmanager.source:SOURCE",
    "generic": "integrations.generic.source:SOURCE",
    "webhook": "integrations.webhook.source:SOURCE",
}
