"""Measures at every place, one after the other, and prints a table or one JSON object."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.bench.places import EMBEDDED, SQLITE, TOP, Place, default_places, environment


def main() -> int:
    """``handrail bench`` calls it; exit status 1 when something could not be measured."""
    parser = argparse.ArgumentParser(prog="handrail bench")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--database")
    parser.add_argument("--broker")
    parser.add_argument("--flush", type=float, default=0.0)
    parser.add_argument("--scale", default="1")
    parser.add_argument("--rounds", default="5")
    parser.add_argument("--only", action="append", default=[])
    given = parser.parse_args()
    places = default_places()
    if given.database or given.broker:
        places = [Place(given.database or SQLITE, given.broker or EMBEDDED, given.flush)]
    arguments = ["--scale", given.scale, "--rounds", given.rounds]
    for name in given.only:
        arguments += ["--only", name]
    found: dict[str, Mapping[str, float | str]] = {}
    for place in places:
        print(place.name, file=sys.stderr)
        found |= measured_at(place, arguments)
    print(json.dumps(found, indent=2) if given.json else table(found))
    return 0


def measured_at(place: Place, arguments: list[str]) -> dict[str, Mapping[str, float | str]]:
    """The figures of one place by name; ends the program when its process failed."""
    with (
        tempfile.TemporaryDirectory(prefix="handrail-bench-") as folder,
        environment(place, Path(folder)) as env,
    ):
        inside = [sys.executable, "-m", "tests.bench.inside", *arguments]
        with subprocess.Popen(inside, cwd=TOP, env=env, stdout=subprocess.PIPE, text=True) as process:
            try:
                said, _ = process.communicate()
            except BaseException:
                process.terminate()
                raise
        if process.returncode:
            raise SystemExit(f"handrail bench: measuring at {place.name} failed; its messages above say why")
    figures = [json.loads(line) for line in said.splitlines()]
    return {f"{figure.pop('name')}.{place.name}": figure for figure in figures}


def table(found: Mapping[str, Mapping[str, float | str]]) -> str:
    """The figures for people."""
    lines = [f"{'':40}{'Handrail':>14}{'floor':>14}{'ratio':>8}"]
    for name, figure in found.items():
        value, floor = (_with_unit(float(figure[key]), str(figure["unit"])) for key in ("value", "floor"))
        lines.append(f"{name:40}{value:>14}{floor:>14}{float(figure['ratio']):>8.2f}")
    return "\n".join(lines)


def _with_unit(value: float, unit: str) -> str:
    return f"{value * 1000:.1f} ms" if unit == "s" else f"{value:.0f} {unit}"


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    sys.exit(main())
