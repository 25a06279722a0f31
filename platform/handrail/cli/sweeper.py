"""`handrail sweeper`: does what is due, whatever messages were lost. Any number of sweepers may run."""

from __future__ import annotations

import signal
import threading

import click

from handrail.cli import set_up_django
from handrail.cli.processes import end_with_supervisor


@click.command()
def sweeper() -> None:
    """Find what is due, every second or two: timers, expired leases, lost hints, messages, deadlines."""
    set_up_django(process="sweeper")
    from handrail.config.wiring import DUTIES
    from runbooks.execution.sweeping import Sweeper

    end_with_supervisor()
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: ending.set())
    Sweeper([(duty.name, duty.perform, duty.every_seconds) for duty in DUTIES]).run(ending)
