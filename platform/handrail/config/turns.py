"""Requests take turns: as many at once as there are database connections for, the urgent ones first, in order.

Django gives every request a thread as soon as it arrives. Two hundred at once would then wait for eight
connections, hold the interpreter from each other, and all be late; in turn, the first are answered at once.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

Scope: TypeAlias = dict[str, Any]
Message: TypeAlias = Mapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

URGENT = ("/integrations/", "/healthz", "/readyz", "/metrics")
"""Whoever calls these gives up soon: Slack after three seconds; and what looks whether we live would restart us."""

LONGEST_QUEUE = 2_000
"""So many may wait for their turn; who comes after them is told to come back later."""

RETRY_AFTER = b"5"


class Overloaded(Exception):
    """Too many wait already."""


class Turns:
    """So many at once; one waits for its turn behind those of its kind, the urgent before all others.

    Others than urgent ones leave ``kept`` turns free, so that an urgent one finds a free one at once.
    Of one event loop.
    """

    def __init__(self, at_once: int, *, kept: int, longest: int = LONGEST_QUEUE) -> None:
        """``at_once`` > ``kept`` >= 0."""
        self._free = at_once
        self._kept = kept
        self._longest = longest
        self._urgent: deque[asyncio.Future[None]] = deque()
        self._others: deque[asyncio.Future[None]] = deque()

    @property
    def free(self) -> int:
        """How many turns nobody has."""
        return self._free

    async def take(self, *, urgent: bool) -> None:
        """Wait for a turn; Overloaded when too many wait. Each turn taken is given back once."""
        queue = self._urgent if urgent else self._others
        if not queue and self._free > (0 if urgent else self._kept):
            self._free -= 1
            return
        if len(self._urgent) + len(self._others) >= self._longest:
            raise Overloaded
        mine = asyncio.get_running_loop().create_future()
        queue.append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self.give_back()
            raise

    def give_back(self) -> None:
        """End a turn: whose turn is it now?"""
        self._free += 1
        self._call_next(self._urgent, 0)
        self._call_next(self._others, self._kept)

    def _call_next(self, queue: deque[asyncio.Future[None]], kept: int) -> None:
        while queue and self._free > kept:
            following = queue.popleft()
            if not following.done():
                self._free -= 1
                following.set_result(None)


class TakeTurns:
    """ASGI: a request has its turn from the end of its body until Django is done with it.

    So nobody who sends or reads slowly holds a thread or a database connection. A request that has begun is done to
    its end even when its sender hangs up; only streams hear of that, and hold no turn.
    """

    def __init__(self, application: Application, at_once: int) -> None:
        """``application`` serves ``at_once`` requests at once."""
        self.application = application
        self.turns = Turns(at_once, kept=min(2, at_once - 1))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, in turn."""
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        turn = _Turn(self.turns, receive, send, urgent=str(scope["path"]).startswith(URGENT))
        try:
            await self.application(scope, turn.receive, turn.send)
        except Overloaded:
            await _refuse(send)
            return
        finally:
            turn.end()
        await turn.deliver()


class _Turn:
    """One request."""

    def __init__(self, turns: Turns, receive: Receive, send: Send, *, urgent: bool) -> None:
        self._turns = turns
        self._receive = receive
        self._send = send
        self._urgent = urgent
        self._has_come = False
        self._holds = False
        self._streams = asyncio.Event()
        self._answer: list[Message] = []

    async def receive(self) -> Message:
        """The body; behind it, that somebody hung up, for streams alone."""
        if self._has_come:
            await self._streams.wait()
            return await self._receive()
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            self._has_come = True
            await self._turns.take(urgent=self._urgent)
            self._holds = True
        return message

    async def send(self, message: Message) -> None:
        """Keep the answer until Django is done, unless it is a stream."""
        if message["type"] == "http.response.start" and _is_stream(message):
            self._streams.set()
            self.end()
        if self._streams.is_set():
            await self._send(message)
        else:
            self._answer.append(message)

    def end(self) -> None:
        """Give the turn back, once."""
        if self._holds:
            self._holds = False
            self._turns.give_back()

    async def deliver(self) -> None:
        """Send what was kept, as slowly as it is read."""
        for message in self._answer:
            await self._send(message)


def _is_stream(start: Message) -> bool:
    return any(
        name.lower() == b"content-type" and value.startswith(b"text/event-stream")
        for name, value in start["headers"]
    )


async def _refuse(send: Send) -> None:
    document = {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "detail": "Too many requests wait already. Nothing was done: try again in some seconds.",
        "code": "try_again",
    }
    body = json.dumps(document).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", RETRY_AFTER),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})
