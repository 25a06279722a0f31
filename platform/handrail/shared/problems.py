"""Errors for programs: RFC 9457 ``application/problem+json``, with words that say what to do, no internals."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus

from django.http import HttpResponse

CONTENT_TYPE = "application/problem+json"


def problem(
    status: int, detail: str, *, code: str, headers: Mapping[str, str] | None = None, **more: object
) -> HttpResponse:
    """A problem document: ``status``, its standard title, ``detail`` for people, ``code`` for programs."""
    document = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    body = json.dumps({**document, "detail": detail, "code": code, **more})
    return HttpResponse(body, status=status, content_type=CONTENT_TYPE, headers=dict(headers or {}))
