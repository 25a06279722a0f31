"""A run as it goes on: which regions of its page changed, until it is over."""

from __future__ import annotations

import uuid

from django.db.models import Count, Max, Q
from django.http import HttpRequest, StreamingHttpResponse

from handrail.shared.actors import Actor
from handrail.shared.errors import NotFound
from handrail.web.live import OVER, live
from handrail.web.pages import page
from runbooks.models import KillSwitch, LogLine, Vote
from runbooks.queries import no_worker, runs_visible_to

LOOK_EVERY = 0.4
"""Seconds: a step that takes half a second is seen to run."""

_BY_REVISION = ("words", "sub", "actions", "graph", "steps", "facts", "stop")


@page("GET")
def run_live(request: HttpRequest, actor: Actor, run_id: uuid.UUID) -> StreamingHttpResponse:
    """The stream of a run's page, and of the pages of its approvals."""
    return live(request, lambda: run_marks(actor, run_id), every=LOOK_EVERY)


def run_marks(actor: Actor, run_id: uuid.UUID) -> dict[str, object]:
    """The regions of the page. Asks each time whether the actor may still see the run; NotFound otherwise."""
    row = runs_visible_to(actor).filter(pk=run_id).values_list("revision", "is_open", "engine_schema").first()
    if row is None:
        raise NotFound("There is no such run, or you may not see it.")
    revision, is_open, schema = row
    return marks_of(run_id, revision, no_worker(run_id, schema) if is_open else "", is_open=is_open)


def marks_of(run_id: uuid.UUID, revision: int, held: str, *, is_open: bool) -> dict[str, object]:
    """The same for a run that was read with this revision; ``held``: why nobody takes what it has ready."""
    votes = Vote.objects.filter(approval__run=run_id).aggregate(
        cast=Count("pk"), void=Count("pk", filter=~Q(void_reason=""))
    )
    said = LogLine.objects.filter(step__run=run_id).aggregate(last=Max("pk"))["last"]
    return {
        **dict.fromkeys(_BY_REVISION, revision),
        "held": (revision, KillSwitch.objects.filter(off_at__isnull=True).count()),
        "words": (revision, held),
        "idle": (revision, held),
        "needs": (revision, votes["cast"], votes["void"]),
        "step": (revision, said),
        OVER: not is_open,
    }
