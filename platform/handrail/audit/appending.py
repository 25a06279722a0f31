"""Appending to a chain: an entry gets its place, its predecessor's hash and its own, under the lock of the head.

On PostgreSQL that is one statement, in which the server hashes; on SQLite, where nobody else writes meanwhile, three.
"""

from __future__ import annotations

from functools import cache

from django.db import connection

from handrail.audit.chain import canonical_json, link
from handrail.audit.entries import entry_of
from handrail.audit.models import AuditEntry, AuditHead
from handrail.shared.jsonvalue import JsonValue
from handrail.shared.statements.reading import fetch
from handrail.shared.statements.shapes import row_places, table
from handrail.shared.statements.writing import Batch, new_row, parameters, prepared, written

PLACE = ("n", "previous_hash", "hash")
"""The columns that follow from what the chain ends in."""


def append(entry: AuditEntry) -> None:
    """Write a new entry, whose :data:`PLACE` is filled in, at the end of its chain. Inside a transaction."""
    append_there = _on_postgresql if connection.vendor == "postgresql" else _on_sqlite
    if not append_there(entry):
        # The very first act: whoever loses the race to create the row waits for the winner's.
        AuditHead.objects.bulk_create([AuditHead(chain=entry.chain)], ignore_conflicts=True)
        append_there(entry)
    written(entry)


def _on_postgresql(entry: AuditEntry) -> bool:
    """False where the chain has no head yet."""
    row = {name: value for name, value in new_row(entry).items() if name not in PLACE}
    rows = prepared(_statement(tuple(row)), [entry.chain, *around_n(entry), *parameters(AuditEntry, row)])
    if rows:
        entry.n, entry.previous_hash, entry.hash = rows[0]
    return bool(rows)


def around_n(entry: AuditEntry) -> tuple[str, str]:
    """The canonical JSON of an entry that has no place yet: what stands before the number, and what after it."""
    said = entry_of(entry)
    del said["n"]
    before = {name: value for name, value in said.items() if name < "n"}
    after = {name: value for name, value in said.items() if name > "n"}
    return f'{{{_members(before)},"n":', f",{_members(after)}}}"


def _members(part: dict[str, JsonValue]) -> str:
    return canonical_json(part).decode("ascii")[1:-1]


@cache
def _statement(names: tuple[str, ...]) -> str:
    """For the chain, what stands around the number, and the columns ``names`` of the entry.

    The head is read under its lock, so that whoever waited for it sees where the chain ends by then.
    """
    head, entries = table(AuditHead), table(AuditEntry)
    given = row_places(AuditEntry, names, first=4)
    text = ["WITH head AS (SELECT n, hash FROM", head, "WHERE chain = $1 FOR UPDATE)"]
    text += [", next AS (SELECT n + 1 AS n, hash AS previous_hash,"]
    text += [
        "encode(sha256(convert_to(hash || $2 || (n + 1)::text || $3, 'UTF8')), 'hex') AS hash FROM head)"
    ]
    text += [", moved AS (UPDATE", head, "AS place SET n = next.n, hash = next.hash FROM next"]
    text += ["WHERE place.chain = $1)"]
    text += ["INSERT INTO", entries, f"({', '.join((*names, *PLACE))}) SELECT", ", ".join(given)]
    text += [", next.n, next.previous_hash, next.hash FROM next RETURNING n, previous_hash, hash"]
    return " ".join(text)


def _on_sqlite(entry: AuditEntry) -> bool:
    """False where the chain has no head yet."""
    rows = fetch(" ".join(["SELECT n, hash FROM", table(AuditHead), "WHERE chain = %s"]), [entry.chain])
    if not rows:
        return False
    last, entry.previous_hash = rows[0]
    entry.n = last + 1
    entry.hash = link(entry.previous_hash, entry_of(entry))
    batch = Batch()
    batch.insert(AuditEntry, [new_row(entry)])
    batch.update(AuditHead, entry.chain, {"n": entry.n, "hash": entry.hash}, guarded=True)
    batch.execute()
    return True
