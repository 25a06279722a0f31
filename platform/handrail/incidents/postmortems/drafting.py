"""Makes and refreshes drafts: when an incident is resolved, and when something happens after that."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Sequence
from datetime import timedelta

from django.conf import settings
from django.db import transaction

from handrail.incidents import transitions
from handrail.incidents.hooks import ChangeKind, IncidentChange
from handrail.incidents.metrics import Timestamps
from handrail.incidents.models import (
    Incident,
    Postmortem,
    PostmortemRevision,
    PostmortemSection,
    TimelineEvent,
)
from handrail.incidents.postmortems.compose import GENERATOR_VERSION, PROSE, compose
from handrail.incidents.postmortems.facts import Event, Facts, Line, Section
from handrail.incidents.postmortems.markdown import StoredLine, lines_markdown
from handrail.shared.actors import Actor, ActorKind
from handrail.shared.clock import database_now, now

LEASE = timedelta(seconds=60)
DRAFTER = Actor.system("postmortem draft")
FINISHED = (Postmortem.Status.PUBLISHED, Postmortem.Status.AMENDED)
"""What the generator leaves alone: people have read it as final."""


def on_incident(change: IncidentChange) -> None:
    """Draft as soon as the resolution is committed.

    After the commit and robustly: a fault in drafting must never keep an incident from being resolved. What
    failed here is due, and the sweeper tries it again.
    """
    if change.kind is not ChangeKind.RESOLVED:
        return
    incident_id = change.incident.pk

    def draft_it() -> None:
        # A function and no partial: Django names it by its __qualname__ when it fails.
        draft_if_due(incident_id)

    transaction.on_commit(draft_it, robust=True)


def draft_due(limit: int = 20) -> int:
    """The sweeper's duty: draft what was missed, and bring drafts up to date with later events."""
    due = Incident.objects.filter(draft_due_at__lte=database_now()).order_by("draft_due_at")
    identifiers = list(due.values_list("pk", flat=True)[:limit])
    for identifier in identifiers:
        draft_if_due(identifier)
    return len(identifiers)


def draft_if_due(incident_id: uuid.UUID) -> bool:
    """Claim the incident's draft and make it; False when it is not due, or not severe enough to have one."""
    moment = database_now()
    due = Incident.objects.filter(pk=incident_id, draft_due_at__lte=moment)
    if not due.update(draft_due_at=moment + LEASE):
        return False
    incident = Incident.objects.get(pk=incident_id)
    wanted = incident.severity <= settings.POSTMORTEM_SEVERITY
    with transaction.atomic():
        # Whatever happens from here on waits for our lock, and makes the draft due anew.
        row = transitions.lock(incident)
        if wanted:
            draft(row)
        Incident.objects.filter(pk=incident_id).update(draft_due_at=None)
    return wanted


@transaction.atomic
def draft(row: Incident) -> Postmortem:
    """Compose the sections of a locked incident; those that people edited keep their text."""
    postmortem, created = Postmortem.objects.get_or_create(incident=row, defaults={"generated_at": now()})
    if not created and postmortem.status in FINISHED:
        return postmortem
    known = {section.key: section for section in postmortem.sections.select_for_update()}
    for position, section in enumerate(compose(facts_of(row))):
        _write(postmortem, position, section, known.get(section.key))
    postmortem.generated_at = now()
    postmortem.events_n = row.timeline_n
    postmortem.save(update_fields=["generated_at", "events_n"])
    return postmortem


def facts_of(incident: Incident) -> Facts:
    """The incident and its timeline as the plain values that drafts are composed from."""
    commander = incident.commander
    return Facts(
        name=str(incident),
        title=incident.title,
        severity=incident.severity,
        status=incident.status,
        service=incident.service.slug if incident.service else "",
        environment=incident.environment.slug if incident.environment else "",
        commander=str(commander) if commander else "",
        flaps=incident.flaps,
        trace_id=incident.trace_id,
        times=Timestamps(
            started=incident.started_at,
            detected=incident.detected_at,
            acknowledged=incident.acknowledged_at,
            contained=incident.contained_at,
            mitigated=incident.mitigated_at,
            resolved=incident.resolved_at,
        ),
        events=[_event(row) for row in TimelineEvent.objects.filter(incident=incident).order_by("n")],
    )


def digest(lines: Sequence[StoredLine]) -> str:
    """What tells two generated texts apart."""
    canonical = json.dumps(lines, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def generated_text(section: PostmortemSection) -> str:
    """The generated lines of a section as Markdown without links: what edits start from, what diffs compare."""
    return lines_markdown(section.lines, {}, prose=section.key in PROSE)


def _event(row: TimelineEvent) -> Event:
    return Event(
        id=str(row.pk),
        n=row.n,
        kind=row.kind,
        text=row.text,
        at=row.at,
        actor=row.actor_name,
        human=row.actor_kind == ActorKind.USER,
        data=row.data if isinstance(row.data, dict) else {},
        url=row.url,
    )


def _stored(line: Line) -> StoredLine:
    return {"text": line.text, "events": list(line.events), "prompt": line.prompt}


def _write(postmortem: Postmortem, position: int, section: Section, row: PostmortemSection | None) -> None:
    lines = [_stored(line) for line in section.lines]
    lines_digest = digest(lines)
    if row is not None and row.lines_digest == lines_digest:
        return
    if row is None:
        row = PostmortemSection(postmortem=postmortem, key=section.key, revision=0)
    row.position, row.title = position, section.title
    row.lines, row.lines_digest, row.generator_version = lines, lines_digest, GENERATOR_VERSION
    if row.edited is not None:
        # The reader still sees the person's text: no new revision, only newer facts beside it.
        row.save()
        return
    row.revision += 1
    row.save()
    PostmortemRevision.objects.create(
        section=row, n=row.revision, text=generated_text(row), edited=False, actor_name=DRAFTER.name, at=now()
    )
