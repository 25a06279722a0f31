"""`handrail pool`: add runner pools, and say which of them may run programs."""

from __future__ import annotations

import click

from handrail.cli import set_up_django
from handrail.shared.errors import NotFound


@click.group()
def pool() -> None:
    """Runner pools: the sets of workers that steps name."""
    set_up_django()


@pool.command(short_help="Add a pool.")
@click.argument("name")
@click.option("--allow-shell", is_flag=True, help="Its workers may run programs for shell.run.")
def add(name: str, allow_shell: bool) -> None:
    """Add the pool NAME."""
    from handrail.accounts.actors import CONSOLE
    from handrail.catalog.actions import create_pool

    create_pool(name, allow_shell=allow_shell, actor=CONSOLE)
    click.echo(f"The pool {name} is added. Its steps wait until a worker serves it.")


@pool.command(short_help="Say whether a pool may run programs.")
@click.argument("name")
@click.argument("allowed", type=click.Choice(["yes", "no"]))
def shell(name: str, allowed: str) -> None:
    """Let the workers of the pool NAME run programs for shell.run (yes), or stop letting them (no)."""
    from handrail.accounts.actors import CONSOLE
    from handrail.catalog.actions import allow_shell
    from handrail.catalog.models import RunnerPool

    found = RunnerPool.objects.filter(name=name).first()
    if found is None:
        raise NotFound(f"There is no pool {name!r}: add it with `handrail pool add {name}`.")
    allow_shell(found, allowed=allowed == "yes", actor=CONSOLE)
    click.echo(f"The pool {name} {'runs' if allowed == 'yes' else 'does not run'} programs.")
