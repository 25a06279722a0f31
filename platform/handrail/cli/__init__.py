"""The `handrail` command. Each subcommand is a module of this folder, imported only when it is called."""

from __future__ import annotations

import importlib
import re
import sys
from types import ModuleType
from typing import NoReturn

import click

from handrail.shared.errors import HandrailError

# The expression library imports its own command line, with an editor in it: 0.25 s that no process of ours needs.
sys.modules.setdefault("cel.cli", ModuleType("cel.cli"))

COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("handrail.cli.up", "Start everything on this machine."),
    "demo": ("handrail.cli.demo", "Drive the main job, from the alert to the postmortem."),
    "web": ("handrail.cli.web", "Serve the web pages, the API and the hooks."),
    "check": ("handrail.cli.check", "Say what is wrong with this installation, and how to mend it."),
    "owner": ("handrail.cli.owner", "Print the link by which a person becomes the owner."),
    "worker": ("handrail.cli.worker", "Execute the steps of one or more runner pools."),
    "sweeper": ("handrail.cli.sweeper", "Find what is due: timers, expired leases, lost hints, messages."),
    "source": ("handrail.cli.source", "Try alert sources on bodies."),
    "secret": ("handrail.cli.secret", "Set, delete and re-encrypt local secrets."),
    "pool": ("handrail.cli.pool", "Add runner pools, allow them to run programs."),
    "audit": ("handrail.cli.audit", "Verify and export the audit trail."),
    "fakes": ("handrail.cli.fakes", "Serve the fake Slack and the sample production."),
    "slack": ("handrail.cli.slack", "Check the Slack app, print its manifest."),
    "bench": ("handrail.cli.bench", "Measure Handrail against the floors of this machine."),
    "login": ("handrail.cli.remote.login", "Keep the address and the token for the commands that follow."),
    "logout": ("handrail.cli.remote.login", "Delete the token that was kept."),
    "runbooks": ("handrail.cli.remote.runbooks", "List runbooks."),
    "run": ("handrail.cli.remote.runbooks", "Start a run of a runbook."),
    "runs": ("handrail.cli.remote.runs", "List runs, or show one with its steps."),
    "logs": ("handrail.cli.remote.runs", "Show what the steps of a run say, as they say it."),
    "stop": ("handrail.cli.remote.runs", "Stop a run, after showing what that would find."),
    "pause": ("handrail.cli.remote.steering", "Pause a run: nothing new starts."),
    "resume": ("handrail.cli.remote.steering", "Let a run go on, from where it was paused or ended."),
    "restart": ("handrail.cli.remote.steering", "Start a run anew, on the live version."),
    "skip": ("handrail.cli.remote.steering", "Leave out a step of a run."),
    "decide": ("handrail.cli.remote.doubts", "Say what became of uncertain steps."),
    "checklist": ("handrail.cli.remote.checklist", "Show what is left of a run that was handed over."),
    "tick": ("handrail.cli.remote.checklist", "Say that items of a checklist are done, or left out."),
    "manual": ("handrail.cli.remote.manual", "List the manual steps that wait, or show what one asks for."),
    "answer": ("handrail.cli.remote.manual", "Say that a manual step is done, or cannot be."),
    "approvals": ("handrail.cli.remote.approvals", "List approvals, or show one with its plan."),
    "approve": ("handrail.cli.remote.approvals", "Approve a plan, after reading it."),
    "deny": ("handrail.cli.remote.approvals", "Deny a plan, with a reason."),
    "incidents": ("handrail.cli.remote.incidents", "List incidents, or show one with its timeline."),
    "switch": (
        "handrail.cli.remote.switches",
        "Kill switches: hold back starts and steps, and let them go on.",
    ),
    "ack": ("handrail.cli.remote.incidents", "Say that you look at an incident."),
    "resolve": ("handrail.cli.remote.incidents", "Say that an incident is over."),
    "manage": ("handrail.cli.manage", "Django's own management commands."),
}
"""Every subcommand: its name, its module and its one line of help."""


class LazyGroup(click.Group):
    """Imports a subcommand's module when it is called, so that none pays for another."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, which its module exposes under its own name."""
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The help, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="handrail", message="handrail %(version)s")
def cli() -> None:
    """Handrail: runbook automation and incident response."""


def set_up_django(*, process: str = "cli") -> None:
    """Load the settings, the apps, logs and traces; for the subcommands that touch the database."""
    import os

    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "handrail.config.settings")
    django.setup()

    from django.conf import settings

    from handrail.config.telemetry import configure_logs, configure_traces

    configure_logs(log_format=settings.LOG_FORMAT, level=settings.LOG_LEVEL)
    configure_traces(process=process, endpoint=settings.OTLP_ENDPOINT)


def main() -> None:
    """The entry point: refusals are one line on standard error and exit status 2."""
    try:
        cli(standalone_mode=True)
    except HandrailError as error:
        _refuse(error.message)
    except Exception as error:
        words = _of_the_database(error)
        if words is None:
            raise
        _refuse(words)


def _refuse(words: str) -> NoReturn:
    click.echo(f"handrail: {words}", err=True)
    sys.exit(2)


def _of_the_database(error: Exception) -> str | None:
    """What to do about a database that is away, no database, or without its tables; None for any other fault."""
    if type(error).__module__ != "django.db.utils":
        return None
    said = (str(error).strip().splitlines() or ["it says nothing"])[0]
    name = type(error).__name__
    if name in ("OperationalError", "ProgrammingError") and re.search("no such|does not exist", said):
        return f"The database is not as this version needs it ({said}): run `handrail manage migrate`."
    if name in ("OperationalError", "DatabaseError"):
        return (
            f"The database does not answer: {said}. Look at HANDRAIL_DATABASE_URL, and whether the server runs and "
            "lets this machine in; `handrail check` says more."
        )
    return None
