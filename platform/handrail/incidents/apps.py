"""The incidents app."""

from __future__ import annotations

from django.apps import AppConfig


class IncidentsConfig(AppConfig):
    """Registered as ``handrail.incidents``."""

    name = "handrail.incidents"
