"""The accounts app."""

from __future__ import annotations

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Registered as ``handrail.accounts``."""

    name = "handrail.accounts"
