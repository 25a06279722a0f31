"""Which artifacts the rows of runs name. Every column of JSON that may hold a reference is in :data:`PLACES`."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from django.db import connection, models

from handrail.shared.artifacts import MARK
from handrail.shared.jsonvalue import JsonValue
from handrail.shared.references import has_reference, references_in
from handrail.shared.statements.shapes import table
from handrail.shared.statements.writing import adapted
from runbooks.models import Artifact, Run, RunEvent, StepAttempt, StepRun


class Place(NamedTuple):
    """A column, and how its row (``t``) leads to its run (``run``)."""

    model: type[models.Model]
    column: str
    through_step: bool = False

    @property
    def rows(self) -> str:
        """The tables, joined."""
        run = f"JOIN {table(Run)} run ON run.id"
        if self.through_step:
            return f"{table(self.model)} t JOIN {table(StepRun)} s ON s.id = t.step_id {run} = s.run_id"
        return f"{table(self.model)} t {run} = t.{'id' if self.model is Run else 'run_id'}"

    @property
    def named(self) -> str:
        """The condition that the value holds any reference."""
        return has_reference(connection.vendor, f"t.{self.column}")


PLACES = (
    Place(RunEvent, "data"),
    Place(StepRun, "inputs"),
    Place(StepRun, "outputs"),
    Place(StepRun, "error"),
    Place(StepAttempt, "error", through_step=True),
    Place(Run, "error"),
)


def named(digests: Sequence[str]) -> set[str]:
    """Which of the digests are needed: by a file that is kept, or by a run whose values are."""
    found = set(
        Artifact.objects.filter(sha256__in=digests, removed_at__isnull=True).values_list("sha256", flat=True)
    )
    for place in PLACES:
        missing = [digest for digest in digests if digest not in found]
        if missing:
            found |= _named_in(place, missing)
    return found


def _named_in(place: Place, digests: list[str]) -> set[str]:
    kept = f"run.values_over_at IS NULL AND {place.named}"
    if connection.vendor == "postgresql":
        these = references_in(f"t.{place.column}")
        text = ["SELECT DISTINCT r.digest FROM", place.rows, "CROSS JOIN LATERAL"]
        text += [f"jsonb_array_elements_text({these}) AS r (digest)"]
        text += ["WHERE", kept, "AND", these, "?| %s AND r.digest = ANY(%s)"]
        values: list[str | list[str]] = [digests, digests]
    else:
        marks = ", ".join(["%s"] * len(digests))
        text = ["SELECT DISTINCT r.value FROM", place.rows, f", json_tree(t.{place.column}) r"]
        text += ["WHERE", kept, f"AND r.key = '{MARK}' AND r.value IN ({marks})"]
        values = [*digests]
    with connection.cursor() as cursor:
        cursor.execute(" ".join(text), values)
        return {str(row[0]) for row in cursor.fetchall()}


def sizes_in(run_id: uuid.UUID) -> dict[str, int]:
    """The digests that the rows of a run name, with their bytes where they say so."""
    found: dict[str, int] = {}
    with connection.cursor() as cursor:
        for place in PLACES:
            text = [f"SELECT t.{place.column} FROM", place.rows, "WHERE run.id = %s AND", place.named]
            cursor.execute(" ".join(text), [adapted(run_id)])
            for (text,) in cursor.fetchall():
                found.update(_references(json.loads(text)))
    return found


def _references(value: JsonValue) -> Iterator[tuple[str, int]]:
    """Every reference in a value, however deep."""
    waiting: list[Any] = [value]
    while waiting:
        match waiting.pop():
            case {"$artifact": str(digest), **rest}:
                size = rest.get("size")
                yield digest, size if isinstance(size, int) else 0
            case dict() as document:
                waiting.extend(document.values())
            case list() as several:
                waiting.extend(several)
