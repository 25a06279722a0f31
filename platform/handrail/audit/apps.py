"""The audit app."""

from __future__ import annotations

from django.apps import AppConfig


class AuditConfig(AppConfig):
    """Registered as ``handrail.audit``."""

    name = "handrail.audit"
