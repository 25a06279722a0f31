"""The sample project: a team, a service, a source, connections and the containment runbook, ready to be driven."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction

from handrail.accounts.actions import (
    add_member,
    assign_role,
    create_project,
    create_service_account,
    create_team,
    create_token,
    create_user,
    make_owner_link,
)
from handrail.accounts.models import LinkedIdentity, Project, Team, User
from handrail.alerts.actions import create_source
from handrail.catalog.actions import create_connection, create_environment, create_service, update_connection
from handrail.catalog.models import Connection
from handrail.demo.slack.workspace import PEOPLE, TEAM_ID
from handrail.shared.actors import Actor, ActorKind, Channel
from runbooks import versions

PROJECT = "sample"
RUNBOOK = Path(__file__).parent / "runbooks" / "high-error-rate.yaml"
SOURCE_NAME = "sample-alertmanager"
CONNECTIONS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("prometheus", "/prometheus", ("GET",)),
    ("deploys", "/deploys", ("GET",)),
    ("traffic", "/traffic", ("GET", "PUT")),
    ("database", "/database", ("POST",)),
)
"""Name, path below the sample production's address, allowed methods."""
_SYSTEM = Actor(kind=ActorKind.SYSTEM, name="handrail up", channel=Channel.CLI)


@dataclass(frozen=True, slots=True)
class Cast:
    """The people and accounts of the sample project."""

    owner: User
    ada: User
    lin: User
    service: User


def keep(name: str, text: str) -> None:
    """Keep something for `handrail demo` in HANDRAIL_HOME, for its owner alone; the database has only digests."""
    path = Path(settings.HOME) / name
    path.touch(mode=0o600)
    path.write_text(text)


def seed(production_url: str) -> Iterator[str]:
    """Create the sample project in an empty installation; yields sentences for the person who started it.

    ``production_url`` is where the sample production answers. An installation with any project is left alone.
    """
    if Project.objects.exists():
        return
    with transaction.atomic():
        project = create_project(PROJECT, "Sample project", actor=_SYSTEM)
        cast = _people(project)
        _catalog(project, production_url)
        url = _source(project, cast.service)
        _runbook(project, cast)
        token = create_token(cast.service, "demo", scopes=["view"], actor=_SYSTEM)
    keep("sample-source-url", url)
    keep("sample-token", token.plain)
    yield "Created the sample project with the containment runbook high-error-rate."


def follow(production_url: str) -> None:
    """Point the sample project's connections at the sample production where it answers since this start."""
    names = [name for name, _, _ in CONNECTIONS]
    for connection in Connection.objects.filter(project__slug=PROJECT, name__in=names):
        path = next(path for name, path, _ in CONNECTIONS if name == connection.name)
        url = f"{production_url}{path}"
        if connection.base_url != url and _is_still_the_sample(connection, path):
            update_connection(
                connection, base_url=url, allowed_networks=[_network(production_url)], actor=_SYSTEM
            )


def _is_still_the_sample(connection: Connection, path: str) -> bool:
    """Whether nobody made it their own: it leads to this path on this machine and carries no secret."""
    parts = urlsplit(connection.base_url)
    return parts.scheme == "http" and parts.path == path and not connection.secret_reference


def owner_link() -> str:
    """A fresh one-time link for the owner, or nothing once an owner can sign in."""
    for owner in User.objects.filter(is_owner=True, is_active=True):
        if owner.has_usable_password():
            return ""
    return make_owner_link(actor=_SYSTEM).url


def _people(project: Project) -> Cast:
    link = make_owner_link(actor=_SYSTEM)
    if link.user is None:
        raise LookupError("the owner's link has no account")
    ada = create_user("ada", name="Ada Okafor", actor=_SYSTEM)
    lin = create_user("lin", name="Lin Schneider", actor=_SYSTEM)
    max_ = create_user("max", name="Max Ferreira", actor=_SYSTEM)
    service = create_service_account(project, "alert-intake", name="Alert intake", actor=_SYSTEM)
    sre = create_team(project, "payments-sre", "Payments SRE", actor=_SYSTEM)
    dba = create_team(project, "dba-oncall", "Database on call", actor=_SYSTEM)
    _join(project, sre, [ada, max_, link.user], ["responder", "author", "operator"])
    # The owner is on call for databases too, so that a newcomer can approve on the web as well as in the fake Slack.
    _join(project, dba, [lin, link.user], ["responder", "approver"])
    assign_role(project, service, "responder", actor=_SYSTEM)
    known = {"ada": ada, "lin": lin, "max": max_}
    for person in PEOPLE:
        if person.name in known:
            LinkedIdentity.objects.create(
                user=known[person.name], provider="slack", workspace=TEAM_ID, external_id=person.id
            )
    return Cast(owner=link.user, ada=ada, lin=lin, service=service)


def _join(project: Project, team: Team, members: list[User], roles: list[str]) -> None:
    for member in members:
        add_member(team, member, actor=_SYSTEM)
    for role in roles:
        assign_role(project, team, role, actor=_SYSTEM)


def _catalog(project: Project, production_url: str) -> None:
    create_service(project, "checkout", name="Checkout", tier=1, actor=_SYSTEM)
    create_environment(project, "eu-1", name="Europe 1", actor=_SYSTEM)
    for name, path, methods in CONNECTIONS:
        create_connection(
            project,
            name,
            base_url=f"{production_url}{path}",
            allowed_methods=list(methods),
            allowed_networks=[_network(production_url)],
            actor=_SYSTEM,
        )


def _network(production_url: str) -> str:
    """The network that holds the sample production alone."""
    host = urlsplit(production_url).hostname or "127.0.0.1"
    return f"{host}/128" if ":" in host else f"{host}/32"


def _source(project: Project, service: User) -> str:
    created = create_source(project, "alertmanager", SOURCE_NAME, run_as=service, actor=_SYSTEM)
    return created.url


def _runbook(project: Project, cast: Cast) -> None:
    """Written by ada, published by the machine's owner: a sample of the two pairs of eyes."""
    ada = Actor(kind=ActorKind.USER, name=cast.ada.username, channel=Channel.CLI, user_id=cast.ada.pk)
    runbook = versions.create(project, RUNBOOK.read_text(), actor=ada)
    versions.publish(runbook, actor=_SYSTEM, message="The sample containment runbook")
