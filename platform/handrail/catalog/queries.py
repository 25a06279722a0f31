"""What an actor may see of the catalog."""

from __future__ import annotations

from django.db.models import QuerySet

from handrail.accounts.permissions import visible_projects
from handrail.catalog.models import Connection, Environment, RunnerPool, Service
from handrail.shared.actors import Actor


def connections_visible_to(actor: Actor) -> QuerySet[Connection]:
    """Connections of the projects that the actor may see; a secret is only ever a reference here."""
    found = Connection.objects.filter(project__in=visible_projects(actor))
    return found.select_related("project", "environment").order_by("project__slug", "name")


def services_visible_to(actor: Actor) -> QuerySet[Service]:
    """Services of the projects that the actor may see."""
    found = Service.objects.filter(project__in=visible_projects(actor))
    return found.select_related("project").order_by("project__slug", "tier", "slug")


def environments_visible_to(actor: Actor) -> QuerySet[Environment]:
    """Environments of the projects that the actor may see."""
    found = Environment.objects.filter(project__in=visible_projects(actor))
    return found.select_related("project").order_by("project__slug", "slug")


def pools() -> QuerySet[RunnerPool]:
    """All pools: their names are in every runbook, and belong to no project."""
    return RunnerPool.objects.order_by("name")
