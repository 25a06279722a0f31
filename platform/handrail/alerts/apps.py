"""The alerts app."""

from __future__ import annotations

from django.apps import AppConfig


class AlertsConfig(AppConfig):
    """Registered as ``handrail.alerts``."""

    name = "handrail.alerts"
