"""Identifiers: UUIDv7 (RFC 9562), so that rows sort by birth, shown short to people."""

from __future__ import annotations

import uuid

import uuid_utils


def new_id() -> uuid.UUID:
    """A fresh UUIDv7."""
    return uuid.UUID(int=uuid_utils.uuid7().int)


def short(identifier: uuid.UUID | str) -> str:
    """The last eight hex digits: random in a UUIDv7, so that neighbours in time look different."""
    return str(identifier).replace("-", "")[-8:]
