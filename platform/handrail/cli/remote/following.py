"""What a run's steps say, as they say it; and how the run ended."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import click

from handrail.cli.remote.client import Client, Object
from handrail.cli.remote.errors import RUN_FAILED, NotKept
from handrail.cli.remote.output import coloured, safe
from handrail.shared.ids import short

PAUSE = 1.0
"""Seconds between two looks."""

OVER = frozenset(
    {"succeeded", "failed", "timed_out", "skipped", "cancelled", "compensated", "compensation_failed"}
)


class Reader:
    """Where one has read to in the log of each step of a run."""

    def __init__(self, client: Client, run_id: str, wanted: str = "") -> None:
        """``wanted``: the name of the only step of interest, such as ``shift`` or ``check[3]``."""
        self.client = client
        self.run_id = run_id
        self.wanted = wanted
        self._read: dict[str, int] = {}
        self._done: set[str] = set()

    def new_lines(self) -> Iterator[Object]:
        """The lines that were not there before, each with the name of its step."""
        params: dict[str, str | int] = (
            {"node": self.wanted.partition("[")[0].partition("/")[0]} if self.wanted else {}
        )
        for step in list(self.client.rows(f"runs/{self.run_id}/steps/", params)):
            name, step_id = name_of(step), str(step["id"])
            if step_id in self._done or (self.wanted and self.wanted != name):
                continue
            path = f"runs/{self.run_id}/steps/{step_id}/log/"
            try:
                for line in self.client.rows(path, {"after": self._read.get(step_id, 0)}):
                    self._read[step_id] = int(line["n"])
                    yield {"step": name, **line}
            except NotKept as removed:
                # Of this step; another one may have spoken since, in a run that was resumed.
                click.echo(f"{name}: {safe(removed.message)}", err=True)
            if step["state"] in OVER:
                self._done.add(step_id)


def name_of(step: Object) -> str:
    """How people name a step: ``shift``, ``check[3]``, ``shift/compensate``."""
    place = f"{step['node']}[{step['iteration']}]" if step["iteration"] else str(step["node"])
    return place if step["role"] == "step" else f"{place}/{step['role']}"


def show_line(line: Object, *, as_json: bool) -> None:
    """A line of a log, with its step in front."""
    if as_json:
        click.echo(json.dumps(line))
        return
    stream = "" if line["stream"] in ("", "stdout", "log") else f"{line['stream']}: "
    click.echo(f"{click.style(line['step'], dim=True)} {stream}{safe(str(line['text'])).rstrip()}")


def follow(client: Client, run_id: str, *, as_json: bool, wanted: str = "") -> None:
    """Show the log until the run is over, then how it ended; exit status 1 when it did not succeed."""
    reader = Reader(client, run_id, wanted)
    state = ""
    while True:
        run = client.get(f"runs/{run_id}/")
        for line in reader.new_lines():
            show_line(line, as_json=as_json)
        if run["state"] != state and not as_json:
            click.echo(f"-- run {short(run_id)}: {coloured(str(run['state']))}", err=True)
        state = str(run["state"])
        if not run["is_open"]:
            break
        time.sleep(PAUSE)
    if as_json:
        click.echo(json.dumps({name: value for name, value in run.items() if name != "steps"}))
    if state != "succeeded":
        raise click.exceptions.Exit(RUN_FAILED)
