"""`handrail incidents`, `ack`, `resolve`: what is wrong, that somebody looks at it, that it is over."""

from __future__ import annotations

import re

import click

from handrail.cli.remote.client import Client, Object, one
from handrail.cli.remote.output import as_json, clock, coloured, print_json, print_table, safe, text

_NAME = re.compile(r"(?:INC-)?(\d{1,7})", re.IGNORECASE)


@click.command()
@click.argument("incident", required=False)
@click.option("--all", "every", is_flag=True, help="Those that are over, too.")
@click.option("--project", help="Only those of this project.")
@click.option("--severity", help="Only those of this severity, such as SEV1.")
@as_json
def incidents(
    incident: str | None, every: bool, project: str | None, severity: str | None, as_json: bool
) -> None:
    """List the open incidents, or show one (INC-42) with its timeline."""
    client = Client()
    if incident is not None:
        _one(client, incident_of(client, incident), as_json=as_json)
        return
    given = {"open": "" if every else "true", "project": project, "severity": severity}
    rows = list(client.rows("incidents/", {name: value for name, value in given.items() if value}))
    if as_json:
        print_json(rows)
        return
    print_table(
        ("INCIDENT", "SEVERITY", "STATUS", "SERVICE", "SINCE", "TITLE"),
        (
            (
                row["name"],
                row["severity"],
                row["status"],
                text(row["service"]),
                clock(row["created_at"]),
                row["title"],
            )
            for row in rows
        ),
        "There are no incidents." if every else "There are no open incidents.",
    )


def _one(client: Client, incident_id: str, *, as_json: bool) -> None:
    found = client.get(f"incidents/{incident_id}/")
    timeline = list(client.rows(f"incidents/{incident_id}/timeline/"))
    if as_json:
        print_json({**found, "timeline": timeline})
        return
    click.echo(click.style(f"{found['name']}: {safe(str(found['title']))}", bold=True))
    click.echo(
        f"{found['severity']}, {coloured(str(found['status']))}; {found['alerts_open']} of {found['alerts_total']} "
        f"alerts fire; commander {text(found['commander']) or 'nobody'}; {found['url']}"
    )
    for event in timeline:
        click.echo(f"  {clock(event['at'])}  {safe(' '.join(str(event['text']).split()))}")


def incident_of(client: Client, said: str) -> str:
    """The id of an incident by its name (``INC-42``, ``42``), or by its id."""
    named = _NAME.fullmatch(said.strip())
    if named is None:
        return client.find("incidents/", said, "incident")
    number = int(named[1])
    found = [str(row["id"]) for row in client.rows("incidents/") if row["number"] == number]
    return one(found, said, "incident")


@click.command()
@click.argument("incident")
@as_json
def ack(incident: str, as_json: bool) -> None:
    """Say that you look at INCIDENT (INC-42)."""
    client = Client()
    _told(client.post(f"incidents/{incident_of(client, incident)}/acknowledge/"), as_json=as_json)


@click.command()
@click.argument("incident")
@click.option("--reason", default="", help="How it ended.")
@as_json
def resolve(incident: str, reason: str, as_json: bool) -> None:
    """Say that INCIDENT (INC-42) is over; a postmortem's draft follows."""
    client = Client()
    _told(
        client.post(f"incidents/{incident_of(client, incident)}/resolve/", {"reason": reason}),
        as_json=as_json,
    )


def _told(found: Object, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        click.echo(f"{found['name']} is {coloured(str(found['status']))}.")
