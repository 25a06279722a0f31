"""Drafts, publishing and the live pointer: what a runbook is at any time, and who made it so."""

from __future__ import annotations

import re
import uuid
from dataclasses import replace
from functools import lru_cache

from django.db import IntegrityError, transaction
from django.db.models import Max

from handrail.accounts.models import Project
from handrail.accounts.permissions import Permission, authorize
from handrail.audit.actions import record
from handrail.shared.actors import Actor
from handrail.shared.clock import now
from handrail.shared.errors import Conflict, Invalid, NotFound
from runbooks.hooks import live_changed
from runbooks.language import Parsed, parse, reread
from runbooks.language.definition import Json
from runbooks.language.definition import Runbook as Definition
from runbooks.language.fields import SLUG_PATTERN
from runbooks.models import Runbook, RunbookVersion
from runbooks.pins import pins_of
from runbooks.secret_names import problems_of
from runbooks.steps.registry import specs

LARGEST_SOURCE = 256 * 1024
"""Bytes of YAML; the language refuses more, and so does a draft."""


def check(source: str, project: Project | None = None) -> Parsed:
    """What the source means to this installation's actions; never raises.

    With a project, a secret that it may not read is an error too, though ``runbook`` is there: the document is right.
    """
    parsed = parse(source, actions=specs())
    if project is None:
        return parsed
    return replace(parsed, problems=(*parsed.problems, *problems_of(source, parsed, project)))


@transaction.atomic
def create(project: Project, source: str, *, actor: Actor) -> Runbook:
    """A new runbook with this draft. Its slug and title come from the source's metadata, which must be readable."""
    authorize(actor, Permission.AUTHOR, project)
    _refuse_large(source)
    slug, title, description, owner = _metadata(check(source))
    try:
        with transaction.atomic():
            runbook = Runbook.objects.create(
                project=project, slug=slug, title=title, description=description, owner=owner
            )
    except IntegrityError as error:
        raise Conflict(f"The project already has a runbook {slug!r}: choose another metadata.id.") from error
    _write_draft(runbook, source, actor=actor)
    record(actor, "runbook.created", runbook, data={"slug": slug})
    return runbook


@transaction.atomic
def save_draft(runbook: Runbook, source: str, *, actor: Actor, expected_revision: int) -> RunbookVersion:
    """Keep the draft's text, valid or not. ``expected_revision`` is the :func:`revision_of` what the author read;
    0 says that there was no draft.

    Conflict when somebody else saved or published in between: nothing is overwritten, and the message says whose
    text is there.
    """
    authorize(actor, Permission.AUTHOR, runbook)
    _refuse_large(source)
    runbook = Runbook.objects.select_for_update().get(pk=runbook.pk)
    draft = draft_of(runbook)
    _refuse_stale(runbook, draft, expected_revision)
    draft = _write_draft(runbook, source, actor=actor)
    record(actor, "runbook.drafted", runbook, data={"revision": draft.revision, "digest": draft.digest})
    return draft


@transaction.atomic
def discard_draft(runbook: Runbook, *, actor: Actor) -> None:
    """Throw the draft away; the live version stays."""
    authorize(actor, Permission.AUTHOR, runbook)
    runbook = Runbook.objects.select_for_update().get(pk=runbook.pk)
    draft = draft_of(runbook)
    if draft is None:
        raise Conflict("There is no draft to discard.")
    if runbook.live is None:
        raise Conflict(
            "This runbook was never published: its draft is all there is. Publish it, or leave it."
        )
    revision, digest = draft.revision, draft.digest
    draft.delete()
    record(actor, "runbook.draft_discarded", runbook, data={"revision": revision, "digest": digest})


@transaction.atomic
def publish(
    runbook: Runbook, *, actor: Actor, message: str, expected_revision: int | None = None
) -> RunbookVersion:
    """Make the draft the next version, immutable from now on, and the live one. Running runs keep theirs."""
    authorize(actor, Permission.PUBLISH, runbook)
    runbook = Runbook.objects.select_for_update().get(pk=runbook.pk)
    draft = draft_of(runbook)
    if draft is None:
        raise Conflict("There is no draft to publish: edit the runbook first.")
    if expected_revision is not None and draft.revision != expected_revision:
        raise Conflict(
            "The draft has changed since you looked at it: reload, and read what you would publish.",
            revision=draft.revision,
        )
    parsed = check(draft.source, runbook.project)
    _refuse_problems(parsed)
    _refuse_other_slug(runbook, parsed)
    if runbook.live is not None and runbook.live.digest == parsed.digest:
        raise Conflict(
            f"The draft means the same as the live version {runbook.live}: there is nothing to publish."
        )
    if parsed.runbook is not None:
        pins_of(runbook.project, parsed.runbook, definition_of)
    before = runbook.live
    newest = RunbookVersion.objects.filter(runbook=runbook).aggregate(newest=Max("number"))["newest"]
    draft.number = (newest or 0) + 1
    draft.state = RunbookVersion.State.PUBLISHED
    draft.canonical, draft.digest = parsed.canonical or "", parsed.digest or ""
    draft.publisher_id = actor.user_id
    draft.message = message.strip()[:500]
    draft.published_at = now()
    draft.save()
    _point_to(runbook, draft, parsed)
    record(
        actor,
        "runbook.published",
        runbook,
        data={"number": draft.number, "digest": draft.digest, "message": draft.message},
        before=before.digest if before is not None else None,
        after=draft.digest,
    )
    return draft


@transaction.atomic
def roll_back(runbook: Runbook, *, number: int, actor: Actor, reason: str) -> RunbookVersion:
    """Make a published version live again. Needs a reason; running runs keep theirs."""
    authorize(actor, Permission.PUBLISH, runbook)
    if not reason.strip():
        raise Invalid("Say why the runbook goes back: the next reader will want to know.")
    runbook = Runbook.objects.select_for_update().get(pk=runbook.pk)
    version = RunbookVersion.objects.filter(
        runbook=runbook, number=number, state=RunbookVersion.State.PUBLISHED
    ).first()
    if version is None:
        raise NotFound(f"There is no published version {number}.")
    if runbook.live_id == version.pk:
        raise Conflict(f"Version {number} is live already.")
    before = runbook.live
    _point_to(runbook, version, check(version.source))
    record(
        actor,
        "runbook.rolled_back",
        runbook,
        data={"number": number, "reason": reason.strip()[:500]},
        before=before.digest if before is not None else None,
        after=version.digest,
    )
    return version


def revision_of(runbook: Runbook) -> int:
    """What an author reads now: the draft's revision, else the live version's, else 0. No text has another's."""
    draft = draft_of(runbook)
    if draft is not None:
        return draft.revision
    return runbook.live.revision if runbook.live is not None else 0


def draft_of(runbook: Runbook) -> RunbookVersion | None:
    """The one draft of a runbook, or None."""
    return (
        RunbookVersion.objects.filter(
            runbook=runbook, state__in=[RunbookVersion.State.DRAFT, RunbookVersion.State.IN_REVIEW]
        )
        .select_related("author")
        .first()
    )


def definition_of(version: RunbookVersion) -> Definition:
    """The definition of a published version; parsed once a process, since a version never changes."""
    return _definition(version.pk, version.digest, version.source)


@lru_cache(maxsize=512)
def _definition(version: uuid.UUID, digest: str, source: str) -> Definition:
    definition = reread(source, actions=specs())
    if definition is None:
        # An action that a plugin brought is gone from this process: the run waits for a worker that has it.
        raise Invalid(
            f"This process does not know an action of version {version}: install the package that brings it.",
            code="version_unreadable",
        )
    return definition


def _write_draft(runbook: Runbook, source: str, *, actor: Actor) -> RunbookVersion:
    parsed = check(source)
    draft = draft_of(runbook)
    if draft is None:
        draft = RunbookVersion(runbook=runbook, based_on=runbook.live, revision=0)
    draft.source = source
    draft.canonical, draft.digest = parsed.canonical or "", parsed.digest or ""
    draft.state = RunbookVersion.State.DRAFT
    draft.author_id = actor.user_id
    if actor.user_id is not None and str(actor.user_id) not in draft.editors:
        draft.editors = [*draft.editors, str(actor.user_id)]
    # Counted by the runbook: a draft that follows a discarded one never has the same number as that one had.
    runbook.draft_revision += 1
    runbook.save(update_fields=["draft_revision"])
    draft.revision = runbook.draft_revision
    draft.save()
    return draft


def _refuse_stale(runbook: Runbook, draft: RunbookVersion | None, expected: int) -> None:
    """Refuse to write over, or beside, what the author has not seen."""
    found = revision_of(runbook)
    if expected == found or (draft is None and expected == 0):
        return
    if draft is None:
        raise Conflict(
            f"The draft that you were editing is gone: it was published or discarded, and "
            f"{runbook.live or 'nothing'} is live. Copy your text, reload, and put both together.",
            revision=found,
        )
    by = draft.author.username if draft.author is not None else "somebody"
    raise Conflict(
        f"{by} saved this draft while you were editing (revision {found}, yours began at {expected}). "
        "Copy your text, reload, and put both together.",
        revision=found,
    )


def _point_to(runbook: Runbook, version: RunbookVersion, parsed: Parsed) -> None:
    runbook.live = version
    if parsed.runbook is not None:
        runbook.title = parsed.runbook.title[:200]
        runbook.description = parsed.runbook.description
        runbook.owner = parsed.runbook.owner[:100]
    runbook.save()
    live_changed(runbook)


def _refuse_large(source: str) -> None:
    size = len(source.encode("utf-8", "surrogatepass"))
    if size > LARGEST_SOURCE:
        raise Invalid(f"The text has {size // 1024} KiB; a runbook may have {LARGEST_SOURCE // 1024}.")
    if "\x00" in source or any("\ud800" <= character <= "\udfff" for character in source):
        raise Invalid("The text holds a character that no database keeps (NUL or half of a surrogate pair).")


def _refuse_problems(parsed: Parsed) -> None:
    if parsed.errors:
        problems = [
            {"line": problem.line, "column": problem.column, "path": problem.path, "message": problem.message}
            for problem in parsed.errors
        ]
        found = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise Invalid(f"The draft has {found}, to be mended before it is published.", problems=problems)


def _refuse_other_slug(runbook: Runbook, parsed: Parsed) -> None:
    if parsed.runbook is not None and parsed.runbook.id != runbook.slug:
        raise Invalid(
            f"metadata.id is {parsed.runbook.id!r}, but this runbook is {runbook.slug!r}: "
            "an id never changes; make a new runbook instead."
        )


def _metadata(parsed: Parsed) -> tuple[str, str, str, str]:
    """Slug, title, description and owner, which a draft with other problems may well have."""
    document = parsed.document if isinstance(parsed.document, dict) else {}
    metadata = document.get("metadata")
    if not isinstance(metadata, dict):
        _refuse_problems(parsed)
        raise Invalid("The runbook has no metadata: begin with metadata.id and metadata.title.")
    slug = metadata.get("id")
    if not isinstance(slug, str) or not re.fullmatch(SLUG_PATTERN, slug):
        raise Invalid(
            "metadata.id must be a short name of a-z, 0-9 and dashes between them, such as high-error-rate."
        )
    return (
        slug,
        (_text(metadata, "title") or slug)[:200],
        _text(metadata, "description"),
        _text(metadata, "owner")[:100],
    )


def _text(metadata: dict[str, Json], name: str) -> str:
    """A text of the metadata; what is no text, or cannot be stored, is a problem that publishing will name."""
    value = metadata.get(name)
    return value.replace("\0", "") if isinstance(value, str) else ""
