"""`handrail login` and `handrail logout`: which Handrail, and as whom."""

from __future__ import annotations

import sys

import click

from handrail.cli.remote.client import Client
from handrail.cli.remote.credentials import Credentials, checked_url, forget, keep
from handrail.cli.remote.errors import RemoteError


@click.command()
@click.argument("url")
def login(url: str) -> None:
    """Keep the address URL and an API token in your configuration folder, readable by you alone.

    The token is asked for, or read from standard input; make one on the web under Account, Tokens. For a script set
    HANDRAIL_URL and HANDRAIL_TOKEN instead.
    """
    address = checked_url(url)
    token = click.prompt("Token", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline()
    token = str(token).strip()
    if not token.isascii() or not token or any(char.isspace() for char in token):
        raise RemoteError("That is no token: it is one word that begins with hr_.")
    found = Credentials(address, token)
    projects = [str(row["slug"]) for row in Client(found).rows("projects/")]
    place = keep(found)
    click.echo(f"The token is valid, and kept in {place}.")
    click.echo(
        f"It sees: {', '.join(projects)}." if projects else "It sees no project: ask an admin for a role."
    )


@click.command()
def logout() -> None:
    """Delete the token that `handrail login` has kept. It stays valid: revoke it on the web under Account, Tokens."""
    click.echo("The token is deleted here." if forget() else "There was none.")
