"""One-time links: found by their secret, and used up exactly once."""

from __future__ import annotations

from handrail.accounts.models import OneTimeLink
from handrail.accounts.secrets import digest_of
from handrail.shared.clock import now
from handrail.shared.errors import NotFound

_GONE = "This link has been used, has expired, or was replaced by a newer one."


def find(plain: str) -> OneTimeLink:
    """The link that still works. Raises NotFound for any other."""
    link = OneTimeLink.objects.filter(
        digest=digest_of(plain), used_at__isnull=True, expires_at__gt=now()
    ).first()
    if link is None:
        raise NotFound(_GONE)
    return link


def claim(plain: str, purpose: OneTimeLink.Purpose) -> OneTimeLink:
    """Use the link up in the current transaction: of two at once, one gets NotFound."""
    at = now()
    claimed = OneTimeLink.objects.filter(
        digest=digest_of(plain), purpose=purpose, used_at__isnull=True, expires_at__gt=at
    ).update(used_at=at)
    if not claimed:
        raise NotFound(_GONE)
    return OneTimeLink.objects.get(digest=digest_of(plain))
