"""The reference of the command line, made from the commands themselves: ``python docs/generate_commands.py``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from handrail.cli import COMMANDS, cli
from handrail.cli.remote.errors import EXIT_CODES

PAGE = Path(__file__).parent / "reference" / "command-line.md"

HEAD = """# The command line

One command, `handrail`. This page is written by `docs/generate_commands.py` from the commands themselves; `handrail
COMMAND --help` says the same.

- [Commands for an installation elsewhere](#commands-for-an-installation-elsewhere): runs, approvals, incidents,
  over the REST API
- [Commands on the machine itself](#commands-on-the-machine-itself): serving, checking, secrets, the audit trail

## Commands for an installation elsewhere

These speak with the [REST API](api.md) and need nothing but an address and a token. They may do what the token may
do, and what they do stands on the audit trail like everything else. Make a token on the web under **Account →
Tokens**, with the scopes that you need: `view` to look, `respond` to start, stop and decide, `approve` to approve.

```console
$ handrail login https://handrail.example
Token:
$ handrail run restart-worker --input service=checkout --wait
$ handrail approvals
$ handrail approve 3f9a1c04
$ handrail decide 8d21b7e0 db_failover done --reason "The console shows the new primary."
```

The address and the token are kept in `~/.config/handrail/credentials.json` (on macOS and Windows where such files
are), readable by you alone. Scripts set `HANDRAIL_URL` and `HANDRAIL_TOKEN` instead, which win. A token is never an
argument, where other users of the machine could read it; it is sent over https only (or to this very machine), and
only to the address for which it was kept; redirects are not followed.

A RUN, an APPROVAL or an INCIDENT is named by its id, or by the last eight digits of it, as the pages show them
(among the 400 newest); an incident also by its name, `INC-42`. A STEP is named as in the runbook: `shift`;
`check[3]` for the fourth item of a loop; `shift/compensate` for its undoing.

`--json` prints what the API answers; lists are one array with every page of the list, `logs` one object a line.
Messages go to standard error.

| exit status | meaning |
|---|---|
"""

HERE = """## Commands on the machine itself

These read the [settings](settings.md) of the installation, most of them its database. They exit with 0, with 1 when
something is wrong with what they looked at, and with 2 and one line on standard error when they refuse.

"""


def main() -> None:
    """Write the page."""
    PAGE.write_text(page())


def page() -> str:
    """The page as it should be."""
    codes = "".join(f"| {code} | {meaning} |\n" for code, meaning in EXIT_CODES.items())
    remote = [name for name, (module, _) in COMMANDS.items() if ".remote." in module]
    local = [name for name in COMMANDS if name not in remote]
    with click.Context(cli, info_name="handrail") as context:
        parts = ["".join(_commands(context, name)) for name in (*remote, *local)]
    return HEAD + codes + "\n" + "".join(parts[: len(remote)]) + HERE + "".join(parts[len(remote) :])


def _commands(context: click.Context, name: str) -> Iterator[str]:
    """One command, or one group with its own commands."""
    command = cli.get_command(context, name)
    if command is None:
        raise LookupError(f"{name} is in the table of commands, and its module has none of this name.")
    with click.Context(command, info_name=name, parent=context) as inner:
        yield _section(command, inner)
        if isinstance(command, click.Group):
            for sub in command.list_commands(inner):
                found = command.get_command(inner, sub)
                if found is not None:
                    with click.Context(found, info_name=sub, parent=inner) as innermost:
                        yield _section(found, innermost)


def _section(command: click.Command, context: click.Context) -> str:
    usage = " ".join(command.collect_usage_pieces(context))
    words = " ".join((command.help or command.short_help or "").split())
    lines = [
        f"### `{context.command_path}`",
        "",
        words,
        "",
        f"    {context.command_path} {usage}".rstrip(),
        "",
    ]
    options = [record for record in _options(command, context) if record is not None]
    if options:
        lines += ["| option | what it is |", "|---|---|"]
        lines += [f"| `{names}` | {_cell(text)} |" for names, text in options]
        lines.append("")
    return "\n".join(lines) + "\n"


def _options(command: click.Command, context: click.Context) -> Iterator[tuple[str, str] | None]:
    for parameter in command.get_params(context):
        if isinstance(parameter, click.Option) and "--help" not in parameter.opts:
            yield parameter.get_help_record(context)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    main()
