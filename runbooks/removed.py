"""What retention has removed of a run, as its row remembers it for readers.

``Run.removed`` is ``{"log": {"at": ISO time, "days": 90}, "values": {...}}``, a part only if there was something.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

from handrail.shared.artifacts import MARK
from handrail.shared.jsonvalue import JsonValue
from handrail.shared.retention import Removed, removed_words
from runbooks.models import Artifact, Run, StepRun

LOG: Final = "log"
VALUES: Final = "values"


class Removal(NamedTuple):
    """When something went, and for how many days it had been kept."""

    at: datetime
    days: int


def removal(run: Run, what: str) -> Removal | None:
    """What was removed of the run's ``what`` (LOG or VALUES); None when nothing was."""
    told = run.removed.get(what)
    return Removal(datetime.fromisoformat(told["at"]), int(told["days"])) if told else None


def marked(run: Run, what: str, found: Removal) -> dict[str, JsonValue]:
    """``Run.removed`` with this in it."""
    return {**run.removed, what: {"at": found.at.isoformat(), "days": found.days}}


def log_removed(run: Run, step: StepRun) -> str:
    """That the log of the step is gone, in words; empty where it is not, as for a step that came later."""
    found = removal(run, LOG)
    return removed_words("Its log", *found) if found is not None and step.created_at < found.at else ""


def file_removed(run: Run, file: Artifact) -> str:
    """That a file of the run is gone, in words; empty where it is not."""
    found = removal(run, LOG)
    if file.removed_at is None or found is None:
        return ""
    return removed_words(f"The file {file.name}", file.removed_at, found.days)


def value_removed(run: Run, held: JsonValue) -> str:
    """That a value that a row of the run holds by reference is gone, in words; empty where it is not."""
    found = removal(run, VALUES)
    if found is None or not (isinstance(held, dict) and MARK in held):
        return ""
    return removed_words("This value", *found)


def refuse_if(words: str) -> None:
    """Raise :class:`handrail.shared.retention.Removed` with these words, if there are any."""
    if words:
        raise Removed(words)
