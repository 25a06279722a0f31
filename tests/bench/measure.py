"""Measures everything at one place: a process in the environment of the installation; prints JSON lines."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import TextIO

from django.core.management import call_command

from tests.bench import chain, fanout, floors, waiting
from tests.bench.latency import Track, Web
from tests.bench.marks import Marks
from tests.bench.measuring import Figure, said
from tests.bench.processes import listens, until
from tests.bench.sides import running, sides
from tests.bench.stage import Stage
from tests.ports import free_ports


def main() -> int:
    """Measure; one JSON object a figure on standard output, what is going on on standard error."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", action="append", default=[])
    wanted = parser.parse_args()
    out = _figures_only()
    call_command("migrate", interactive=False, verbosity=0)
    floors.create_table()
    print(f"  {floors.durability()}", file=sys.stderr)
    for figure in figures(set(wanted.only), wanted.scale, wanted.rounds):
        print(json.dumps({"name": figure.name, **figure.data()}), file=out, flush=True)
        print(
            f"    {figure.name}: {figure.value:.4g} / {figure.floor:.4g} = {figure.ratio:.2f}",
            file=sys.stderr,
        )
    return 0


def _figures_only() -> TextIO:
    """Standard output for the figures alone: what anybody else writes there, such as a log, goes to standard error."""
    own = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return own


def figures(only: set[str], scale: float, rounds: int) -> Iterator[Figure]:
    """The figures that were asked for, all without ``only``. ``scale`` below 1 measures less, for a smoke test."""
    stage = Stage.build()

    def asked(name: str) -> bool:
        return not only or name in only

    def size(number: int) -> int:
        return max(2, int(number * scale))

    if asked("chain"):
        with said("  a chain of 40 steps"):
            figure = chain.measure(stage, length=size(40), rounds=rounds)
        yield figure
    if asked("parallel") or asked("runs"):
        with sides("worker") as both:
            if asked("parallel"):
                with said("  100 parallel steps"):
                    figure = fanout.parallel(stage, both, width=size(100), rounds=rounds)
                yield figure
            if asked("runs"):
                with said("  200 runs of 5 steps"):
                    figure = fanout.runs(stage, both, number=size(200), rounds=rounds)
                yield figure
    if asked("waiting"):
        with said("  100,000 waiting runs"):
            found = list(waiting.measure(stage, many=size(100_000), rounds=rounds))
        yield from found
    if asked("webhook") or asked("click") or asked("crowd"):
        yield from latencies(stage, asked, size(40), rounds)


def latencies(stage: Stage, asked: Callable[[str], bool], samples: int, rounds: int) -> Iterator[Figure]:
    """A whole installation: web, worker, sweeper and the fake Slack; and a bare web beside the bare worker."""
    marks = Marks()
    slack, _, web, bare_web = free_ports(4)
    environment = {
        "BENCH_MARKS_PORT": str(marks.port),
        "HANDRAIL_BIND": f"127.0.0.1:{web}",
        "HANDRAIL_BASE_URL": f"http://127.0.0.1:{web}",
        "HANDRAIL_SLACK_BASE_URL": f"http://127.0.0.1:{slack}/api/",
    }
    fakes = f"fakes --bind 127.0.0.1:{slack}"
    with (
        running(fakes, **environment) as chat,
        sides("web", "worker", "sweeper", bare_web=bare_web, **environment) as both,
    ):
        until(lambda: all(listens(port) for port in (slack, web)), watch=(chat, *both.ours))
        track = Track(stage, both, Web.at(web), Web.at(bare_web), marks, samples, rounds)
        if asked("webhook"):
            with said("  from the alert to the first step"):
                found = track.webhook()
            yield from found
        if asked("click"):
            with said("  from the click to the next step"):
                found = track.click()
            yield from found
        if asked("crowd"):
            with said("  a crowd of clicks"):
                figure = track.crowd(max(2, samples * 5 // 2))
            yield figure
    marks.close()
