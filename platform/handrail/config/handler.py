"""Django's handler of requests, as it runs behind the ASGI server: the whole of a request in one thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from handrail.config.refusals import PROGRAMS, rewrite


class Handler(ASGIHandler):
    """Django's own, with all middleware and the view of a request in one thread, one call.

    In Django's asynchronous chain every middleware goes to a thread and back, twice: two thirds of the time of a page
    that does little. Streams are read by the event loop all the same, after the view has made them. And a request that
    cannot even be taken apart is refused in the form of all other refusals.
    """

    def load_middleware(self, is_async: bool = False) -> None:
        """A synchronous chain, whatever Django asks for."""
        super().load_middleware(is_async=False)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        """Go through the chain in the request's own thread."""
        return await sync_to_async(self.get_response, thread_sensitive=True)(request)

    def create_request(
        self, scope: Mapping[str, Any], body_file: IO[bytes]
    ) -> tuple[ASGIRequest, None] | tuple[None, HttpResponseBase]:
        """``(request, None)`` or ``(None, refusal)``."""
        made = super().create_request(scope, body_file)
        if isinstance(made[1], HttpResponse) and str(scope["path"]).startswith(PROGRAMS):
            rewrite(made[1], "")
        return made
