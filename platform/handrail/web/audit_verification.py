"""A quick look at the chain from the web: its newest entries are computed anew, link by link."""

from __future__ import annotations

from dataclasses import dataclass

from handrail.audit.chain import INSTALLATION, is_link
from handrail.audit.entries import entry_of
from handrail.audit.models import AuditEntry, AuditHead

NEWEST = 2_000
"""Entries that are cheap enough to be checked while somebody waits. The command checks all of them."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What the look found, in words."""

    is_intact: bool
    words: str


def verify_recent() -> Finding:
    """Compute the hashes of the newest entries and compare them with the head and with one another."""
    head = AuditHead.objects.filter(pk=INSTALLATION).first()
    if head is None:
        return Finding(is_intact=True, words="The trail is empty: nothing was done yet.")
    newest = AuditEntry.objects.filter(chain=INSTALLATION, n__lte=head.n).order_by("-n")[:NEWEST]
    expected_hash, expected_n = head.hash, head.n
    for row in newest:
        if row.n != expected_n:
            return Finding(
                is_intact=False, words=f"Entry {expected_n} is missing: the trail was changed. {_NEXT_STEP}"
            )
        if row.hash != expected_hash or not is_link(row.hash, row.previous_hash, entry_of(row)):
            return Finding(
                is_intact=False,
                words=f"Entry {row.n} is not what was written: the trail was changed. {_NEXT_STEP}",
            )
        expected_hash, expected_n = row.previous_hash, row.n - 1
    checked = head.n - expected_n
    if expected_n and checked < NEWEST:
        return Finding(
            is_intact=False, words=f"Entry {expected_n} is missing: the trail was changed. {_NEXT_STEP}"
        )
    every = "all" if expected_n == 0 else f"the newest {checked:,} of {head.n:,}"
    return Finding(
        is_intact=True,
        words=f"Intact: {every} entries fit together, up to entry {head.n:,} ({head.hash[:12]}).",
    )


_NEXT_STEP = "Keep the database as it is and run `handrail audit verify` to find everything that differs."
