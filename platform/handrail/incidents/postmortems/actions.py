"""What people do to postmortems: ask for a draft, edit a section, take an edit back, review, publish."""

from __future__ import annotations

import difflib

from django.db import transaction

from handrail.accounts.models import User
from handrail.accounts.permissions import Permission, authorize
from handrail.audit.actions import AuditObject, record
from handrail.incidents import timeline, transitions
from handrail.incidents.models import Incident, Postmortem, PostmortemRevision, PostmortemSection
from handrail.incidents.postmortems.drafting import DRAFTER, FINISHED, draft, generated_text
from handrail.incidents.postmortems.markdown import section_markdown
from handrail.shared.actors import Actor
from handrail.shared.clock import now
from handrail.shared.errors import Conflict, Invalid

MAX_TEXT = 50_000
_Status = Postmortem.Status
_STEPS = {
    _Status.DRAFT: {_Status.IN_REVIEW},
    _Status.IN_REVIEW: {_Status.DRAFT, _Status.PUBLISHED},
    _Status.PUBLISHED: set[_Status](),
    _Status.AMENDED: {_Status.PUBLISHED},
}


@transaction.atomic
def generate(incident: Incident, actor: Actor) -> Postmortem:
    """Make the draft, or bring it up to date: sections that people edited keep their text."""
    authorize(actor, Permission.RESPOND, incident)
    row = transitions.lock(incident)
    if row.is_open:
        raise Conflict(f"{row} is still open: its postmortem is drafted when it is resolved.")
    finished = Postmortem.objects.filter(incident=row, status__in=FINISHED).first()
    if finished is not None:
        raise Conflict(
            f"This postmortem is {finished.get_status_display().lower()}: new facts no longer change it. "
            "Edit its sections."
        )
    postmortem = draft(row)
    Incident.objects.filter(pk=row.pk).update(draft_due_at=None)
    record(actor, "postmortem.generated", _object(postmortem), project_id=row.project_id)
    return postmortem


@transaction.atomic
def edit_section(
    section: PostmortemSection, text: str, actor: Actor, *, expected_revision: int
) -> PostmortemSection:
    """Replace a section's text (Markdown, at most 50,000 characters) by a person's.

    ``expected_revision`` is the one that the person saw. Raises Conflict when the section has changed since: its
    details hold ``theirs`` (the text now), ``yours`` and the ``revision`` to edit next, so that nothing is lost.
    """
    row = _locked(section, actor)
    written = text.replace("\r\n", "\n").replace("\0", "\N{REPLACEMENT CHARACTER}").strip()
    if not written:
        raise Invalid("The section would be empty: write something, or take your edit back.")
    if len(written) > MAX_TEXT:
        raise Invalid(f"The section has {len(written):,} characters: keep it below {MAX_TEXT:,}.")
    _check_revision(row, expected_revision, written)
    if has_newer_facts(row):
        _keep_generated(row)
    row.edited = written
    row.edited_over_digest = row.lines_digest
    _save_revision(row, actor)
    _amend(row.postmortem)
    record(
        actor,
        "postmortem.edited",
        _object(row.postmortem),
        project_id=row.postmortem.incident.project_id,
        data={"section": row.key, "revision": row.revision},
        after=written,
    )
    return row


@transaction.atomic
def discard_edit(section: PostmortemSection, actor: Actor, *, expected_revision: int) -> PostmortemSection:
    """Go back to the generated text, with the newest facts. The edit stays among the revisions."""
    row = _locked(section, actor)
    _check_revision(row, expected_revision, "")
    if row.edited is None:
        raise Conflict(f"“{row.title}” was not edited: there is nothing to take back.")
    row.edited, row.edited_over_digest = None, ""
    _save_revision(row, actor)
    _amend(row.postmortem)
    record(
        actor,
        "postmortem.edit_discarded",
        _object(row.postmortem),
        project_id=row.postmortem.incident.project_id,
        data={"section": row.key, "revision": row.revision},
    )
    return row


@transaction.atomic
def set_status(postmortem: Postmortem, status: str, *, actor: Actor) -> Postmortem:
    """Send a draft to review, back, or publish it; later edits make a published one ``amended``."""
    authorize(actor, Permission.RESPOND, postmortem.incident)
    # Whoever drafts has this lock: nothing that the publisher has not seen comes in behind their back.
    timeline.lock(postmortem.incident_id)
    row = Postmortem.objects.select_for_update(no_key=True).select_related("incident").get(pk=postmortem.pk)
    if status not in _STEPS[_Status(row.status)]:
        raise Conflict(
            f"This postmortem is {row.get_status_display().lower()}: it cannot become {status[:20]} now."
        )
    before, row.status = row.status, status
    row.save(update_fields=["status"])
    record(
        actor,
        f"postmortem.{status}",
        _object(row),
        project_id=row.incident.project_id,
        data={"from": before, "to": status},
    )
    return row


def has_newer_facts(section: PostmortemSection) -> bool:
    """Whether the generated text has changed since a person edited the section."""
    return section.edited is not None and section.edited_over_digest != section.lines_digest


def newer_facts(section: PostmortemSection) -> str:
    """A unified diff of the generated text, from what the person edited to what it would be now; ""."""
    if not has_newer_facts(section):
        return ""
    base = section.revisions.filter(edited=False).order_by("-n").first()
    before = base.text.splitlines() if base else []
    after = generated_text(section).splitlines()
    return "\n".join(difflib.unified_diff(before, after, "when it was edited", "now", lineterm="", n=1))


def starting_text(section: PostmortemSection) -> str:
    """What an editor's form starts from: the person's text, else the generated one."""
    return section.edited if section.edited is not None else generated_text(section)


def _locked(section: PostmortemSection, actor: Actor) -> PostmortemSection:
    authorize(actor, Permission.RESPOND, section.postmortem.incident)
    return (
        PostmortemSection.objects.select_for_update(no_key=True, of=("self",))
        .select_related("postmortem__incident")
        .get(pk=section.pk)
    )


def _check_revision(row: PostmortemSection, expected: int, yours: str) -> None:
    if row.revision == expected:
        return
    last = row.revisions.order_by("-n").first()
    who = f" by {last.actor_name} at {last.at:%H:%M:%S} UTC" if last else ""
    raise Conflict(
        f"“{row.title}” was changed{who} while you wrote: compare both texts, then save again.",
        theirs=section_markdown(row),
        yours=yours,
        revision=row.revision,
    )


def _save_revision(row: PostmortemSection, actor: Actor) -> None:
    moment = now()
    person = User.objects.filter(pk=actor.user_id).first() if actor.user_id else None
    row.edited_by, row.edited_at = (person, moment) if row.edited is not None else (None, None)
    row.revision += 1
    row.save()
    PostmortemRevision.objects.create(
        section=row,
        n=row.revision,
        text=starting_text(row),
        edited=row.edited is not None,
        actor_name=actor.name,
        at=moment,
    )


def _keep_generated(row: PostmortemSection) -> None:
    """What the next edit starts from: the next newer facts are told against it, not against what was before."""
    row.revision += 1
    PostmortemRevision.objects.create(
        section=row, n=row.revision, text=generated_text(row), edited=False, actor_name=DRAFTER.name, at=now()
    )


def _amend(postmortem: Postmortem) -> None:
    """An edit after the publication is visible as such."""
    Postmortem.objects.filter(pk=postmortem.pk, status=_Status.PUBLISHED).update(status=_Status.AMENDED)


def _object(postmortem: Postmortem) -> AuditObject:
    return AuditObject("postmortem", str(postmortem.pk), f"Postmortem of {postmortem.incident}")
