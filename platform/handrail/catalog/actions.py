"""Changing the catalog: services, environments, connections and pools, each change authorised and audited."""

from __future__ import annotations

import re
from typing import TypedDict, Unpack

from django.db import IntegrityError, transaction

from handrail.accounts.models import Project
from handrail.accounts.permissions import Permission, authorize
from handrail.audit.actions import record
from handrail.catalog.checks import connection_problems
from handrail.catalog.models import Connection, Environment, RunnerPool, Service
from handrail.shared.actors import Actor
from handrail.shared.errors import Conflict, Invalid, NotFound
from handrail.shared.jsonvalue import JsonValue

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")


class ConnectionFields(TypedDict, total=False):
    """What a connection says; see :class:`handrail.catalog.models.Connection`."""

    description: str
    kind: str
    base_url: str
    environment: Environment | None
    authentication: str
    header_name: str
    secret_reference: str
    allowed_methods: list[str]
    allowed_paths: list[str]
    allowed_networks: list[str]
    options: dict[str, JsonValue]
    timeout_seconds: float


@transaction.atomic
def create_connection(
    project: Project, name: str, *, actor: Actor, **fields: Unpack[ConnectionFields]
) -> Connection:
    """Name a place that actions may reach. Needs operate. Invalid lists every problem; Conflict: name taken."""
    authorize(actor, Permission.OPERATE, project)
    connection = Connection(project=project, name=_slug(name))
    _fill(connection, fields)
    _insert(connection, f"The project has a connection called {name} already.")
    record(actor, "connection.created", connection, data=_facts(connection), after=_facts(connection))
    return connection


@transaction.atomic
def update_connection(
    connection: Connection, *, actor: Actor, **fields: Unpack[ConnectionFields]
) -> Connection:
    """Change what is given, keep the rest. Needs operate."""
    authorize(actor, Permission.OPERATE, connection.project)
    current = _locked(connection)
    before = _facts(current)
    _fill(current, fields)
    current.save()
    record(
        actor,
        "connection.updated",
        current,
        data={"changed": sorted(fields), **_facts(current)},
        before=before,
        after=_facts(current),
    )
    return current


@transaction.atomic
def delete_connection(connection: Connection, *, actor: Actor) -> None:
    """Forget the place; runbooks that name it fail from now on. Needs operate. NotFound when it is gone already."""
    authorize(actor, Permission.OPERATE, connection.project)
    current = _locked(connection)
    record(actor, "connection.deleted", current, before=_facts(current))
    Connection.objects.filter(pk=current.pk).delete()


@transaction.atomic
def create_service(project: Project, slug: str, *, name: str, tier: int = 3, actor: Actor) -> Service:
    """Add a service; tier 1 is the most critical. Needs operate."""
    authorize(actor, Permission.OPERATE, project)
    if not 1 <= tier <= 5:
        raise Invalid("A tier is a whole number from 1 (most critical) to 5.")
    service = Service(project=project, slug=_slug(slug), name=_name(name), tier=tier)
    _insert(service, f"The project has a service {slug} already.")
    record(actor, "service.created", service, data={"slug": slug, "tier": tier})
    return service


@transaction.atomic
def create_environment(project: Project, slug: str, *, name: str, actor: Actor) -> Environment:
    """Add a place where services run. Needs operate."""
    authorize(actor, Permission.OPERATE, project)
    environment = Environment(project=project, slug=_slug(slug), name=_name(name))
    _insert(environment, f"The project has an environment {slug} already.")
    record(actor, "environment.created", environment, data={"slug": slug})
    return environment


@transaction.atomic
def create_pool(name: str, *, allow_shell: bool = False, actor: Actor) -> RunnerPool:
    """Add a runner pool of the installation. Needs own: a pool that allows shell runs programs for everybody."""
    authorize(actor, Permission.OWN, None)
    pool = RunnerPool(name=_slug(name), allow_shell=allow_shell)
    _insert(pool, f"There is a pool {name} already.")
    record(actor, "pool.created", pool, data={"allow_shell": allow_shell})
    return pool


@transaction.atomic
def allow_shell(pool: RunnerPool, *, allowed: bool, actor: Actor) -> RunnerPool:
    """Let the pool's workers run programs for shell steps, or stop letting them. Needs own."""
    authorize(actor, Permission.OWN, None)
    current = RunnerPool.objects.select_for_update().get(pk=pool.pk)
    before = current.allow_shell
    current.allow_shell = allowed
    current.save(update_fields=["allow_shell"])
    record(actor, "pool.updated", current, data={"allow_shell": allowed}, before=before, after=allowed)
    return current


def _locked(connection: Connection) -> Connection:
    """As it is now, for somebody who changes it."""
    current = Connection.objects.select_for_update().filter(pk=connection.pk).first()
    if current is None:
        raise NotFound("The connection has been deleted.")
    return current


def _fill(connection: Connection, fields: ConnectionFields) -> None:
    """Set the fields and refuse what does not hold together, all problems at once."""
    for name, value in fields.items():
        setattr(connection, name, value)
    connection.base_url = connection.base_url.rstrip("/")
    if isinstance(connection.allowed_methods, list):
        connection.allowed_methods = [str(method).upper() for method in connection.allowed_methods]
    problems = connection_problems(connection)
    if problems:
        raise Invalid(" ".join(problems.values()), problems=problems)


def _facts(connection: Connection) -> dict[str, JsonValue]:
    """What the audit trail keeps of a connection: the secret's reference is a name, its value is not here."""
    return {
        "kind": connection.kind,
        "base_url": connection.base_url,
        "authentication": str(connection.authentication),
        "header_name": connection.header_name,
        "secret_reference": connection.secret_reference,
        "allowed_methods": list(connection.allowed_methods),
        "allowed_paths": list(connection.allowed_paths),
        "allowed_networks": list(connection.allowed_networks),
        "options": dict(connection.options),
        "timeout_seconds": connection.timeout_seconds,
    }


def _insert(row: Connection | Service | Environment | RunnerPool, taken: str) -> None:
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError:
        raise Conflict(taken) from None


def _slug(text: str) -> str:
    if not _SLUG.match(text):
        raise Invalid(
            "A name is lower-case letters, digits and `-`, at most 63, and begins with a letter or digit."
        )
    return text


def _name(text: str) -> str:
    if not text.strip() or len(text) > 200:
        raise Invalid("A name has 1 to 200 characters.")
    return text.strip()
