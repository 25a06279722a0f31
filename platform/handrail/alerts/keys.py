"""The secret in a hook's address: made once, stored as its SHA-256, rotated with an overlap of two."""

from __future__ import annotations

import re
import secrets
from datetime import datetime, timedelta

from django.db.models import Q, QuerySet

from handrail.accounts.secrets import digest_of
from handrail.alerts.models import Source
from handrail.shared.clock import now
from handrail.shared.links import absolute
from handrail.shared.statements.compiled import Compiled

KEY_BYTES = 32
OVERLAP = timedelta(hours=24)
_SHAPE = re.compile(r"[A-Za-z0-9_-]{1,100}")


def new_key() -> str:
    """43 random characters (256 bits) that fit into an address."""
    return secrets.token_urlsafe(KEY_BYTES)


def hook_url(source: Source, key: str) -> str:
    """The address that the sender is given."""
    return absolute(f"/hooks/v1/{source.kind}/{key}")


def find_source(kind: str, key: str) -> Source | None:
    """The source that this kind and key belong to, enabled or not; None when there is none.

    The key in use and, until its overlap ends, the one before are both valid. The search compares digests, so
    that its time tells nothing about the key.
    """
    if not _SHAPE.fullmatch(key):
        return None
    return _SOURCE.first(kind, digest_of(key), now())


def _source(kind: str, digest: str, moment: datetime) -> QuerySet[Source]:
    still = Q(previous_key_digest=digest, previous_key_expires_at__gt=moment)
    found = Source.objects.filter(Q(key_digest=digest) | still, kind=kind)
    return found.select_related("project", "run_as").order_by("pk")[:1]


_SOURCE = Compiled(_source)
