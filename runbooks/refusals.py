"""Starts that were refused and that a person has to hear of: the loop guard, and limits that say so.

Kept until somebody says that they have seen it; the same again before that counts on the same row. In the same
transaction the incident's timeline and the chat are told.
"""

from __future__ import annotations

import uuid

from django.db import transaction
from django.db.models import F, QuerySet

from handrail.accounts.permissions import Permission, authorize, visible_projects
from handrail.audit.actions import record
from handrail.incidents import timeline
from handrail.shared.actors import Actor
from handrail.shared.clock import database_now
from handrail.shared.errors import Conflict, HandrailError, NotFound
from handrail.shared.links import runbook_url
from runbooks.language.definition import Json
from runbooks.matters import Matter, matter_arose
from runbooks.models import RefusedStart, Run

REFUSED = "refused"
"""The kind of the matter that people are paged about."""

ADMISSION = Actor.system("admission")
"""Who acts when a run is let in, or not."""


class NotAdmitted(HandrailError):
    """A run was not started because of its runbook's own limits. ``code`` says which; the message says why."""

    code = "not_admitted"
    status = 409

    def __init__(self, run: Run, code: str, reason: str, *, pages: bool) -> None:
        """``run`` was never saved; ``pages``: somebody has to hear of it (:func:`tell`)."""
        super().__init__(f"{run.runbook.title} was not started: {reason}", code=code)
        self.run = run
        self.reason = reason
        self.pages = pages

    def keep(self, actor: Actor) -> None:
        """Tell people, where that is wanted, and the audit trail: in a transaction that the refusal does not undo."""
        with transaction.atomic():
            if self.pages:
                tell(self.run, self.code, self.reason)
            data: dict[str, Json] = {"code": self.code, "reason": self.reason, "inputs": self.run.inputs}
            record(actor, "run.refused", self.run.runbook, data=data)


def tell(run: Run, code: str, reason: str) -> RefusedStart:
    """Keep a refused start for people, and tell the incident's timeline and the chat. Inside a transaction."""
    now = database_now()
    key = (run.loop_key or run.rate_key)[:300]
    open_one = RefusedStart.objects.select_for_update().filter(
        runbook=run.runbook, code=code, key=key, seen_at__isnull=True
    )
    known = open_one.first()
    if known is not None:
        RefusedStart.objects.filter(pk=known.pk).update(
            times=F("times") + 1, last_at=now, reason=reason[:500]
        )
        kept = known
    else:
        kept = RefusedStart.objects.create(
            project=run.project, runbook=run.runbook, code=code, key=key, reason=reason[:500],
            trigger=run.trigger, starter_name=run.starter_name, incident=run.incident, alert=run.alert,
            first_at=now, last_at=now,
        )  # fmt: skip
    if run.incident is not None:
        timeline.add(
            run.incident,
            "run.refused",
            f"{run.runbook.title} was not started, a person has to look: {reason}",
            actor=ADMISSION,
            data={"runbook": run.runbook.slug, "code": code, "reason": reason},
            subject=("runbook", run.runbook_id),
            url=runbook_url(run.project.slug, run.runbook.slug),
            dedupe_key=f"refused:{kept.pk}",
        )
    if known is None:
        matter_arose(_matter(kept, f"{run.runbook.title} was not started. {reason} Somebody has to look."))
    return kept


def _matter(row: RefusedStart, text: str, *, settled: bool = False) -> Matter:
    """The refusal as people are paged about it."""
    url = runbook_url(row.project.slug, row.runbook.slug)
    return Matter(row.project, REFUSED, f"refused:{row.pk}", text, url, settled)


def unseen(actor: Actor) -> QuerySet[RefusedStart]:
    """What nobody has said to have seen yet, of the projects that the actor may see; newest first."""
    rows = RefusedStart.objects.filter(seen_at__isnull=True, project__in=visible_projects(actor))
    return rows.select_related("runbook", "project", "incident").order_by("-last_at", "-pk")


@transaction.atomic
def mark_seen(refused_id: uuid.UUID, *, actor: Actor) -> RefusedStart:
    """Say that a person looks after it. The next refusal is news again. Needs ``respond``."""
    row = (
        RefusedStart.objects.select_for_update(of=("self",))
        .select_related("project", "runbook")
        .filter(pk=refused_id)
        .first()
    )
    if row is None:
        raise NotFound("There is no such refused start, or you may not see it.")
    authorize(actor, Permission.RESPOND, row)
    if row.seen_at is not None:
        raise Conflict(f"{row.seen_by} looks after it already.")
    row.seen_at, row.seen_by = database_now(), actor.name[:200]
    row.save(update_fields=["seen_at", "seen_by"])
    matter_arose(_matter(row, f"{actor.name} looks after {row.runbook.title}.", settled=True))
    record(
        actor,
        "run.refusal_seen",
        row,
        data={"runbook": row.runbook.slug, "code": row.code, "times": row.times},
    )
    return row
