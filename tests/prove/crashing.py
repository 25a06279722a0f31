"""The simulation of crashes as a part of the proof: played in a process of its own, told in the report."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

TOP = Path(__file__).parents[2]


def simulate(environment: dict[str, str], *, long: bool) -> list[dict[str, Any]]:
    """Crash the sample runbooks everywhere, in a process that knows all actions and asks no database."""
    with TemporaryDirectory(prefix="simulate-") as name:
        folder = Path(name)
        result = folder / "result.json"
        argv = [sys.executable, "-m", "tests.prove", "--simulate", str(result), *(["--long"] if long else [])]
        done = subprocess.run(argv, env=environment, cwd=TOP, check=False)
        if not result.exists():
            raise SystemExit(f"The simulation broke off with status {done.returncode}.")
        found: list[dict[str, Any]] = json.loads(result.read_text())
        return found


def simulation(path: Path, *, long: bool) -> int:
    """The simulation itself, in the process whose settings know the actions of the proof."""
    from handrail.cli import set_up_django

    set_up_django(process="worker")
    from runbooks.steps.registry import specs
    from tests.prove.samples import samples
    from tests.prove.simulation import simulate_all

    began = time.monotonic()
    judgements = simulate_all(samples(specs()), long=long)
    result = [
        {
            "name": one.name,
            "points": one.points,
            "executions": one.executions,
            "by_point": dict(sorted(one.by_point.items())),
            "lost": len(one.lost),
            "doubled": len(one.doubled),
            "stuck": len(one.stuck),
            "sentences": [*one.lost, *one.doubled, *one.stuck],
        }
        for one in judgements
    ]
    path.write_text(json.dumps(result))
    points, executions = sum(one.points for one in judgements), sum(one.executions for one in judgements)
    wrong = [sentence for each in result for sentence in each["sentences"]]
    print(
        f"Simulation: {len(result)} runbooks, {points} boundaries, {executions} executions with crashes in "
        f"{time.monotonic() - began:.0f} s: {len(wrong)} faults",
        flush=True,
    )
    for sentence in wrong[:20]:
        print(f"  {sentence}")
    return 1 if wrong else 0


def section(simulated: list[dict[str, Any]]) -> list[str]:
    """The section about the simulation: how many boundaries each runbook has, and what came of crashing there."""
    points, executions = (sum(int(each[name]) for each in simulated) for name in ("points", "executions"))
    lines = [
        "## Simulation",
        "",
        f"{len(simulated)} runbooks were run in memory under virtual time, and their processes crashed or were frozen",
        f"at each of {points} boundaries before and after commits and effects: {executions} executions.",
        "",
        "| runbook | boundaries | executions | lost | doubled | stuck |",
        "|---|---|---|---|---|---|",
    ]
    columns = ("name", "points", "executions", "lost", "doubled", "stuck")
    lines += ["| " + " | ".join(str(each[name]) for name in columns) + " |" for each in simulated]
    kinds: Counter[str] = Counter()
    for each in simulated:
        kinds.update(each["by_point"])
    lines += ["", "| boundary | times |", "|---|---|"]
    lines += [f"| {point} | {count} |" for point, count in sorted(kinds.items())]
    return [*lines, "", *(f"- {sentence}" for each in simulated for sentence in each["sentences"]), ""]
