"""What one may read of the dead letters, and the figures for the machine room."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Min, Q, QuerySet

from handrail.accounts.permissions import Permission, allows, visible_projects
from handrail.letters.models import DeadLetter
from handrail.shared.actors import Actor
from handrail.shared.clock import database_now
from handrail.shared.errors import NotFound


def letters_visible_to(actor: Actor) -> QuerySet[DeadLetter]:
    """Dead letters, newest first: steps of the projects that one sees; what was received or sent, for operators.

    Those of no project are for the installation's owners.
    """
    return _of(actor, Permission.VIEW)


def letters_for(actor: Actor) -> QuerySet[DeadLetter]:
    """The open ones about which the actor can do something."""
    return _of(actor, Permission.RESPOND).filter(state=DeadLetter.State.OPEN)


def letters_besides(actor: Actor, refs: Collection[uuid.UUID]) -> QuerySet[DeadLetter]:
    """The same without those about these steps, for a page that shows the steps themselves."""
    return letters_for(actor).exclude(kind=DeadLetter.Kind.STEP, ref__in=refs)


def _of(actor: Actor, of_steps: Permission) -> QuerySet[DeadLetter]:
    of_others = Q(kind__in=[DeadLetter.Kind.DELIVERY, DeadLetter.Kind.MESSAGE])
    seen = Q(kind=DeadLetter.Kind.STEP, project__in=visible_projects(actor, of_steps))
    seen |= of_others & Q(project__in=visible_projects(actor, Permission.OPERATE))
    if allows(actor, Permission.OWN, None):
        seen |= Q(project=None)
    return DeadLetter.objects.filter(seen).select_related("project", "owner").order_by("-id")


def letter_visible_to(actor: Actor, letter_id: uuid.UUID) -> DeadLetter:
    """One of them. Raises NotFound."""
    found = letters_visible_to(actor).filter(pk=letter_id).first()
    if found is None:
        raise NotFound("There is no such dead letter, or you may not see it.")
    return found


@dataclass(frozen=True, slots=True)
class Figures:
    """The open letters, all or those that somebody sees. ``oldest_at``: since when the oldest has waited."""

    open: int
    unowned: int
    deliveries: int
    messages: int
    steps: int
    oldest_at: datetime | None

    @property
    def oldest_seconds(self) -> float:
        """How long the oldest has waited; 0 without any."""
        if self.oldest_at is None:
            return 0.0
        return max(0.0, (database_now() - self.oldest_at).total_seconds())


def figures(letters: QuerySet[DeadLetter] | None = None) -> Figures:
    """The figures of the whole installation, or of these letters, in one query: counts alone, no content."""
    rows = DeadLetter.objects.all() if letters is None else letters.order_by()
    kinds = {
        name: Count("pk", filter=Q(kind=kind))
        for name, kind in (("deliveries", "delivery"), ("messages", "message"), ("steps", "step"))
    }
    found = rows.filter(state=DeadLetter.State.OPEN).aggregate(
        open=Count("pk"), unowned=Count("pk", filter=Q(owner=None)), oldest_at=Min("died_at"), **kinds
    )
    return Figures(**found)


@dataclass(frozen=True, slots=True)
class OfKind:
    """The open letters of one kind. ``oldest_seconds``: how long the oldest has waited; 0 without any."""

    open: int = 0
    unowned: int = 0
    oldest_seconds: float = 0.0


def figures_by_kind() -> Mapping[str, OfKind]:
    """The figures of the whole installation for each kind, also for those without letters, in two queries."""
    moment = database_now()
    rows = (
        DeadLetter.objects.filter(state=DeadLetter.State.OPEN)
        .order_by()
        .values_list("kind")
        .annotate(open=Count("pk"), unowned=Count("pk", filter=Q(owner=None)), oldest_at=Min("died_at"))
    )
    found = {
        kind: OfKind(count, unowned, max(0.0, (moment - oldest_at).total_seconds()))
        for kind, count, unowned, oldest_at in rows
    }
    return {kind: found.get(kind, OfKind()) for kind in DeadLetter.Kind.values}
