"""The files that steps left behind, and values that are too large for a page."""

from __future__ import annotations

import json
import uuid
from typing import IO

from django.db.models import QuerySet

from handrail.shared.actors import Actor
from handrail.shared.artifacts import expand, open_file
from handrail.shared.errors import NotFound
from handrail.shared.jsonvalue import JsonValue
from runbooks.models import Artifact, StepRun
from runbooks.queries.scope import run_visible_to
from runbooks.removed import file_removed, refuse_if, value_removed

VALUES = ("inputs", "outputs")
LARGEST_SHOWN = 16 * 1024
"""Characters of a value on a page; the whole of it can be downloaded."""


def files_of_run(actor: Actor, run_id: uuid.UUID) -> QuerySet[Artifact]:
    """The files of a run that the actor sees, oldest first. Raises NotFound."""
    return (
        Artifact.objects.filter(run=run_visible_to(actor, run_id))
        .select_related("run", "step")
        .order_by("id")
    )


def file_of_run(actor: Actor, run_id: uuid.UUID, artifact_id: uuid.UUID) -> Artifact:
    """One of them. Raises NotFound."""
    found = files_of_run(actor, run_id).filter(pk=artifact_id).first()
    if found is None:
        raise NotFound("This run has no such file.")
    return found


def content_of_file(file: Artifact) -> IO[bytes]:
    """The bytes of a file, to be read and closed. Raises Removed, ArtifactMissing."""
    refuse_if(file_removed(file.run, file))
    return open_file(file.sha256)


def value_of_step(actor: Actor, run_id: uuid.UUID, step_id: uuid.UUID, name: str) -> str:
    """The inputs or the outputs of a step as JSON text, whole. Raises NotFound, Removed, ArtifactMissing."""
    run = run_visible_to(actor, run_id)
    step = StepRun.objects.filter(run=run, pk=step_id).first()
    held: JsonValue = getattr(step, name) if step is not None and name in VALUES else None
    if held is None:
        raise NotFound("This step has no such value.")
    refuse_if(value_removed(run, held))
    return json.dumps(expand(held), indent=2, ensure_ascii=False)
