"""`handrail switch`: kill switches, which hold back starts and steps until they are turned off."""

from __future__ import annotations

from typing import TypedDict, Unpack

import click

from handrail.cli.remote.client import Client, Object
from handrail.cli.remote.output import as_json, clock, print_json, print_table, safe, short_id, sure
from handrail.cli.remote.runbooks import runbook_of

LEVELS = ("installation", "project", "runbook", "action", "target")


@click.group()
def switch() -> None:
    """Kill switches: hold back starts and steps, of everything or of one project, runbook, action type or target."""


@switch.command(name="list")
@click.option("--all", "every", is_flag=True, help="Those that are off, too.")
@click.option("--project", help="Only those of this project.")
@as_json
def listed(every: bool, project: str | None, as_json: bool) -> None:
    """List the switches that hold something back now."""
    params: dict[str, str | int] = {} if every else {"on": "true"}
    if project:
        params["project"] = project
    rows = list(Client().rows("switches/", params))
    if as_json:
        print_json(rows)
        return
    print_table(
        ("SWITCH", "HOLDS BACK", "SINCE", "BY", "UNTIL", "REASON"),
        (
            (
                short_id(row),
                row["place"],
                clock(row["on_at"]),
                row["on_by"],
                clock(row["off_at"]),
                row["reason"],
            )
            for row in rows
        ),
        "No switch is on." if not every else "There are no switches.",
    )


class Place(TypedDict):
    """The options of `handrail switch on`."""

    project: str | None
    runbook: str | None
    subject: str
    reason: str
    yes: bool
    as_json: bool


@switch.command()
@click.argument("level", type=click.Choice(LEVELS))
@click.option(
    "--project", help="Its project; without it an action type or a target is held back in all of them."
)
@click.option("--runbook", help="The runbook, for the level runbook.")
@click.option("--subject", default="", help="The action type or the target, for those levels.")
@click.option("--reason", required=True, help="Why: everybody who is held back reads it.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@as_json
def on(level: str, **place: Unpack[Place]) -> None:
    """Hold back starts and steps of a LEVEL until the switch is turned off. What executes goes on."""
    client = Client()
    body: dict[str, object] = {"level": level, "subject": place["subject"], "reason": place["reason"]}
    if place["project"]:
        body["project"] = place["project"]
    if place["runbook"]:
        body["runbook"] = runbook_of(client, place["runbook"], place["project"])
    names = [place["project"], place["runbook"], place["subject"]]
    sure(f"Hold back {' '.join([level, *(name for name in names if name)])}?", yes=place["yes"])
    _told(client.post("switches/", body), "is held back", as_json=place["as_json"])


@switch.command()
@click.argument("switch_id", metavar="SWITCH")
@click.option("--reason", default="", help="Why everything may go on.")
@as_json
def off(switch_id: str, reason: str, as_json: bool) -> None:
    """Turn SWITCH off: everything that it holds goes on."""
    client = Client()
    found = client.find("switches/", switch_id, "switch")
    _told(client.post(f"switches/{found}/off/", {"reason": reason}), "goes on", as_json=as_json)


def _told(found: Object, words: str, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        click.echo(f"{safe(str(found['place']))} {words} (switch {short_id(found)}).")
