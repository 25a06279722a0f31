"""`handrail checklist`, `tick`: what is left of a run that was handed over, and what people did about it."""

from __future__ import annotations

import click

from handrail.cli.remote.client import Client, Object
from handrail.cli.remote.errors import RemoteError
from handrail.cli.remote.output import as_json, clock, print_json, print_table, safe, short_id, text
from handrail.cli.remote.runs import run_of

LEFT = ("open", "busy", "unknown")
"""The states of items that keep the run from ending."""

_WORDS = {
    "busy": "still executes: wait for its outcome",
    "unknown": "in doubt: decide that first",
    "succeeded": "ended well by itself",
}


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option("--left", is_flag=True, help="Only what is left.")
@as_json
def checklist(run_id: str, left: bool, as_json: bool) -> None:
    """Show the checklist of a RUN that was handed over: what is left for people, and what they did."""
    client = Client()
    run = run_of(client, run_id)
    items = _items(client, run)
    shown = [item for item in items if item["state"] in LEFT] if left else items
    if as_json:
        print_json(shown)
        return
    if not items:
        raise RemoteError(
            "This run has no checklist: it was not handed over. That is done with `handrail stop RUN --how hand_over`."
        )
    print_table(
        ("ITEM", "STATE", "WHAT", "BY", "AT", "NOTE"), (_line(item) for item in shown), "Nothing is left."
    )
    count = sum(item["state"] in LEFT for item in items)
    if count:
        click.echo(
            f"{count} of {len(items)} left. Tick them: handrail tick {run_id} ITEM... done|skip", err=True
        )


def _line(item: Object) -> tuple[str, ...]:
    what = " ".join(part for part in (item["title"], item["uses"], item["asks"]) if part)
    note = text(item["note"]) or _WORDS.get(str(item["state"]), "")
    return (item["key"], item["state"], what, text(item["by"]), clock(item["at"]), note)


def _items(client: Client, run: str) -> list[Object]:
    return list(client.rows(f"runs/{run}/checklist/"))


@click.command()
@click.argument("run_id", metavar="RUN")
@click.argument("items", metavar="ITEM...", nargs=-1, required=True)
@click.argument("choice", type=click.Choice(["done", "skip"]))
@click.option("--note", default="", help="What you did; needed for what is left out (skip).")
@as_json
def tick(run_id: str, items: tuple[str, ...], choice: str, note: str, as_json: bool) -> None:
    """Say that an ITEM of the checklist of RUN (or several) is done by hand, or is left out (skip): all or none.

    The items are named as `handrail checklist RUN` names them, such as drain or check[3].
    """
    if choice == "skip" and not note.strip():
        raise click.UsageError(
            "Say with --note why it is left out: whoever reads this later will want to know."
        )
    client = Client()
    run = run_of(client, run_id)
    before = {str(item["key"]): item for item in _items(client, run)}
    unknown = [item for item in items if item not in before]
    if unknown and before:
        left = [key for key, item in before.items() if item["state"] in LEFT]
        raise RemoteError(
            f"The checklist has no {', '.join(unknown)}. Left are: {', '.join(left) or 'none, all is dealt with'}."
        )
    ticked = client.post_for_list(
        f"runs/{run}/checklist/", {"items": list(items), "choice": choice, "note": note}
    )
    if as_json:
        print_json(ticked)
        return
    for item in ticked:
        click.echo(safe(f"{item['key']} is {item['state']}."))
    found = client.get(f"runs/{run}/")
    click.echo(safe(f"Run {short_id(found)}: {found['summary']}"), err=True)
