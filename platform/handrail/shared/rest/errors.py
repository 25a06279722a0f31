"""Every refusal as a problem document (RFC 9457): what went wrong, and what to do; never how we are built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from handrail.shared.errors import HandrailError, NotFound
from handrail.shared.problems import CONTENT_TYPE

_CODES = {
    400: "unreadable",
    401: "not_authenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    413: "too_large",
    415: "unsupported_media_type",
    429: "too_many",
}
_WORDS = {
    "not_authenticated": "Send a token in the header: Authorization: Bearer hr_... (made under Account, Tokens).",
    "unsupported_media_type": "Send JSON, with the header Content-Type: application/json.",
    "not_acceptable": "Answers are JSON: leave out the header Accept, or accept application/json.",
}


def answer_to(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """DRF's exception handler. None for what is a fault of ours: that one is logged, and answered with 500."""
    match error:
        case HandrailError():
            set_rollback()
            return _of_ours(error)
        case Http404():
            set_rollback()
            return _of_ours(NotFound("There is no such thing, or you may not see it."))
        case PermissionDenied():
            error = exceptions.PermissionDenied()
    if not isinstance(error, exceptions.APIException):
        return None
    set_rollback()
    return _of_rest(error)


def _of_ours(error: HandrailError) -> Response:
    headers = {}
    wait = error.details.get("retry_after")
    if isinstance(wait, int | float):
        headers["Retry-After"] = str(max(1, round(wait)))
    return problem_response(error.status, error.message, code=error.code, headers=headers, **error.details)


def _of_rest(error: exceptions.APIException) -> Response:
    if isinstance(error, exceptions.ValidationError):
        problems = list(_places(error.detail))
        first = problems[0] if problems else {"name": "", "message": "It is not acceptable."}
        place = f"{first['name']}: " if first["name"] else ""
        return problem_response(422, f"{place}{first['message']}", code="invalid", problems=problems)
    headers = {}
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = str(challenge)
    if (wait := getattr(error, "wait", None)) is not None:
        headers["Retry-After"] = str(max(1, round(wait)))
    code = _CODES.get(error.status_code, "error")
    detail = str(error.detail)
    if code in _WORDS and not isinstance(error, exceptions.AuthenticationFailed):
        detail = _WORDS[code]
    return problem_response(error.status_code, detail, code=code, headers=headers)


def problem_response(
    status: int, detail: str, *, code: str, headers: Mapping[str, str] | None = None, **more: object
) -> Response:
    """The problem as DRF's response."""
    document: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    # A detail must not overwrite what the standard defines.
    extra = {name: value for name, value in more.items() if name not in document}
    return Response(
        {**document, **extra}, status=status, headers=dict(headers or {}), content_type=CONTENT_TYPE
    )


def _places(detail: Any, name: str = "") -> Iterator[dict[str, str]]:
    """DRF's nested messages, flat: ``{"name": "inputs.0.region", "message": ...}``."""
    match detail:
        case dict():
            for key, inner in detail.items():
                place = "" if key == "non_field_errors" else str(key)
                yield from _places(inner, f"{name}.{place}".strip("."))
        case list() | tuple():
            for index, inner in enumerate(detail):
                nested = isinstance(inner, dict | list)
                yield from _places(inner, f"{name}.{index}".strip(".") if nested else name)
        case _:
            yield {"name": name, "message": str(detail)}
