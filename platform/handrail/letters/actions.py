"""Open and end dead letters, in the transaction of whatever gives something up or takes it up again."""

from __future__ import annotations

import uuid
from typing import TypedDict, Unpack

from django.db import IntegrityError, transaction

from handrail.accounts.models import Project, User
from handrail.accounts.permissions import Permission, allows, authorize, holders
from handrail.audit.actions import record
from handrail.letters.models import DeadLetter
from handrail.shared.actors import Actor
from handrail.shared.clock import database_now
from handrail.shared.errors import Conflict, Invalid
from handrail.shared.jsonvalue import storable_text

Kind = DeadLetter.Kind
State = DeadLetter.State

LONGEST_WHY = 4_000

ACTING = {
    Kind.DELIVERY.value: Permission.OPERATE,
    Kind.MESSAGE.value: Permission.OPERATE,
    Kind.STEP.value: Permission.RESPOND,
}
"""What one needs on the project to look after a letter of each kind, to retry it and to discard it."""


class Told(TypedDict, total=False):
    """What people read. ``project`` None: of the installation, for its owners. ``run_id``: the run of a step."""

    project: Project | uuid.UUID | None
    what: str
    why: str
    run_id: uuid.UUID | None


def bury(kind: str, ref: uuid.UUID, **told: Unpack[Told]) -> None:
    """Put it on the list; whoever looked after the same thing before still does. Once, however often it is said."""
    if DeadLetter.objects.filter(kind=kind, ref=ref, state=State.OPEN).exists():
        return
    before = DeadLetter.objects.filter(kind=kind, ref=ref, owner__is_active=True).order_by("-id").first()
    project = told.get("project")
    letter = DeadLetter(
        kind=kind,
        ref=ref,
        project_id=project.pk if isinstance(project, Project) else project,
        run_id=told.get("run_id"),
        what=storable_text(" ".join(told.get("what", "").split()))[:300] or "Something without a name",
        why=storable_text(told.get("why", ""))[:LONGEST_WHY] or "No reason was kept.",
        owner_id=before.owner_id if before is not None else None,
        died_at=database_now(),
    )
    try:
        with transaction.atomic():
            letter.save(force_insert=True)
    except IntegrityError:
        # Another process has just said the same.
        if not DeadLetter.objects.filter(kind=kind, ref=ref, state=State.OPEN).exists():
            raise


def end(kind: str, ref: uuid.UUID, state: str, *, by: str, reason: str = "") -> bool:
    """The thing was taken up again, or decided: its letter ends, also one that was discarded. False: there is none."""
    changed = DeadLetter.objects.filter(kind=kind, ref=ref, state__in=[State.OPEN, State.DISCARDED]).update(
        state=state,
        ended_at=database_now(),
        ended_by=storable_text(by)[:200],
        reason=storable_text(reason)[:500],
    )
    return bool(changed)


def person_behind(actor: Actor) -> User | None:
    """The account that acts; None for Handrail itself."""
    return User.objects.filter(pk=actor.user_id).first() if actor.user_id is not None else None


def may_act(letter: DeadLetter, actor: Actor) -> bool:
    """Whether the actor may look after it, retry it and discard it."""
    if letter.project_id is None:
        return allows(actor, Permission.OWN, None)
    return allows(actor, ACTING[letter.kind], letter)


def authorize_acting(letter: DeadLetter, actor: Actor) -> None:
    """Let the act pass, or raise Forbidden or NotFound."""
    if letter.project_id is None:
        authorize(actor, Permission.OWN, None)
    else:
        authorize(actor, ACTING[letter.kind], letter)


@transaction.atomic
def assign(letter: DeadLetter, owner: User | None, *, actor: Actor) -> DeadLetter:
    """Say who looks after it; None: nobody any more. The same again changes nothing.

    Raises Conflict for one that has ended, Invalid for somebody who could do nothing about it.
    """
    authorize_acting(letter, actor)
    row = DeadLetter.objects.select_for_update(of=("self",)).get(pk=letter.pk)
    if not row.is_open:
        raise Conflict(f"It is {row.state} already, by {row.ended_by}: nobody needs to look after it.")
    if owner is not None:
        _check_owner(row, owner)
    if row.owner_id == (owner.pk if owner is not None else None):
        return row
    row.owner = owner
    row.save(update_fields=["owner"])
    record(
        actor,
        "dead_letter.assigned",
        row,
        data={"owner": owner.username if owner is not None else "", "kind": row.kind},
    )
    return row


def _check_owner(letter: DeadLetter, owner: User) -> None:
    if owner.kind != User.Kind.PERSON or not owner.is_active:
        raise Invalid("A dead letter is looked after by a person whose account is active.")
    if letter.project is None:
        able = owner.is_owner
    else:
        able = holders(letter.project, ACTING[letter.kind]).filter(pk=owner.pk).exists()
    if not able:
        raise Invalid(
            f"{owner.username} could neither retry nor discard it: choose somebody with the permission "
            f"“{ACTING[letter.kind] if letter.project_id is not None else Permission.OWN}”."
        )


@transaction.atomic
def discard(letter: DeadLetter, *, actor: Actor, reason: str) -> DeadLetter:
    """Say that nothing will be done about it, and why. It stays readable. Twice is once.

    Raises Invalid without a reason, Conflict for one that was taken up again meanwhile.
    """
    authorize_acting(letter, actor)
    words = check_reason(reason)
    changed = DeadLetter.objects.filter(pk=letter.pk, state=State.OPEN).update(
        state=State.DISCARDED, ended_at=database_now(), ended_by=actor.name[:200], reason=words
    )
    row = DeadLetter.objects.select_related("project", "owner").get(pk=letter.pk)
    if changed:
        record(actor, "dead_letter.discarded", row, data={"kind": row.kind, "reason": words})
    elif row.state != State.DISCARDED:
        raise Conflict(f"It is {row.state} already, by {row.ended_by}.")
    return row


def check_reason(reason: str) -> str:
    """The reason as it is kept. Raises Invalid when there is none."""
    words = storable_text(" ".join(reason.split()))
    if not words:
        raise Invalid("Say why it may be discarded: whoever misses it later will want to know.")
    return words[:400]
