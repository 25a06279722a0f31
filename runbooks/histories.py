"""The runs' own audit chains: every run's history as links, for verification and export."""

from __future__ import annotations

from collections.abc import Iterator

from handrail.audit.chain import run_event
from handrail.audit.trail import CHUNK
from handrail.audit.verification import Link, Place
from runbooks.models import Run, RunEvent


def links() -> Iterator[Link]:
    """Every event of every run, run by run, in order, streamed."""
    for event in RunEvent.objects.order_by("run_id", "n").iterator(chunk_size=CHUNK):
        entry = run_event(event.run_id, event.n, event.type, event.data, event.at)
        yield Link(f"run:{event.run_id}", entry, event.previous_hash, event.hash)


def heads() -> dict[str, Place]:
    """Where each run's history ends, as the run's row says."""
    rows = Run.objects.filter(history_n__gt=0).values_list("pk", "history_n", "history_hash")
    return {f"run:{key}": Place(n, digest) for key, n, digest in rows.iterator(chunk_size=CHUNK)}
