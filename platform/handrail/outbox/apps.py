"""The outbox app."""

from __future__ import annotations

from django.apps import AppConfig


class OutboxConfig(AppConfig):
    """Registered as ``handrail.outbox``."""

    name = "handrail.outbox"
