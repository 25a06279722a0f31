"""`handrail manage`: Django's own management commands, for installations without a checkout."""

from __future__ import annotations

import os

import click

from handrail.config.environment import make_home


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def manage(arguments: tuple[str, ...]) -> None:
    """Run one of Django's management commands, such as `migrate`."""
    execute("handrail manage", *arguments)


def execute(program: str, *arguments: str) -> None:
    """Run the command; ``program`` is what its help calls it. Migrating is what needs HANDRAIL_HOME first."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "handrail.config.settings")
    if arguments[:1] == ("migrate",):
        make_home()
    from django.core.management import execute_from_command_line

    execute_from_command_line([program, *arguments])
