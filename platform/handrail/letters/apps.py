"""The dead letters app."""

from __future__ import annotations

from django.apps import AppConfig


class LettersConfig(AppConfig):
    """Registered as ``handrail.letters``."""

    name = "handrail.letters"
