"""`handrail runs`, `logs`, `stop`, `decide`: what goes on, and taking hold of it."""

from __future__ import annotations

import uuid

import click

from handrail.cli.remote.client import Client, Object
from handrail.cli.remote.errors import NotAllowed, RemoteError
from handrail.cli.remote.following import Reader, follow, name_of, show_line
from handrail.cli.remote.output import (
    as_json,
    clock,
    coloured,
    print_json,
    print_table,
    safe,
    short_id,
    sure,
    text,
)
from handrail.shared.ids import short

NEWEST = 30
HOW = ("freeze", "cancel", "undo", "hand_over")


@click.command()
@click.argument("run_id", metavar="[RUN]", required=False)
@click.option("--runbook", help="Only runs of this runbook.")
@click.option("--project", help="Only runs of this project.")
@click.option("--state", help="Only runs in this state, such as running or failed.")
@click.option("--limit", default=NEWEST, show_default=True, help="How many of the newest; 0 for all.")
@as_json
def runs(
    run_id: str | None, runbook: str | None, project: str | None, state: str | None, limit: int, as_json: bool
) -> None:
    """List the newest runs, or show one with its steps."""
    client = Client()
    if run_id is not None:
        found = client.get(f"runs/{run_of(client, run_id)}/")
        print_json(found) if as_json else _show(client, found)
        return
    given = {"runbook": runbook, "project": project, "state": state}
    params: dict[str, str | int] = {name: value for name, value in given.items() if value}
    rows = list(client.rows("runs/", params, most=limit))
    if as_json:
        print_json(rows)
        return
    print_table(
        ("RUN", "RUNBOOK", "STATE", "STARTED", "BY", "SUMMARY"),
        (
            (
                short_id(row),
                row["runbook"],
                row["state"],
                clock(row["started_at"]),
                row["starter"],
                row["summary"],
            )
            for row in rows
        ),
        "There are no such runs that you may see.",
    )


def run_of(client: Client, said: str) -> str:
    """The id of the run that somebody says, whole or short."""
    return client.find("runs/", said, "run")


def _show(client: Client, run: Object) -> None:
    click.echo(f"{run['runbook']} version {run['version']}: {coloured(str(run['state']))}")
    click.echo(safe(str(run["summary"])))
    click.echo(f"started {clock(run['started_at'])} by {safe(str(run['starter']))}; {run['url']}")
    if run["error"]:
        click.echo(click.style(f"error: {safe(str(run['error'].get('message', '')))}", fg="red"))
    print_table(
        ("STEP", "STATE", "ATTEMPT", "WHAT"),
        ((f"{step['node']}", step["state"], _attempt(step), _what(step)) for step in run["steps"]),
        "It has no steps.",
    )
    if not run["is_open"]:
        return
    for row in doubtful(client, str(run["id"])):
        name = name_of(row)
        click.echo(
            f"Nobody knows what became of {name}: handrail decide {short_id(run)} {name} done|retry|fail"
        )
    if run["stop_how"] == "hand_over":
        click.echo(f"It was handed over: handrail checklist {short_id(run)}")
    elif any(step["state"] == "awaiting_human" for step in run["steps"]):
        click.echo(f"It waits for somebody's hands: handrail manual {short_id(run)}")


def doubtful(client: Client, run_id: str) -> list[Object]:
    """The steps of a run that nobody knows the fate of, items of loops and undoing included; the oldest first."""
    return list(client.rows(f"runs/{run_id}/steps/", {"state": "uncertain"}))


def _attempt(step: Object) -> str:
    return text(step["run"]["attempt"]) if step["run"] else ""


def _what(step: Object) -> str:
    row = step["run"] or {}
    error = row.get("error") or {}
    return text(error.get("message") or row.get("reason") or step["title"])


@click.command()
@click.argument("run_id", metavar="RUN")
@click.argument("step", required=False, default="")
@click.option("--follow", "-f", "following", is_flag=True, help="Go on until the run is over.")
@as_json
def logs(run_id: str, step: str, following: bool, as_json: bool) -> None:
    """Show what the steps of RUN have said, or one STEP (such as shift, check[3], shift/compensate).

    With -f it goes on until the run is over, and exits with 1 when that failed. With --json: one object a line.
    """
    client = Client()
    found = run_of(client, run_id)
    if step:
        step_of(client, found, step, begun=not following)
    if following:
        follow(client, found, as_json=as_json, wanted=step)
        return
    for line in Reader(client, found, step).new_lines():
        show_line(line, as_json=as_json)


def step_of(client: Client, run_id: str, said: str, *, begun: bool = True) -> Object:
    """The step of a run by its name or id. RemoteError when there is none, or (``begun``) it has not begun."""
    node = said.partition("[")[0].partition("/")[0]
    if _is_id(said):
        found = [row for row in client.rows(f"runs/{run_id}/steps/") if row["id"] == said]
    else:
        found = [row for row in client.rows(f"runs/{run_id}/steps/", {"node": node}) if name_of(row) == said]
    if found:
        return found[0]
    others = sorted({name_of(row) for row in client.rows(f"runs/{run_id}/steps/", {"node": node})})
    if others:
        raise RemoteError(f"Say which: {', '.join(others)}.")
    known = [str(step["node"]) for step in client.get(f"runs/{run_id}/")["steps"]]
    if said not in known:
        raise NotAllowed(f"This run has no step {said}. It has {', '.join(known)}.")
    if begun:
        raise RemoteError(f"The step {said} has not begun.")
    return {}


def _is_id(said: str) -> bool:
    try:
        uuid.UUID(said)
    except ValueError:
        return False
    return True


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option("--reason", required=True, help="Why, for whoever finds it half done.")
@click.option("--how", type=click.Choice(HOW), default="cancel", show_default=True, help="See above.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@as_json
def stop(run_id: str, reason: str, how: str, yes: bool, as_json: bool) -> None:
    """Stop RUN, after showing what is done, in flight, and could be undone.

    Nothing new starts. freeze leaves it so until it is resumed; cancel tells what executes to stop, and runs
    `finally`; undo undoes what was done before that; hand_over makes a checklist of what is left.
    """
    client = Client()
    found = run_of(client, run_id)
    if not yes:
        _preview(client.get(f"runs/{found}/stop/"), how)
        sure(f"Stop run {short(found)}?", yes=yes)
    stopped = client.post(f"runs/{found}/stop/", {"reason": reason, "how": how})
    if as_json:
        print_json(stopped)
    else:
        click.echo(f"Run {short_id(stopped)} is {coloured(str(stopped['state']))}.")


def _preview(preview: Object, how: str) -> None:
    words = (
        ("done", "Done"), ("in_flight", "In flight"), ("reversible", "Could be undone"), ("not_started", "Not begun"),
    )  # fmt: skip
    for name, title in words:
        click.echo(f"{title}: {safe(', '.join(preview[name])) or 'nothing'}", err=True)
    chosen = next(choice for choice in preview["choices"] if choice["how"] == how)
    if chosen["refusal"]:
        raise RemoteError(str(chosen["refusal"]))
    click.echo(f"{chosen['title']}: {safe(str(chosen['words']))}", err=True)
