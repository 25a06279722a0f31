"""The web app."""

from __future__ import annotations

from django.apps import AppConfig


class WebConfig(AppConfig):
    """Registered as ``handrail.web``."""

    name = "handrail.web"
