"""Figures: a value and its floor, measured in turn, medians of five, and the ratio of the two."""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

ROUNDS = 5
"""Counted rounds; one more goes before them and warms both sides up."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the result. ``ratio`` is value / floor; for ``steps/s`` more is better, else less is."""

    name: str
    value: float
    floor: float
    unit: str

    @property
    def ratio(self) -> float:
        return self.value / self.floor if self.floor else float("inf")

    def data(self) -> dict[str, float | str]:
        """``{"value", "floor", "ratio", "unit"}``, rounded to what the clock can tell."""
        found = asdict(self) | {"ratio": round(self.ratio, 3)}
        found.pop("name")
        return found | {"value": round(self.value, 6), "floor": round(self.floor, 6)}


def seconds(act: Callable[[], object]) -> float:
    """How long it takes, on the monotonic clock, without a pause of the garbage collector in it."""
    gc.collect()
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def in_turn(
    value: Callable[[], float], floor: Callable[[], float], *, rounds: int = ROUNDS
) -> tuple[list[float], list[float]]:
    """Measure floor and value in turn, so that a machine that slows down slows both; the first pair is dropped."""
    values: list[float] = []
    floors: list[float] = []
    for number in range(rounds + 1):
        # Each goes first in every second round: neither always profits from what the other has warmed.
        pair = [(floor, floors), (value, values)]
        for measure, found in pair if number % 2 else reversed(pair):
            found.append(measure())
    return values[1:], floors[1:]


def medians(name: str, values: Sequence[float], floors: Sequence[float], unit: str = "s") -> Figure:
    """The figure of two series."""
    return Figure(name, statistics.median(values), statistics.median(floors), unit)


def percentile(samples: Sequence[float], share: float) -> float:
    """The sample below which ``share`` (0 to 1) of them lie: the nearest rank, nothing invented between two."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


@contextmanager
def said(what: str) -> Iterator[None]:
    """Say on standard error what is being measured, and how long it took."""
    print(f"{what} ...", end=" ", file=sys.stderr, flush=True)
    began = time.perf_counter()
    yield
    print(f"{time.perf_counter() - began:.1f} s", file=sys.stderr, flush=True)
