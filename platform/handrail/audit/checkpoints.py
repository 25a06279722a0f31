"""Signed statements of where the chain ends, written outside the database, so that a rewrite shows.

A line of the checkpoint file is ``{"checkpoint": {"v", "chain", "n", "hash", "at", "key"}, "signature"}``;
the signature (Ed25519, base64) is over the canonical JSON of ``checkpoint``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.conf import settings
from django.db import transaction

from handrail.audit.chain import INSTALLATION, canonical_json, moment
from handrail.audit.models import AuditHead, Checkpoint
from handrail.audit.signatures import is_signed, key_id, sign, signing_key
from handrail.audit.verification import Place
from handrail.shared.clock import now
from handrail.shared.errors import Invalid
from handrail.shared.jsonvalue import JsonValue

EVERY = timedelta(seconds=60)
EVERY_ENTRIES = 1000
LONGEST_LINE = 10_000


def folder() -> Path:
    """Where the signing key and, unless set otherwise, the checkpoint file are."""
    return Path(settings.HOME) / "audit"


def sink() -> Path:
    """The checkpoint file: best on a disk that the database's administrators cannot write to."""
    return Path(settings.AUDIT_CHECKPOINTS) if settings.AUDIT_CHECKPOINTS else folder() / "checkpoints.jsonl"


def checkpoint_if_due() -> int:
    """The sweeper's duty: sign the head when it is due, and write out what is not written yet.

    Due: 60 s after the last checkpoint if there is anything new, or after 1,000 entries. Returns how many
    lines were written. A line may be written twice after a crash, never lost.
    """
    with transaction.atomic():
        head = AuditHead.objects.select_for_update().filter(pk=INSTALLATION).first()
        if head is not None and _is_due(head):
            _sign(head)
    return _write_out()


def statement(row: Checkpoint) -> dict[str, JsonValue]:
    """What is signed."""
    return {
        "v": 1,
        "chain": row.chain,
        "n": row.n,
        "hash": row.hash,
        "at": moment(row.at),
        "key": row.key_id,
    }


def read(lines: Iterable[str], keys: Mapping[str, Ed25519PublicKey]) -> Iterator[tuple[str, Place]]:
    """The places that a checkpoint file states. Raises Invalid, naming the line, for one that no key signed.

    A line that broke off, as on a full disk, is passed over where it stands again in whole.
    """
    broken: dict[int, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            document = json.loads(line[:LONGEST_LINE])
            signed, signature = document["checkpoint"], document["signature"]
            chain, place = signed["chain"], Place(signed["n"], signed["hash"])
            key = keys.get(signed["key"])
        except json.JSONDecodeError:
            broken[number] = line.rstrip("\n")
            continue
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise Invalid(_no_checkpoint(number)) from error
        if key is None:
            raise Invalid(
                f"Line {number} of the checkpoints is signed by another key ({str(signed['key'])[:12]}...). "
                "Give its public key with --public-key."
            )
        if not is_signed(key, canonical_json(signed), str(signature)):
            raise Invalid(f"Line {number} of the checkpoints bears a signature that is not genuine.")
        broken = {before: part for before, part in broken.items() if not line.startswith(part)}
        yield chain, place
    for number in broken:
        raise Invalid(_no_checkpoint(number))


def _no_checkpoint(number: int) -> str:
    return f"Line {number} of the checkpoints is not a checkpoint."


def _is_due(head: AuditHead) -> bool:
    last = Checkpoint.objects.filter(chain=head.chain).order_by("n").last()
    if last is None:
        return head.n > 0
    return head.n - last.n >= EVERY_ENTRIES or (head.n > last.n and now() - last.at >= EVERY)


def _sign(head: AuditHead) -> None:
    key = signing_key(folder())
    row = Checkpoint(chain=head.chain, n=head.n, hash=head.hash, at=now(), key_id=key_id(key.public_key()))
    row.signature = sign(key, canonical_json(statement(row)))
    row.save(force_insert=True)


def _write_out() -> int:
    rows = list(Checkpoint.objects.filter(exported_at=None).order_by("n"))
    if not rows:
        return 0
    path = sink()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lines = [json.dumps({"checkpoint": statement(row), "signature": row.signature}) for row in rows]
    # Behind a line that broke off, the first one would be unreadable, too.
    begin = "\n" if _broke_off(path) else ""
    with path.open("a", encoding="ascii") as file:
        file.write(begin + "".join(f"{line}\n" for line in lines))
        file.flush()
        os.fsync(file.fileno())
    Checkpoint.objects.filter(pk__in=[row.pk for row in rows]).update(exported_at=now())
    return len(rows)


def _broke_off(path: Path) -> bool:
    """Whether the file ends within a line."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - 1, 0))
            return file.read(1) not in (b"", b"\n")
    except FileNotFoundError:
        return False
