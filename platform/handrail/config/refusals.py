"""What Django itself refuses, told to programs as problem documents (RFC 9457) in place of its pages for people."""

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import TypeAlias, cast

from django.core.exceptions import (
    DisallowedHost,
    RequestDataTooBig,
    TooManyFieldsSent,
    TooManyFilesSent,
)
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.decorators import sync_only_middleware
from django.views import defaults

from handrail.shared.problems import CONTENT_TYPE, problem

Answering: TypeAlias = Callable[[HttpRequest], HttpResponseBase]

PROGRAMS = ("/api/", "/hooks/", "/integrations/")
"""Below these, programs read the answer; elsewhere people do."""

_SAID = {
    400: ("unreadable", "The request cannot be read: its address, headers or body are not what HTTP allows."),
    403: ("forbidden", "This is not allowed."),
    404: ("not_found", "There is no such address."),
    405: (
        "method_not_allowed",
        "The address does not take this method; the header Allow lists those it takes.",
    ),
    413: ("too_large", "The request is too large: send less at a time."),
    500: ("internal_error", "This is a fault of ours, and logged. Tell an operator the request's id."),
}
_BECAUSE: tuple[tuple[type[Exception], str], ...] = (
    (
        DisallowedHost,
        "The host name of this address is none of ours: an operator lists it in HANDRAIL_ALLOWED_HOSTS.",
    ),
    (TooManyFieldsSent, "The request has too many fields: send fewer at a time."),
    (TooManyFilesSent, "The request has too many files: send none."),
    (RequestDataTooBig, "The request is too large: send less at a time."),
)


@sync_only_middleware
def problems_for_programs(get_response: Answering) -> Answering:
    """Every refusal and every fault below PROGRAMS is a problem document, whoever made it."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        return _told(request, get_response(request))

    return answer


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400: a problem that says why, where that helps; for people the usual page."""
    words = next((words for kind, words in _BECAUSE if isinstance(exception, kind)), "")
    if words and request.path.startswith(PROGRAMS):
        return problem(400, words, code="unreadable")
    return cast("HttpResponse", defaults.bad_request(request, exception))


def _told(request: HttpRequest, answer: HttpResponseBase) -> HttpResponseBase:
    if (
        answer.status_code >= 400
        and isinstance(answer, HttpResponse)
        and request.path.startswith(PROGRAMS)
        and not answer.get("Content-Type", "").startswith(CONTENT_TYPE)
    ):
        rewrite(answer, request.__dict__.get("request_id", ""))
    return answer


def rewrite(answer: HttpResponse, request_id: str) -> None:
    """Say in a problem document what the answer says; its status and its other headers (Allow, cookies) stay."""
    status = answer.status_code
    title = HTTPStatus(status).phrase
    code, detail = _SAID.get(status, ("error", f"{title}."))
    document: dict[str, object] = {
        "type": "about:blank", "title": title, "status": status, "detail": detail, "code": code,
    }  # fmt: skip
    if status >= 500 and request_id:
        document["request_id"] = request_id
    answer.content = json.dumps(document).encode()
    answer["Content-Type"] = CONTENT_TYPE
    answer["Content-Length"] = str(len(answer.content))
