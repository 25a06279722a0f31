"""`handrail decide`: what became of steps that nobody knows the fate of."""

from __future__ import annotations

import click

from handrail.cli.remote.client import Client, Object
from handrail.cli.remote.errors import RemoteError
from handrail.cli.remote.following import name_of
from handrail.cli.remote.output import as_json, coloured, print_json
from handrail.cli.remote.runs import doubtful, run_of, step_of


@click.command()
@click.argument("run_id", metavar="RUN")
@click.argument("steps", metavar="STEP...", nargs=-1)
@click.argument("choice", type=click.Choice(["done", "retry", "fail"]))
@click.option("--reason", required=True, help="How you know: it stands in the run's history.")
@click.option(
    "--i-made-sure",
    is_flag=True,
    help="The workers that had the steps are dead: retry although they were heard of lately.",
)
@as_json
def decide(
    run_id: str, steps: tuple[str, ...], choice: str, reason: str, i_made_sure: bool, as_json: bool
) -> None:
    """Say what became of an uncertain STEP of RUN: it is done, shall be tried again (retry), or has failed (fail).

    Several steps are decided alike, all of them or none: handrail decide RUN check[0] check[3] done.
    `handrail runs RUN` names those in doubt.
    """
    client = Client()
    run = run_of(client, run_id)
    in_doubt = doubtful(client, run)
    if not steps:
        raise click.UsageError(_which(in_doubt))
    rows = [_chosen(client, run, in_doubt, step) for step in dict.fromkeys(steps)]
    body: dict[str, object] = {"choice": choice, "reason": reason, "override": i_made_sure}
    if len(rows) == 1:
        decided = client.post(f"runs/{run}/steps/{rows[0]['id']}/decide/", body)
        print_json(decided) if as_json else _told(decided)
        return
    several = client.post_for_list(f"runs/{run}/decisions/", {**body, "steps": [row["id"] for row in rows]})
    if as_json:
        print_json(several)
        return
    for row in several:
        _told(row)


def _told(row: Object) -> None:
    click.echo(f"{name_of(row)} is {coloured(str(row['state']))}.")


def _which(in_doubt: list[Object]) -> str:
    names = ", ".join(name_of(row) for row in in_doubt)
    return (
        f"Say which: in doubt are {names}."
        if names
        else "No step of this run is in doubt: there is nothing to decide."
    )


def _chosen(client: Client, run: str, in_doubt: list[Object], said: str) -> Object:
    """The step in doubt that somebody names. RemoteError that says which are, if this one is not."""
    found = [row for row in in_doubt if said in (name_of(row), str(row["id"]))]
    if found:
        return found[0]
    # Such as `check` for `check[0]` and `check[3]`, or `shift` for `shift/compensate`.
    near = [row for row in in_doubt if str(row["node"]) == said]
    if near:
        raise RemoteError(_which(near))
    row = step_of(client, run, said)
    raise RemoteError(f"{said} is {row['state']}: there is nothing to decide. {_which(in_doubt)}")
