"""What one may read of alerts: episodes, sources, deliveries and dead letters, scoped by project."""

from __future__ import annotations

from django.db.models import Prefetch, QuerySet

from handrail.accounts.permissions import Permission, visible_projects
from handrail.alerts.models import Alert, Delivery, Source
from handrail.shared.actors import Actor


def alerts_visible_to(actor: Actor) -> QuerySet[Alert]:
    """Alert episodes, last seen first, with what a list shows of them in no further query."""
    return (
        Alert.objects.filter(project__in=visible_projects(actor))
        .select_related("project", "source", "service", "environment")
        .order_by("-last_seen_at")
    )


def sources_visible_to(actor: Actor) -> QuerySet[Source]:
    """The sources of the projects that the actor sees. Keys are never among what is stored."""
    return (
        Source.objects.filter(project__in=visible_projects(actor))
        .select_related("project", "run_as")
        .order_by("project__slug", "name")
    )


def deliveries_visible_to(actor: Actor) -> QuerySet[Delivery]:
    """Deliveries, newest first, without their bodies. They may hold what a viewer need not see: operators."""
    return (
        Delivery.objects.filter(source__project__in=visible_projects(actor, Permission.OPERATE))
        .select_related("source__project")
        .defer("body")
        .order_by("-received_at")
    )


def dead_letters_visible_to(actor: Actor) -> QuerySet[Delivery]:
    """The deliveries that nobody could make anything of."""
    return deliveries_visible_to(actor).filter(verdict=Delivery.Verdict.DEAD)


def deliveries_of(alert: Alert, actor: Actor) -> QuerySet[Delivery]:
    """The first and the last delivery of an episode, for those who may see them."""
    return deliveries_visible_to(actor).filter(pk__in=[alert.first_delivery_id, alert.last_delivery_id])


def sources_with_last_delivery(actor: Actor) -> QuerySet[Source]:
    """The sources, each with its newest delivery in ``newest_deliveries`` (a list of at most one)."""
    newest = Delivery.objects.defer("body").order_by("-received_at")[:1]
    return sources_visible_to(actor).prefetch_related(
        Prefetch("deliveries", queryset=newest, to_attr="newest_deliveries")
    )
