"""The settings of the floor's programs: the product's database and broker, and nothing else of it."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

import django
from django.conf import settings


def configure(*, apps: Sequence[str] = (), middleware: Sequence[str] = (), **more: object) -> None:
    """Set Django up with these apps and this middleware in place of the product's."""
    product = importlib.import_module("handrail.config.settings")
    ours = {name: getattr(product, name) for name in dir(product) if name.isupper()}
    settings.configure(**ours | {"INSTALLED_APPS": [*apps], "MIDDLEWARE": [*middleware], **more})
    django.setup()
