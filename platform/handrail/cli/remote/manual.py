"""`handrail manual`, `answer`: steps that people do by hand, and what they say about them."""

from __future__ import annotations

import json

import click

from handrail.cli.remote.client import Client, Object
from handrail.cli.remote.errors import NotAllowed, RemoteError
from handrail.cli.remote.following import name_of
from handrail.cli.remote.output import as_json, clock, coloured, print_json, print_table, safe, text
from handrail.cli.remote.runbooks import read_inputs
from handrail.cli.remote.runs import run_of, step_of
from handrail.shared.ids import short

TEXTS = frozenset({"string", "enum", "duration"})
"""The types of inputs whose value is taken as it is typed, also where it looks like a number."""

LIMITS = {
    "values": "one of",
    "pattern": "like",
    "min": "at least",
    "max": "at most",
    "max_length": "no longer than",
}
"""What may limit an input, in words."""


@click.command()
@click.argument("run_id", metavar="[RUN]", required=False)
@click.argument("step", required=False)
@click.option("--project", help="Only those of this project.")
@as_json
def manual(run_id: str | None, step: str | None, project: str | None, as_json: bool) -> None:
    """List the manual steps that wait for a person (of RUN), or show what one STEP of RUN asks for."""
    client = Client()
    run = run_of(client, run_id) if run_id is not None else ""
    if step is not None:
        row = _waiting(client, run, step) or _not_waiting(client, run, step)
        print_json(row) if as_json else show(row)
        return
    given = {"run": run, "project": project}
    rows = list(client.rows("manual-steps/", {name: value for name, value in given.items() if value}))
    if as_json:
        print_json(rows)
        return
    print_table(
        ("RUN", "STEP", "RUNBOOK", "FOR", "UNTIL", "WHAT"),
        (
            (
                short(row["run"]),
                row["key"],
                row["runbook"],
                _whom(row),
                clock(row["due_at"]),
                row["prompt"],
            )
            for row in rows
        ),
        "No manual step waits for anybody.",
    )


def show(row: Object) -> None:
    """What is to be done, what to tell afterwards, and with which command."""
    click.echo(click.style(safe(str(row["prompt"])), bold=True))
    until = clock(row["due_at"]) or "somebody answers"
    click.echo(f"{row['runbook']}, step {row['key']}; for {_whom(row)}; until {until}")
    for asked in row["inputs"]:
        click.echo(f"  {_asked(asked)}")
    if not row["may_answer"]:
        click.echo(f"You cannot answer it: {safe(str(row['why_not']))}")
        return
    needed = "".join(f" -i {asked['name']}=..." for asked in row["inputs"] if _is_needed(asked))
    command = f"handrail answer {short(row['run'])} {row['key']}"
    click.echo(f"When it is done: {command} done{needed}")
    click.echo(f'If it cannot be done: {command} cannot --reason "..."')


def _whom(row: Object) -> str:
    return ", ".join([*row["teams"], *row["users"]]) or "any responder"


def _is_needed(asked: Object) -> bool:
    return bool(asked["required"]) and asked["default"] is None


def _limit(limit: object) -> str:
    if isinstance(limit, list):
        return ", ".join(str(each) for each in limit)
    return f"{limit:g}" if isinstance(limit, float) else str(limit)


def _asked(asked: Object) -> str:
    """An input in a line: ``ticket (string, needed, like DC-[0-9]+): The ticket.``"""
    facts = [str(asked["type"])]
    if _is_needed(asked):
        facts.append("needed")
    elif asked["default"] is not None and not asked["secret"]:
        facts.append(f"{json.dumps(asked['default'])} if left out")
    facts += [
        f"{words} {_limit(asked[name])}" for name, words in LIMITS.items() if asked[name] not in (None, [])
    ]
    told = f": {asked['description']}" if asked["description"] else ""
    return safe(f"{asked['name']} ({', '.join(facts)}){told}")


@click.command()
@click.argument("run_id", metavar="RUN")
@click.argument("step")
@click.argument("choice", type=click.Choice(["done", "cannot"]))
@click.option("--reason", default="", help="What you did; needed for what cannot be done.")
@click.option("--input", "-i", "inputs", multiple=True, metavar="NAME=VALUE", help="What the step asks for.")
@as_json
def answer(run_id: str, step: str, choice: str, reason: str, inputs: tuple[str, ...], as_json: bool) -> None:
    """Say that a manual STEP of RUN (such as cable, cable[3]) is done, with what it asks for, or cannot be done.

    `handrail manual RUN STEP` shows what it asks for. Numbers, true, false, lists and mappings are JSON; texts are
    taken as they are.
    """
    if choice == "cannot" and not reason.strip():
        raise click.UsageError(
            "Say with --reason why it cannot be done: whoever goes on from here will want to know."
        )
    if choice == "cannot" and inputs:
        raise click.UsageError("What cannot be done has no inputs: leave out --input.")
    client = Client()
    run = run_of(client, run_id)
    row = _waiting(client, run, step) or _not_waiting(client, run, step)
    body = {"choice": choice, "reason": reason, "inputs": _typed(inputs, row["inputs"])}
    try:
        answered = client.post(f"runs/{run}/steps/{row['id']}/answer/", body)
    except NotAllowed as error:
        if row["may_answer"]:
            raise
        raise NotAllowed(f"{error.message}\n  Ask {_whom(row)} to answer it.") from error
    if as_json:
        print_json(answered)
    else:
        click.echo(f"{name_of(answered)} is {coloured(str(answered['state']))}.")


def _typed(given: tuple[str, ...], asked: list[Object]) -> dict[str, object]:
    """The inputs by name. RemoteError in words for those that are not asked for, or are missing."""
    values = read_inputs(given)
    texts = {name.strip(): value for name, _, value in (each.partition("=") for each in given)}
    known = {str(each["name"]): each for each in asked}
    for name in values:
        if name not in known:
            raise RemoteError(
                f"The step does not ask for {name}. It asks for {', '.join(known) or 'nothing: leave out --input'}."
            )
        if known[name]["type"] in TEXTS:
            values[name] = texts[name]
    return values


def _waiting(client: Client, run: str, said: str) -> Object | None:
    """The manual step of the run that waits and has this name or id; None if there is none."""
    rows = client.rows("manual-steps/", {"run": run})
    return next((row for row in rows if said in (row["key"], row["id"])), None)


def _not_waiting(client: Client, run: str, said: str) -> Object:
    """Raise, and tell what that step is, and which steps do wait for a person."""
    others = [str(row["key"]) for row in client.rows("manual-steps/", {"run": run})]
    wait = (
        f"These wait for a person: {', '.join(others)}." if others else "None of this run waits for a person."
    )
    found = step_of(client, run, said, begun=False)
    state = text(found.get("state")) or "not begun"
    raise RemoteError(f"{said} does not wait for a person: it is {state}. {wait}")
