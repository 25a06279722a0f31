"""`handrail secret`: set, delete and re-encrypt local secrets; a value is read from standard input or asked for."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from handrail.cli import set_up_django
from handrail.shared.errors import NotFound

if TYPE_CHECKING:
    from handrail.accounts.models import Project
    from handrail.shared.actors import Actor

acting = click.option("--as", "username", required=True, metavar="USER", help="The operator who does this.")


@click.group()
def secret() -> None:
    """Local secrets, which runbooks and connections name as local:NAME."""
    set_up_django()


@secret.command(name="set", short_help="Create or replace a secret.")
@click.argument("project")
@click.argument("name")
@acting
def set_(project: str, name: str, username: str) -> None:
    """Create or replace local:NAME of PROJECT; the value comes from standard input, or is asked for."""
    from handrail.vault.actions import set_secret

    where, actor = _project_and_actor(project, username)
    if sys.stdin.isatty():
        value = click.prompt("Value", hide_input=True, confirmation_prompt=True)
    else:
        value = sys.stdin.read().removesuffix("\n")
    set_secret(where, name, value, actor=actor)
    click.echo(f"local:{name} of {where.slug} is set.")


@secret.command(short_help="Delete a secret.")
@click.argument("project")
@click.argument("name")
@acting
def delete(project: str, name: str, username: str) -> None:
    """Delete local:NAME of PROJECT; what names it fails from now on."""
    from handrail.vault.actions import delete_secret

    where, actor = _project_and_actor(project, username)
    delete_secret(where, name, actor=actor)
    click.echo(f"local:{name} of {where.slug} is deleted.")


@secret.command(short_help="Encrypt all secrets again with the newest key.")
def rotate() -> None:
    """Encrypt all secrets again with the newest key, so that older keys can be taken away."""
    from handrail.accounts.actors import CONSOLE
    from handrail.vault.actions import rotate_keys

    click.echo(f"{rotate_keys(actor=CONSOLE)} secrets are encrypted with the newest key.")


def _project_and_actor(slug: str, username: str) -> tuple[Project, Actor]:
    """Who may do it is asked of that user's roles, as on the web."""
    from handrail.accounts.actors import actor_of_user
    from handrail.accounts.models import Project, User
    from handrail.shared.actors import Channel

    project = Project.objects.filter(slug=slug).first()
    if project is None:
        raise NotFound(f"There is no project {slug!r}.")
    user = User.objects.filter(username=username, is_active=True).first()
    if user is None:
        raise NotFound(f"There is no active user {username!r}.")
    return project, actor_of_user(user, Channel.CLI)
