"""Random text that is shown once and stored only as its SHA-256."""

from __future__ import annotations

import hashlib
import secrets

PREFIX = "hr_"
"""What every API token starts with, so that leaked ones can be searched for."""


def new_token() -> str:
    """An API token: ``hr_`` and 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def new_link() -> str:
    """The secret part of a one-time link: 256 random bits."""
    return secrets.token_urlsafe(32)


def digest_of(plain: str) -> str:
    """What is stored. A plain hash is enough: nobody can guess 256 random bits."""
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()
