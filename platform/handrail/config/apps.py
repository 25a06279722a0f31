"""Joins the apps when Django starts."""

from __future__ import annotations

from django.apps import AppConfig


class ConfigConfig(AppConfig):
    """The last app: when it is ready, all others are."""

    name = "handrail.config"
    label = "config"

    def ready(self) -> None:
        """Make the Celery application the current one, in every process that sends a hint; connect the hooks."""
        from handrail.config.celery import app
        from handrail.config.wiring import connect

        app.set_default()
        connect()
