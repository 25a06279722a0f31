"""What the frame of every page shows besides the page itself."""

from __future__ import annotations

from functools import cached_property

from django.http import HttpRequest

from handrail.accounts.actors import actor_of_request
from handrail.accounts.models import User
from runbooks.queries import approvals_for


class _Waiting:
    """A number that is counted when the header is drawn, and only once."""

    def __init__(self, request: HttpRequest) -> None:
        self.request = request

    @cached_property
    def number(self) -> int:
        return len(approvals_for(actor_of_request(self.request)))

    def __int__(self) -> int:
        return self.number


def waiting_approvals(request: HttpRequest) -> dict[str, _Waiting]:
    """``pending_approvals``: how many approvals wait for this very person."""
    # A live page fetches only its regions: nobody reads the header of that answer.
    if "X-Handrail-Live" in request.headers or not isinstance(getattr(request, "user", None), User):
        return {}
    return {"pending_approvals": _Waiting(request)}
