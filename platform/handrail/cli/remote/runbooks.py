"""`handrail runbooks` and `handrail run`: what could be started, and starting it."""

from __future__ import annotations

import json
from typing import TypedDict, Unpack

import click

from handrail.cli.remote.client import Client, Object, one
from handrail.cli.remote.following import follow
from handrail.cli.remote.incidents import incident_of
from handrail.cli.remote.output import as_json, print_json, print_table, safe, short_id, text


@click.command()
@click.option("--project", help="Only those of this project (its slug).")
@as_json
def runbooks(project: str | None, as_json: bool) -> None:
    """List the runbooks that you may see."""
    found = list(Client().rows("runbooks/", {"project": project} if project else None))
    if as_json:
        print_json(found)
        return
    print_table(
        ("RUNBOOK", "PROJECT", "LIVE", "TITLE"),
        ((row["slug"], row["project"], _live(row), text(row.get("title"))) for row in found),
        "There are no runbooks that you may see.",
    )


def _live(row: Object) -> str:
    live = row.get("live")
    number = live.get("number") if isinstance(live, dict) else live
    return f"version {number}" if number else "no version"


class Chosen(TypedDict):
    """The options of `handrail run`."""

    project: str | None
    incident: str | None
    version: int | None
    key: str
    wait: bool
    as_json: bool


@click.command()
@click.argument("runbook")
@click.option(
    "--input", "-i", "inputs", multiple=True, metavar="NAME=VALUE", help="An input; may be repeated."
)
@click.option("--project", help="Its project, where several have a runbook of this name.")
@click.option("--incident", help="The incident that it is for: its id, or INC-42.")
@click.option("--version", type=int, help="A published version instead of the live one.")
@click.option("--key", default="", help="No second run while one with this key is open.")
@click.option(
    "--wait", is_flag=True, help="Show its log, and wait until it is over: exit status 1 if it fails."
)
@as_json
def run(runbook: str, inputs: tuple[str, ...], **chosen: Unpack[Chosen]) -> None:
    """Start a run of RUNBOOK (its name, or its id).

    A VALUE is read as JSON where it is JSON (3, true, [1, 2]), else as text; text that looks like a number is put in
    quotes: --input 'build="0042"'.
    """
    client, as_json = Client(), chosen["as_json"]
    body: dict[str, object] = {"inputs": read_inputs(inputs), "dedupe_key": chosen["key"]}
    if chosen["incident"] is not None:
        body["incident"] = incident_of(client, chosen["incident"])
    if chosen["version"] is not None:
        body["version"] = chosen["version"]
    address = f"runbooks/{runbook_of(client, runbook, chosen['project'])}/runs/"
    started = client.post(address, body, once=True)
    if not as_json:
        new = started["run"]
        words = (
            "goes on already"
            if not started["created"]
            else "waits"
            if new["state"] == "pending"
            else "has started"
        )
        click.echo(f"Run {short_id(new)} {words}: {new['url']}")
        if new["state"] == "pending":
            click.echo(safe(str(new["summary"])))
    elif not chosen["wait"]:
        print_json(started)
    if chosen["wait"]:
        follow(client, str(started["run"]["id"]), as_json=as_json)


def runbook_of(client: Client, said: str, project: str | None) -> str:
    """The id of a runbook by its name, or by its id; UsageError where several projects have one of that name."""
    where: dict[str, str | int] = {"project": project} if project else {}
    found = [str(row["id"]) for row in client.rows("runbooks/", {"slug": said, **where})]
    if found:
        return one(found, said, "runbook") if len(found) == 1 else _several(said)
    return client.find("runbooks/", said, "runbook", where)


def _several(said: str) -> str:
    raise click.UsageError(f"Several projects have a runbook {said}: say which with --project.")


def read_inputs(given: tuple[str, ...]) -> dict[str, object]:
    """The inputs by name. UsageError for one that is no ``name=value``."""
    found: dict[str, object] = {}
    for each in given:
        name, sign, value = each.partition("=")
        if not sign or not name.strip():
            raise click.UsageError(f"--input {each!r} should be NAME=VALUE.")
        try:
            found[name.strip()] = json.loads(value, parse_constant=_no_constant)
        except ValueError:
            found[name.strip()] = value
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON.")
