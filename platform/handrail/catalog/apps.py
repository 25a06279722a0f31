"""The catalog app."""

from __future__ import annotations

from django.apps import AppConfig


class CatalogConfig(AppConfig):
    """Registered as ``handrail.catalog``."""

    name = "handrail.catalog"
