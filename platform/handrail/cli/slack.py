"""`handrail slack`: does the Slack app work, and the manifest that creates it."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click

from handrail.cli import set_up_django
from handrail.config import environment

_COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


@click.group()
def slack() -> None:
    """The Slack app: check it, print its manifest."""


@slack.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a finding.")
def check(as_json: bool) -> None:
    """Ask Slack whether token, scopes and channel are right. Exit status 1 when something is wrong."""
    set_up_django()
    from integrations.slack.checking import look

    worst = "ok"
    for finding in look():
        worst = "error" if "error" in (worst, finding.level) else finding.level
        if as_json:
            click.echo(json.dumps(asdict(finding)))
            continue
        sign = click.style(finding.level.ljust(7), fg=_COLOURS[finding.level])
        click.echo(f"{sign}  {finding.about}: {finding.found}")
        if finding.mend:
            click.echo(f"         -> {finding.mend}")
    sys.exit(1 if worst == "error" else 0)


@slack.command()
@click.option(
    "--base-url", help="The address under which Slack reaches Handrail; HANDRAIL_BASE_URL without it."
)
def manifest(base_url: str | None) -> None:
    """Print the app's manifest: paste it at https://api.slack.com/apps, "Create New App", "From a manifest"."""
    from integrations.slack import manifest as app

    address = (base_url or environment.base_url()).rstrip("/")
    click.echo(json.dumps(app.manifest(address), indent=2))
    if not address.startswith("https://"):
        click.echo(f"Slack calls only https addresses, and {address} is none: give --base-url.", err=True)
