"""`handrail bench`: measures Handrail against the floors of this machine; the measuring is in tests/bench/."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

import click

from handrail.shared.errors import Invalid

FIGURES = ("chain", "parallel", "runs", "waiting", "webhook", "click", "crowd")
_DATABASES = ("postgres", "postgresql")
_BROKERS = ("redis", "rediss", "amqp", "amqps")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One object: name -> {value, floor, ratio, unit}.")
@click.option(
    "--database", help="`sqlite`, or a PostgreSQL URL whose server makes a database for the time being."
)
@click.option("--broker", help="`embedded`, or a Redis or AMQP URL.")
@click.option(
    "--flush",
    type=click.FloatRange(0, 100),
    default=0.0,
    help="As on a disk that takes so many milliseconds longer for a flush; with a PostgreSQL URL, as superuser.",
)
@click.option("--only", multiple=True, type=click.Choice(FIGURES), help="Measure this; may be given again.")
@click.option("--scale", type=click.FloatRange(0.02, 1), default=1.0, help="Below 1: smaller and quicker.")
@click.option("--rounds", type=click.IntRange(1, 50), default=5, help="Counted rounds; medians are shown.")
def bench(
    as_json: bool,
    database: str | None,
    broker: str | None,
    only: tuple[str, ...],
    **numbers: float,
) -> None:
    """Measure what durable steps cost, as ratios against floors measured in the same minutes.

    Without --database and --broker: SQLite with the embedded broker and, if both answer on this machine,
    PostgreSQL with Redis. It needs a checkout, and leaves nothing behind.
    """
    _check(database, "--database", ("sqlite",), _DATABASES)
    _check(broker, "--broker", ("embedded",), _BROKERS)
    if numbers["flush"] and (database or "sqlite") == "sqlite":
        raise Invalid("--flush needs PostgreSQL, which can wait before it flushes: give --database, too.")
    top = checkout()
    arguments = [word for name, number in numbers.items() for word in (f"--{name}", str(number))]
    for name, value in (("--database", database), ("--broker", broker)):
        arguments += [name, value] if value else []
    for figure in only:
        arguments += ["--only", figure]
    sys.exit(_measure(top, [*arguments, *(["--json"] if as_json else [])]))


def checkout() -> Path:
    """The top of the checkout that this module stands in. Invalid when it was installed from a wheel."""
    top = Path(__file__).resolve().parents[3]
    if not (top / "tests" / "bench" / "__main__.py").is_file():
        raise Invalid(
            "The benchmarks are not part of an installed package: clone Handrail's repository "
            "and call `make bench` there."
        )
    return top


def _check(given: str | None, option: str, words: tuple[str, ...], schemes: tuple[str, ...]) -> None:
    if given and given not in words and urlsplit(given).scheme not in schemes:
        allowed = ", ".join([*words, *(f"{scheme}://..." for scheme in schemes)])
        raise Invalid(f"{option} is {given!r}: give one of {allowed}.")


def _measure(top: Path, arguments: list[str]) -> int:
    """Let the benchmarks run in a process of their own, which is ended with this one; its exit status."""
    path = os.pathsep.join([str(top), str(top / "platform")])
    argv = [sys.executable, "-m", "tests.bench", *arguments]
    with subprocess.Popen(argv, cwd=top, env={**os.environ, "PYTHONPATH": path}) as process:

        def end(_number: int, _frame: FrameType | None) -> None:
            process.terminate()

        signal.signal(signal.SIGTERM, end)
        try:
            return process.wait()
        except KeyboardInterrupt:
            return process.wait()
