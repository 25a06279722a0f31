"""`handrail approvals`, `approve`, `deny`: what waits for people, and their answers."""

from __future__ import annotations

import click

from handrail.cli.remote.client import Client, Object
from handrail.cli.remote.output import as_json, clock, coloured, print_json, print_table, safe, short_id, sure
from handrail.cli.remote.runbooks import read_inputs
from handrail.shared.printable import printable


@click.command()
@click.argument("approval", required=False)
@click.option("--all", "every", is_flag=True, help="Those that are decided, too.")
@click.option("--project", help="Only those of this project.")
@as_json
def approvals(approval: str | None, every: bool, project: str | None, as_json: bool) -> None:
    """List the approvals that wait, or show one with the plan that would run."""
    client = Client()
    if approval is not None:
        found = client.get(f"approvals/{approval_of(client, approval)}/")
        print_json(found) if as_json else show(found)
        return
    params: dict[str, str | int] = {} if every else {"state": "pending"}
    if project:
        params["project"] = project
    rows = list(client.rows("approvals/", params))
    if as_json:
        print_json(rows)
        return
    print_table(
        ("APPROVAL", "RUNBOOK", "STEP", "STATE", "UNTIL", "QUESTION"),
        (
            (
                short_id(row),
                row["runbook"],
                row["step"],
                row["state"],
                clock(row["expires_at"]),
                row["prompt"],
            )
            for row in rows
        ),
        "Nothing waits for anybody.",
    )


def approval_of(client: Client, said: str) -> str:
    """The id of the approval that somebody says, whole or short."""
    return client.find("approvals/", said, "approval")


def show(approval: Object) -> None:
    """The question, what would run, and what is missing."""
    # With every character visible, as on the web: a line break in a value must not look like one more step.
    click.echo(click.style(printable(str(approval["prompt"])), bold=True))
    click.echo(f"{approval['runbook']}, step {approval['step']}: {coloured(str(approval['state']))}")
    for call in approval["plan"]:
        click.echo(
            f"  {call.get('effect', '')}: {printable(str(call.get('preview') or call.get('title') or ''))}"
        )
    click.echo(
        f"digest {str(approval['digest'])[:16]}; until {clock(approval['expires_at']) or 'somebody answers'}"
    )
    for vote in approval["votes"]:
        click.echo(f"  {safe(str(vote['user']))}: {vote['decision']} {safe(str(vote['reason']))}".rstrip())
    if approval["needs"]:
        click.echo(safe(str(approval["needs"])))
    if not approval["may_decide"] and approval["why_not"]:
        click.echo(f"You cannot decide it: {safe(str(approval['why_not']))}")


@click.command()
@click.argument("approval")
@click.option("--reason", default="", help="Why.")
@click.option(
    "--input", "-i", "inputs", multiple=True, metavar="NAME=VALUE", help="What the approval asks for."
)
@click.option("--yes", "-y", is_flag=True, help="Do not show the plan, do not ask.")
@as_json
def approve(approval: str, reason: str, inputs: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Approve APPROVAL, after reading what will run."""
    client = Client()
    found = approval_of(client, approval)
    if not yes:
        show(client.get(f"approvals/{found}/"))
        sure("Approve exactly this?", yes=yes)
    _decide(
        client,
        found,
        {"decision": "approve", "reason": reason, "inputs": read_inputs(inputs)},
        as_json=as_json,
    )


@click.command()
@click.argument("approval")
@click.option("--reason", required=True, help="Why: those who asked will read it.")
@as_json
def deny(approval: str, reason: str, as_json: bool) -> None:
    """Deny APPROVAL, with a reason."""
    client = Client()
    found = approval_of(client, approval)
    _decide(client, found, {"decision": "deny", "reason": reason}, as_json=as_json)


def _decide(client: Client, approval_id: str, body: dict[str, object], *, as_json: bool) -> None:
    told = client.post(f"approvals/{approval_id}/decide/", body)
    print_json(told) if as_json else click.echo(safe(str(told["message"])))
