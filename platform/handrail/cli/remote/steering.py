"""`handrail pause`, `resume`, `restart`, `skip`: a run in the hands of people."""

from __future__ import annotations

from urllib.parse import quote

import click

from handrail.cli.remote.client import Client, Object
from handrail.cli.remote.errors import RemoteError
from handrail.cli.remote.output import as_json, coloured, print_json, safe, short_id, sure
from handrail.cli.remote.runbooks import read_inputs
from handrail.cli.remote.runs import run_of
from handrail.shared.ids import short


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option("--reason", required=True, help="Why, for whoever finds it paused.")
@as_json
def pause(run_id: str, reason: str, as_json: bool) -> None:
    """Pause RUN: nothing new starts, what executes ends in its real outcome. `handrail resume` lets it go on."""
    client = Client()
    _told(client.post(f"runs/{run_of(client, run_id)}/pause/", {"reason": reason}), as_json=as_json)


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option("--reason", default="", help="Why; needed for a run that is over.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@as_json
def resume(run_id: str, reason: str, yes: bool, as_json: bool) -> None:
    """Let a paused RUN go on; or one that failed or was stopped, from where it ended, with the results that it has."""
    client = Client()
    found = run_of(client, run_id)
    if not yes:
        preview = client.get(f"runs/{found}/resume/")
        if preview["refusal"]:
            raise RemoteError(str(preview["refusal"]))
        if preview["how"] == "reopen":
            click.echo(f"Kept: {safe(', '.join(preview['kept'])) or 'nothing'}", err=True)
            click.echo(f"Done again: {safe(', '.join(preview['again'])) or 'nothing'}", err=True)
        else:
            click.echo("It goes on where it was paused.", err=True)
        sure(f"Resume run {short(found)}?", yes=yes)
    _told(client.post(f"runs/{found}/resume/", {"reason": reason}), as_json=as_json)


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option("--reason", required=True, help="Why.")
@click.option("--version", type=int, help="A published version instead of the live one.")
@click.option(
    "--input", "-i", "inputs", multiple=True, metavar="NAME=VALUE", help="An input, if other than before."
)
@as_json
def restart(run_id: str, reason: str, version: int | None, inputs: tuple[str, ...], as_json: bool) -> None:
    """Start RUN anew on the live version, as a new run that is linked to it."""
    client = Client()
    body: dict[str, object] = {"reason": reason, "inputs": read_inputs(inputs)}
    if version is not None:
        body["version"] = version
    started = client.post(f"runs/{run_of(client, run_id)}/restart/", body, once=True)
    if as_json:
        print_json(started)
    else:
        click.echo(f"Run {short_id(started)} has started: {started['url']}")


@click.command()
@click.argument("run_id", metavar="RUN")
@click.argument("step")
@click.option("--reason", required=True, help="Why: it stands in the run's history.")
@as_json
def skip(run_id: str, step: str, reason: str, as_json: bool) -> None:
    """Leave out a STEP of RUN that does not execute, such as drain or check[3]."""
    client = Client()
    _told(
        client.post(f"runs/{run_of(client, run_id)}/steps/{quote(step, safe='')}/skip/", {"reason": reason}),
        as_json=as_json,
    )


def _told(run: Object, *, as_json: bool) -> None:
    if as_json:
        print_json(run)
    else:
        click.echo(f"Run {short_id(run)} is {coloured(str(run['state']))}.")
