"""`handrail owner`: the link by which a person becomes the owner, or gets back in."""

from __future__ import annotations

import click

from handrail.cli import set_up_django
from handrail.config.environment import running_url


@click.command()
def owner() -> None:
    """Print a link that makes whoever opens it the owner; it works once, for a day.

    Also the way back in for an owner who forgot the password. Whoever may run this may do everything anyway.
    """
    set_up_django()
    from django.conf import settings

    from handrail.accounts.actions import make_owner_link
    from handrail.shared.actors import Actor, ActorKind, Channel

    # `handrail up` may have been told another address than this shell knows of.
    settings.BASE_URL = running_url()
    actor = Actor(kind=ActorKind.SYSTEM, name="handrail owner", channel=Channel.CLI)
    click.echo(make_owner_link(actor=actor).url)
