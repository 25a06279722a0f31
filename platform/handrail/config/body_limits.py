"""Ends requests whose body is too large while they arrive: Django would first write all of it to a file."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from handrail.alerts.bodies import MAX_BODY_BYTES

Scope: TypeAlias = dict[str, Any]
Message: TypeAlias = Mapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

HOOKS = "/hooks/"
LARGEST = 4 * 1024 * 1024
"""For everything but hooks; forms and the API have smaller limits of their own."""


class BodyTooLarge(Exception):
    """More bytes have arrived than the address takes."""


class LimitBodies:
    """ASGI: counts the bytes of a request and answers 413 as soon as there are too many."""

    def __init__(self, application: Application) -> None:
        """``application`` sees a request only as long as it keeps to the limit."""
        self.application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or refuse."""
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        limit = MAX_BODY_BYTES if str(scope["path"]).startswith(HOOKS) else LARGEST
        if _declared(scope) > limit:
            await _refuse(send, limit)
            return
        arrived = 0

        async def counted() -> Message:
            nonlocal arrived
            message = await receive()
            arrived += len(message.get("body", b""))
            if arrived > limit:
                raise BodyTooLarge
            return message

        try:
            await self.application(scope, counted, send)
        except BodyTooLarge:
            # Raised while Django collects the body, before it has answered anything.
            await _refuse(send, limit)


def _declared(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and len(value) < 20:
            return int(value)
    return 0


async def _refuse(send: Send, limit: int) -> None:
    document = {
        "type": "about:blank",
        "title": "Request Entity Too Large",
        "status": 413,
        "detail": f"The body has more than {limit:,} bytes: send less at a time.",
        "code": "too_large",
    }
    body = json.dumps(document).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})
