"""Which service and which environment of the catalogue an alert's labels speak of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TypeVar

from django.utils.text import slugify

from handrail.accounts.models import Project
from handrail.catalog.models import Environment, Service
from handrail.shared.statements.compiled import Compiled

S = TypeVar("S", Service, Environment)

SERVICE_LABELS = ("service", "service_name", "app", "application", "component", "job")
ENVIRONMENT_LABELS = ("environment", "env", "region", "stage", "cluster", "datacenter", "zone")


def service_of(project: Project, labels: Mapping[str, str]) -> Service | None:
    """The service named by the first label of ``SERVICE_LABELS`` that names one of the project's."""
    wanted = _slugs(labels, SERVICE_LABELS)
    if not wanted:
        return None
    known = {service.slug: service for service in _among(Service, len(wanted)).all(project.pk, *wanted)}
    return next((known[slug] for slug in wanted if slug in known), None)


def environment_of(project: Project, labels: Mapping[str, str]) -> Environment | None:
    """The environment named by the first label of ``ENVIRONMENT_LABELS`` that names one of the project's."""
    wanted = _slugs(labels, ENVIRONMENT_LABELS)
    if not wanted:
        return None
    known = {place.slug: place for place in _among(Environment, len(wanted)).all(project.pk, *wanted)}
    return next((known[slug] for slug in wanted if slug in known), None)


@cache
def _among(model: type[S], count: int) -> Compiled[S]:
    """A project's places whose slug is one of so many."""
    return Compiled(lambda project, *slugs: model.objects.filter(project=project, slug__in=slugs))


def first_label(labels: Mapping[str, str], names: Sequence[str]) -> str:
    """The value of the first of these labels that says something; ""."""
    return next((labels[name].strip() for name in names if labels.get(name, "").strip()), "")


def _slugs(labels: Mapping[str, str], names: Sequence[str]) -> list[str]:
    slugs = (slugify(labels.get(name, "")[:200])[:63] for name in names)
    return list(dict.fromkeys(slug for slug in slugs if slug))
