"""From a chat account to the person who linked it; never by e-mail or display name."""

from __future__ import annotations

from django.db.models import QuerySet

from handrail.accounts.models import LinkedIdentity, User
from handrail.shared.statements.compiled import Compiled


def find(provider: str, workspace: str, external_id: str) -> User | None:
    """The active person who linked this chat account, if any."""
    identity = _LINKED.first(provider, workspace, external_id)
    return None if identity is None else identity.user


def _linked(provider: str, workspace: str, external_id: str) -> QuerySet[LinkedIdentity]:
    of_account = LinkedIdentity.objects.filter(
        provider=provider, workspace=workspace, external_id=external_id, user__is_active=True
    )
    return of_account.select_related("user").order_by("pk")[:1]


_LINKED = Compiled(_linked)
