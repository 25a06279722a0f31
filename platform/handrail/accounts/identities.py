"""From a chat account to the person who linked it; never by e-mail or display name."""

from __future__ import annotations

from handrail.accounts.models import LinkedIdentity, User


def find(provider: str, workspace: str, external_id: str) -> User | None:
    """The active person who linked this chat account, if any."""
    identity = (
        LinkedIdentity.objects.select_related("user")
        .filter(provider=provider, workspace=workspace, external_id=external_id, user__is_active=True)
        .first()
    )
    return None if identity is None else identity.user
