"""`handrail demo`: drives the main job over the same HTTP that real senders use, and says what happens."""

from __future__ import annotations

import subprocess
import sys
import time

import click
import httpx2

from handrail.cli.up import answers
from handrail.config.environment import home, running_url


@click.command()
@click.option("--wait", is_flag=True, help="Leave the click on Approve to you.")
def demo(wait: bool) -> None:
    """Break the sample service and let Handrail contain it: alert, incident, runbook, approval, recovery, postmortem.

    Uses the `handrail up` that runs on this machine, or starts one for itself. Exit status 0 only when the incident is
    resolved and its postmortem draft exists.
    """
    from handrail.demo.drive import drive

    address = running_url()
    own: subprocess.Popen[bytes] | None = None
    if not answers(f"{address}/healthz", within=1.0):
        click.echo(f"Nothing answers at {address}: starting Handrail for this demo.")
        # Out of the terminal's process group: Ctrl-C ends the demo, and the demo ends it.
        own = subprocess.Popen([sys.executable, "-m", "handrail.cli", "up"], process_group=0)
        if not _wait_for(own):
            raise click.ClickException("Handrail did not start; its messages above say why.")
    try:
        done = drive(running_url(), home(), wait=wait, say=click.echo)
    except httpx2.HTTPError as error:
        raise click.ClickException(f"Handrail stopped answering: {error}") from error
    finally:
        if own is not None:
            own.terminate()
            own.wait()
    sys.exit(0 if done else 1)


def _wait_for(own: subprocess.Popen[bytes]) -> bool:
    """Whether it gets ready within two minutes; it has ended otherwise."""
    deadline = time.monotonic() + 120
    while own.poll() is None and time.monotonic() < deadline:
        if answers(f"{running_url()}/readyz", within=1.0):
            return True
    own.terminate()
    own.wait()
    return False
