"""Every request has an id and a trace: taken from the caller, made up otherwise, returned, in every log line."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from typing import TypeAlias

import structlog
from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import sync_only_middleware

from handrail.shared.ids import new_id

Answering: TypeAlias = Callable[[HttpRequest], HttpResponseBase]

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,64}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")


@sync_only_middleware
def request_ids(get_response: Answering) -> Answering:
    """``X-Request-ID`` and W3C ``traceparent``: accepted where they are well formed, returned always."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        headers = _identify(request)
        with structlog.contextvars.bound_contextvars(**_logged(request)):
            found = get_response(request)
        return _told(found, headers)

    return answer


def trace_of(traceparent: str) -> tuple[str, str]:
    """``(trace id, flags)`` of a W3C traceparent; a fresh trace for one that is none."""
    found = _TRACEPARENT.fullmatch(traceparent.strip())
    if found and not traceparent.startswith("ff") and found[1].strip("0") and found[2].strip("0"):
        return found[1], found[3]
    return secrets.token_hex(16), "00"


def _identify(request: HttpRequest) -> dict[str, str]:
    given = request.headers.get("X-Request-ID", "")
    identifier = given if _REQUEST_ID.fullmatch(given) else str(new_id())
    trace, flags = trace_of(request.headers.get("traceparent", ""))
    request.__dict__.update(request_id=identifier, trace_id=trace)
    return {"X-Request-ID": identifier, "traceparent": f"00-{trace}-{secrets.token_hex(8)}-{flags}"}


def _logged(request: HttpRequest) -> dict[str, str]:
    return {"request_id": request.__dict__["request_id"], "trace_id": request.__dict__["trace_id"]}


def _told(answer: HttpResponseBase, headers: dict[str, str]) -> HttpResponseBase:
    for name, value in headers.items():
        answer[name] = value
    return answer
