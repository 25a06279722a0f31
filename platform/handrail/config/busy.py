"""When the database does not answer in time: 503 and when to come back, in place of an error that looks like a bug."""

from __future__ import annotations

import structlog
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.deprecation import MiddlewareMixin

from handrail.config.refusals import PROGRAMS
from handrail.shared.problems import problem

log = structlog.get_logger(__name__)

RETRY_AFTER_SECONDS = "10"


class Busy(MiddlewareMixin):
    """Turns a database that is away, or a pool of connections that stays empty, into an answer that says so."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """503 with Retry-After for such a fault; everything else is not ours."""
        if not isinstance(exception, OperationalError | InterfaceError):
            return None
        log.error("database_does_not_answer", path=request.path, error=str(exception))
        if request.path.startswith(PROGRAMS):
            detail = (
                "The database did not answer in time. What you asked for was done as a whole or not at all: "
                "look which, then try again."
            )
            return problem(503, detail, code="try_again", headers={"Retry-After": RETRY_AFTER_SECONDS})
        answer = render(request, "503.html", status=503)
        answer["Retry-After"] = RETRY_AFTER_SECONDS
        return answer
