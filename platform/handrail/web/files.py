"""Downloads: what a step left behind, and values that are too large for a page. Never shown as a page of ours."""

from __future__ import annotations

import uuid
from typing import IO, TypeVar

from django.http import FileResponse, HttpRequest, HttpResponse

from handrail.shared.actors import Actor
from handrail.shared.ids import short
from handrail.web.pages import page
from runbooks.models import Artifact
from runbooks.queries.files import content_of_file, file_of_run, value_of_step

Answer = TypeVar("Answer", HttpResponse, FileResponse)


@page("GET")
def run_file(request: HttpRequest, actor: Actor, run_id: uuid.UUID, artifact_id: uuid.UUID) -> FileResponse:
    """One file, as it was kept."""
    found = file_of_run(actor, run_id, artifact_id)
    return download(found, content_of_file(found))


def download(found: Artifact, content: IO[bytes]) -> FileResponse:
    """The file as an attachment: a browser saves it, and runs nothing that is in it."""
    response = FileResponse(
        content, as_attachment=True, filename=f"{short(found.run_id)}-{found.name}", content_type=_type(found)
    )
    response["Content-Length"] = str(found.size)
    return _harmless(response)


@page("GET")
def step_value(
    request: HttpRequest, actor: Actor, run_id: uuid.UUID, step_id: uuid.UUID, name: str
) -> HttpResponse:
    """The whole inputs or outputs of a step."""
    text = value_of_step(actor, run_id, step_id, name)
    response = HttpResponse(text, content_type="application/json")
    response["Content-Disposition"] = f'attachment; filename="{short(step_id)}-{name}.json"'
    return _harmless(response)


def _type(found: Artifact) -> str:
    return f"{found.media_type}; charset=utf-8" if found.media_type.startswith("text/") else found.media_type


def _harmless(response: Answer) -> Answer:
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    return response
