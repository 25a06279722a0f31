"""Pages that follow what happens: server-sent events that say which regions of a page changed, never what.

The page fetches the changed regions from its own address, so that there is one place that renders and one
that checks permission. The stream looks at the database: no message has to arrive for it to be right. Each look
asks first whether whoever opened the stream is still signed in: signing out ends it within one look.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

from asgiref.sync import sync_to_async
from django.contrib.sessions.models import Session
from django.core.handlers.asgi import ASGIRequest
from django.db import close_old_connections
from django.db.models import Exists
from django.http import HttpRequest, StreamingHttpResponse

from handrail.accounts.models import User
from handrail.shared.clock import now
from handrail.shared.errors import Forbidden, HandrailError

Look = Callable[[], Mapping[str, object]]
"""Region -> anything whose text differs when the region would look different. Raises when it may not be seen.

:data:`OVER` with True says that nothing will change any more: the stream says so and ends.
"""

OVER = "over"

LOOK_EVERY = 1.0
STILL_HERE_EVERY = 15.0
LONGEST = 600.0
"""Seconds until a stream ends by itself; the browser opens the next one, which is authorised anew."""
RETRY_MS = 1_000
RETRY_WITHOUT_STREAM_MS = 5_000
END = "event: end\ndata:\n\n"


def live(request: HttpRequest, look: Look, *, every: float = LOOK_EVERY) -> StreamingHttpResponse:
    """The stream of one page. The first look happens now, so that a refusal is an answer with its status.

    Under WSGI, where a stream would occupy a thread, it is one look and a request to ask again.
    """
    known = _parsed(request.headers.get("Last-Event-ID") or request.GET.get("last_event_id", ""))
    first = _marks(look)
    if isinstance(request, ASGIRequest):
        body: AsyncIterator[str] | Iterator[str] = _follow(signed_in_look(request, look), known, first, every)
    else:
        body = iter([f"retry: {RETRY_WITHOUT_STREAM_MS}\n\n", _told(first, known)])
    response = StreamingHttpResponse(body, content_type="text/event-stream; charset=utf-8")
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"
    return response


def signed_in_look(request: HttpRequest, look: Look) -> Look:
    """The look of whoever sent the request, for as long as their session lasts: one query before it.

    The session has to be there, the account active and its password the same, as when any other page is opened.
    """
    user = request.user
    if not isinstance(user, User):
        raise Forbidden("Sign in first.", code="sign_in_required")
    session = Session.objects.filter(session_key=request.session.session_key)
    account = User.objects.filter(pk=user.pk, password=user.password, is_active=True)

    def looking() -> Mapping[str, object]:
        if not account.filter(Exists(session.filter(expire_date__gt=now()))).exists():
            raise Forbidden("Sign in again.", code="sign_in_required")
        return look()

    return looking


async def _follow(
    look: Look, known: Mapping[str, str], first: Mapping[str, str], every: float
) -> AsyncIterator[str]:
    yield f"retry: {RETRY_MS}\n\n{_told(first, known)}"
    if _is_over(first):
        yield END
        return
    seen, said = first, time.monotonic()
    ends = said + LONGEST
    while time.monotonic() < ends:
        await asyncio.sleep(every)
        try:
            marks = await sync_to_async(_look_and_let_go)(look)
        except HandrailError:
            # Signed out, or no longer visible for this reader: the page, fetched again, says so.
            yield "event: refresh\ndata: *\n\n"
            return
        if marks != seen:
            yield _told(marks, seen)
            seen, said = marks, time.monotonic()
            if _is_over(marks):
                yield END
                return
        elif time.monotonic() - said > STILL_HERE_EVERY:
            said = time.monotonic()
            yield ": still here\n\n"


def identity(look: Look) -> str:
    """What a page that is rendered now knows: the ``last_event_id`` with which its stream begins."""
    return _identity(_marks(look))


def _is_over(marks: Mapping[str, str]) -> bool:
    return marks.get(OVER) == _digest(value=True)


def _identity(marks: Mapping[str, str]) -> str:
    return ",".join(f"{region}={mark}" for region, mark in marks.items())


def _look_and_let_go(look: Look) -> dict[str, str]:
    """One look, without keeping a database connection until the next one."""
    try:
        return _marks(look)
    finally:
        close_old_connections()


def _marks(look: Look) -> dict[str, str]:
    return {region: _digest(value) for region, value in look().items()}


def _digest(value: object) -> str:
    return hashlib.blake2s(str(value).encode("utf-8", "surrogatepass"), digest_size=5).hexdigest()


def _told(marks: Mapping[str, str], known: Mapping[str, str]) -> str:
    """The event that names what differs from what the page knows; only the id when it knows nothing yet."""
    changed = [region for region, mark in marks.items() if known.get(region) != mark] if known else []
    if known and not changed:
        return ": up to date\n\n"
    kind = "refresh" if changed else "ready"
    return f"id: {_identity(marks)}\nevent: {kind}\ndata: {' '.join(changed)}\n\n"


def _parsed(identity: str) -> dict[str, str]:
    """What a page that lost its line knew; nonsense is nothing, so that the answer is only the id."""
    parts = [part.partition("=") for part in identity[:2000].split(",")]
    return {region: mark for region, sign, mark in parts if sign and region}
