"""The vault app."""

from __future__ import annotations

from django.apps import AppConfig


class VaultConfig(AppConfig):
    """Registered as ``handrail.vault``."""

    name = "handrail.vault"
