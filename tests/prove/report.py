"""The report of a proof, and its last line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.prove.crashing import section


@dataclass(frozen=True, slots=True)
class Found:
    """What one scene found on one database."""

    scene: str
    title: str
    database: str
    seed: int
    runs: int
    effects: int
    seconds: int
    slowest: float
    kills: int
    outside: int
    stopped: int
    refused: int
    points: dict[str, int]
    counts: dict[str, int]
    lost: list[str]
    doubled: list[str]
    stuck: list[str]
    unexpected: list[str] = field(default_factory=list)

    @property
    def sentences(self) -> list[str]:
        """Everything that must not be."""
        return [*self.lost, *self.doubled, *self.stuck, *self.unexpected]

    @property
    def is_clean(self) -> bool:
        """Whether nothing was found."""
        return not self.sentences

    def in_a_line(self) -> str:
        """For whoever watches."""
        facts = [f"{n} {what}" for what, n in self.facts()]
        return f"{self.seconds} s: {', '.join(facts)}; {last_line([self])}"

    def facts(self) -> list[tuple[str, int]]:
        """What happened how often."""
        found = [("runs", self.runs), ("effects", self.effects), ("processes killed", self.kills)]
        found += [("workers stopped past their lease", self.stopped), ("completions refused", self.refused)]
        return [(what, n) for what, n in [*found, *self.counts.items()] if n]


CLEAN = " lost=0 doubled=0 stuck=0"


def last_line(found: Sequence[Found], simulated: Sequence[Mapping[str, Any]] = ()) -> str:
    """``kills=N lost=0 doubled=0 stuck=0``, and how many errors belong to nothing that was done, if any do."""
    lost, doubled, stuck = (
        sum(len(getattr(each, word)) for each in found) + sum(int(each[word]) for each in simulated)
        for word in ("lost", "doubled", "stuck")
    )
    unexpected = sum(len(each.unexpected) for each in found)
    more = f" unexpected={unexpected}" if unexpected else ""
    return f"kills={sum(each.kills for each in found)} lost={lost} doubled={doubled} stuck={stuck}{more}"


def write_report(
    path: Path, found: Sequence[Found], simulated: list[dict[str, Any]], *, seconds: float = 0.0
) -> None:
    """Markdown: a line for each scene, then its facts, the kills by place, and every sentence; the simulation last."""
    lines = ["# What was done to Handrail, and what came of it", ""]
    lines += [
        f"In {seconds:.0f} s: {last_line(found, simulated)}",
        "",
        "| scene | database | seconds | found |",
        "|---|---|---|---|",
    ]
    lines += [f"| {each.title} | {each.database} | {each.seconds} | {last_line([each])} |" for each in found]
    for each in found:
        lines += ["", f"## {each.title}: {each.database}, seed {each.seed}", ""]
        lines += [f"- {what}: {n}" for what, n in each.facts()]
        if each.slowest:
            lines.append(f"- seconds until everything had ended after a blow, at most: {each.slowest:.1f}")
        if each.points:
            lines += ["", f"{each.outside} were killed at any instruction, the others here:", ""]
            lines += ["| who and where | kills |", "|---|---|"]
            lines += [f"| {place} | {count} |" for place, count in each.points.items()]
        lines += ["", *(f"- {sentence}" for sentence in each.sentences)]
    if simulated:
        lines += ["", *section(simulated)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
