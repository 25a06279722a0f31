"""`handrail worker`: executes the steps of runner pools: Celery for the hints, a poller for what hints missed."""

from __future__ import annotations

import os
import re
import signal
import sys
import warnings
from types import FrameType

import click

from handrail.cli import set_up_django
from handrail.cli.preloading import preload
from handrail.cli.processes import Child, Supervisor, end_with_supervisor
from handrail.config.environment import read

POOLS_VARIABLE = "HANDRAIL_WORKER_POOLS"
_POOL = re.compile(r"[A-Za-z0-9_-]{1,63}")


@click.command()
@click.option("--pool", "pools", multiple=True, help="A pool whose steps to take; may be given again.")
@click.option("--pools", "listed", default="", help="The same, several at once: --pools edge,eu-1.")
@click.option("--concurrency", type=click.IntRange(1, 256), help="How many steps at once.")
@click.option("--only", type=click.Choice(["hints", "poll"]), hidden=True, help="Be one of the two children.")
def worker(pools: tuple[str, ...], listed: str, concurrency: int | None, only: str | None) -> None:
    """Execute the steps of one or more runner pools (default: `default`) until Ctrl-C or SIGTERM.

    Two processes work side by side: one takes hints from the broker and starts at once; one looks into the
    database for steps that no hint announced, so that everything also works without any broker.
    """
    named = dict.fromkeys(name.strip() for name in (*pools, *listed.split(",")) if name.strip())
    if wrong := [name for name in named if not _POOL.fullmatch(name)]:
        raise click.BadParameter(
            f"{wrong[0]!r} is no pool: letters, digits, - and _, at most 63.", param_hint="--pool"
        )
    pools = tuple(named) or ("default",)
    os.environ[POOLS_VARIABLE] = ",".join(pools)
    wanted = concurrency or int(read("HANDRAIL_WORKER_CONCURRENCY"))
    if only == "hints":
        _take_hints(wanted)
    elif only == "poll":
        _poll(wanted)
    else:
        _supervise(pools, wanted)


def _supervise(pools: tuple[str, ...], concurrency: int) -> None:
    argv = [sys.executable, "-m", "handrail.cli", "worker", "--concurrency", str(concurrency)]
    for pool in pools:
        argv += ["--pool", pool]
    children = [
        Child("the poller", [*argv, "--only", "poll"]),
        Child("the hint taker", [*argv, "--only", "hints"]),
    ]
    end_with_supervisor()
    grace = float(read("HANDRAIL_STOP_GRACE_SECONDS"))
    supervisor = Supervisor(children, say=click.echo, grace_seconds=grace)
    supervisor.run()
    if supervisor.killed:
        _hand_back()


def _hand_back() -> None:
    """Children were killed: what they had only claimed is there for others at once, not after a lease."""
    set_up_django(process="worker")
    from django.db import Error

    from runbooks.execution.worker import bury_children

    try:
        count = bury_children(os.getpid())
    except Error as error:
        click.echo(f"The database does not answer, so that their steps are free after a lease: {error}")
    else:
        click.echo(
            f"{count} worker processes are noted as stopped; what they were executing is judged after a lease"
        )


def _take_hints(concurrency: int) -> None:
    """Be the Celery worker; a broker that is away is tried again for ever."""
    set_up_django(process="worker")
    preload()
    from celery.apps import worker as celery_worker
    from celery.exceptions import SecurityWarning
    from celery.signals import task_prerun, worker_process_init, worker_process_shutdown, worker_shutting_down
    from django.db import close_old_connections

    from handrail.config.celery import app
    from handrail.shared.wakeups import hint_queue, pool_queue
    from runbooks.execution import process

    end_with_supervisor()
    # `handrail check` says it when this is root, and an ordinary end needs no announcement.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    vars(celery_worker)["safe_say"] = _say_nothing
    worker_shutting_down.connect(lambda **_: process.ENDING.set(), weak=False)
    task_prerun.connect(lambda **_: close_old_connections(), weak=False)
    worker_process_init.connect(lambda **_: process.forked(), weak=False)
    worker_process_shutdown.connect(lambda **_: process.say_stopped(), weak=False)
    queues = ",".join([*(pool_queue(pool) for pool in process.pools()), hint_queue()])
    app.worker_main(
        [
            "--quiet",
            "worker",
            f"--queues={queues}",
            f"--concurrency={concurrency}",
            "--pool=prefork",
            "--loglevel=WARNING",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
            f"--hostname=handrail-{os.getpid()}@%h",
        ]
    )


def _say_nothing(_message: str, _file: object = None) -> None:
    """What Celery would announce."""


def _poll(concurrency: int) -> None:
    """Be the poller: threads that take the steps which no hint brought to anybody."""
    set_up_django(process="worker")
    preload()
    from runbooks.execution import process
    from runbooks.execution.polling import poll

    def end(_number: int, _frame: FrameType | None) -> None:
        process.ENDING.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    end_with_supervisor()
    poll(process.driver(), process.ENDING, threads=concurrency)
    process.say_stopped()
