"""``POST /hooks/v1/<kind>/<key>``: where alerting systems send. Thin: bytes in, a receipt or a problem out."""

from __future__ import annotations

import re

import structlog
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from django.views.decorators.csrf import csrf_exempt

from handrail.alerts import kinds
from handrail.alerts.bodies import MAX_BODY_BYTES
from handrail.alerts.errors import BodyTooLarge, IntakeError, NotProven, UnreadableBody, UnusableSecret
from handrail.alerts.intake import Receipt, receive
from handrail.alerts.keys import find_source
from handrail.alerts.models import Source
from handrail.alerts.text import storable
from handrail.shared.actors import Actor, ActorKind, Channel
from handrail.shared.problems import problem

log = structlog.get_logger(__name__)

RETRY_AFTER_SECONDS = "10"
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")

_STATUSES: tuple[tuple[type[IntakeError], int, str], ...] = (
    (NotProven, 401, "not_proven"),
    (BodyTooLarge, 413, "too_large"),
    (UnreadableBody, 400, "unreadable"),
    (IntakeError, 422, "not_this_source"),
)


@csrf_exempt
def hook(request: HttpRequest, kind: str, key: str) -> HttpResponse:
    """Take one delivery: 202 when it is committed, else a problem document that says what to do.

    Touches neither session nor user: whoever knows the key is the sender. 503 with Retry-After when the
    database cannot be reached or the source's own secret cannot be read: senders retry those.
    """
    if request.method != "POST":
        return problem(405, "Send alerts with POST.", code="method_not_allowed", headers={"Allow": "POST"})
    try:
        source = find_source(kind, key) if kind in kinds.names() else None
        if source is None:
            return _unknown(kind)
        if not source.enabled:
            return problem(410, "This source is disabled: enable it, or stop sending.", code="disabled")
        return _received(
            receive(source, _body(request), dict(request.headers), actor=_actor(request, source))
        )
    except UnusableSecret as error:
        log.error("source_secret_unusable", kind=kind, error=str(error))
        return _later(
            "This source cannot check who you are: its secret cannot be read. An operator must act."
        )
    except IntakeError as error:
        return _refused(error)
    except UnreadablePostError:
        return problem(400, "The body broke off before its end: send it again.", code="unreadable")
    except (OperationalError, InterfaceError) as error:
        log.warning("delivery_not_stored", kind=kind, error=str(error))
        return _later("The delivery could not be stored just now: send it again.")


@csrf_exempt
def nothing_here(request: HttpRequest) -> HttpResponse:
    """Any other address below ``/hooks/``."""
    return problem(404, "Hooks are at /hooks/v1/<kind>/<key>: copy the source's address.", code="not_found")


def _body(request: HttpRequest) -> bytes:
    """The raw bytes, never more than the limit and one byte of them in memory."""
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        raise UnreadableBody("the body is compressed: send it without Content-Encoding")
    length = request.headers.get("Content-Length", "")
    if length.isdecimal() and len(length) < 20 and int(length) > MAX_BODY_BYTES:
        raise BodyTooLarge(size=int(length), limit=MAX_BODY_BYTES)
    body = request.read(MAX_BODY_BYTES + 1)
    if len(body) > MAX_BODY_BYTES:
        raise BodyTooLarge(size=len(body), limit=MAX_BODY_BYTES)
    return body


def _actor(request: HttpRequest, source: Source) -> Actor:
    trace = _TRACEPARENT.fullmatch(request.headers.get("traceparent", "").strip())
    return Actor(
        kind=ActorKind.SYSTEM,
        name=f"source {source.name}",
        channel=Channel.AUTOMATION,
        address=str(request.META.get("REMOTE_ADDR", ""))[:64],
        trace_id=trace.group(1) if trace else "",
    )


def _received(receipt: Receipt) -> HttpResponse:
    told = {
        "delivery": str(receipt.delivery.pk),
        "verdict": str(receipt.delivery.verdict),
        "duplicate": receipt.duplicate,
    }
    return JsonResponse(told, status=202)


def _refused(error: IntakeError) -> HttpResponse:
    status, code = next((status, code) for kind, status, code in _STATUSES if isinstance(error, kind))
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return problem(status, storable(str(error)), code=code, headers=headers)


def _unknown(kind: str) -> HttpResponse:
    if kind not in kinds.names():
        return problem(
            404,
            f"There is no such kind of source: the kinds are {', '.join(kinds.names())}.",
            code="not_found",
        )
    return problem(
        404, f"No {kind} source has this key: copy the source's address, or rotate its key.", code="not_found"
    )


def _later(detail: str) -> HttpResponse:
    return problem(503, detail, code="try_again", headers={"Retry-After": RETRY_AFTER_SECONDS})
