"""Values that are too large for a row: kept in a store under their SHA-256, and stood for by a reference."""

from __future__ import annotations

import hashlib
import io
import json
import re
import secrets
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import IO, NamedTuple, Protocol, cast

from django.core.files.base import File
from django.core.files.storage import InvalidStorageError, Storage, storages
from django.db import transaction

from handrail.shared.clock import database_now, estimated_now
from handrail.shared.errors import HandrailError
from handrail.shared.jsonvalue import JsonValue
from handrail.shared.locks import lock, lock_if_free

LARGEST_IN_ROW = 16 * 1024
"""Characters of JSON; what is longer becomes an artifact."""

MARK = "$artifact"
GRACE = timedelta(days=1)
"""A file that no row names is left alone for so long after it was written: its row may yet commit."""

_CHUNK = 64 * 1024
_IN_MEMORY = 1024 * 1024
_DIGEST = re.compile("[0-9a-f]{64}")
_PART = re.compile("[0-9a-f]{2}/tmp[a-z0-9_]{8}")
"""How :mod:`tempfile` names what the folder's store has not finished."""


class ArtifactMissing(HandrailError):
    """A value that a row refers to is not in the store."""

    code = "artifact_missing"
    status = 503


class ArtifactChanged(ArtifactMissing):
    """What the store has is not what was kept there."""

    code = "artifact_changed"


class ArtifactStoreDown(ArtifactMissing, OSError):
    """The store cannot be reached; like a full disk, which whoever writes waits for."""

    code = "artifact_store_down"


def shrink(value: JsonValue) -> JsonValue:
    """The value itself, or a reference to it when it is large.

    A value that looks like a reference is stored, too: what came from outside never names a file.
    """
    if isinstance(value, (bool, int, float)) or value is None:
        return value
    if isinstance(value, str) and len(value) < LARGEST_IN_ROW:
        return value
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if len(text) <= LARGEST_IN_ROW and not (isinstance(value, dict) and MARK in value):
        return value
    content = text.encode()
    return {MARK: put(content), "size": len(content), "media_type": "application/json"}


def expand(value: JsonValue) -> JsonValue:
    """The inverse of :func:`shrink`."""
    if isinstance(value, dict) and MARK in value:
        found: JsonValue = json.loads(get(str(value[MARK])))
        return found
    return value


def put(content: bytes) -> str:
    """Keep the bytes, durably, and return their SHA-256 in hex. The same bytes are kept once."""
    return put_file(io.BytesIO(content))


def put_file(content: IO[bytes]) -> str:
    """The same with a file, from its beginning, without holding it in memory. Raises OSError."""
    content.seek(0)
    hashed, size = hashlib.sha256(), 0
    while chunk := content.read(_CHUNK):
        hashed.update(chunk)
        size += len(chunk)
    digest = hashed.hexdigest()
    content.seek(0)
    found = _found(digest)
    if found is None:
        store().save(_name(digest), File(content))
    elif found.size != size or (estimated_now() or database_now()) - found.written_at > GRACE / 2:
        # It may be about to be removed, for want of a row that names it: written again, it is as young as ours.
        with transaction.atomic():
            lock(_lock_name(digest))
            store().save(_name(digest), File(content))
    return digest


def open_file(digest: str) -> IO[bytes]:
    """The bytes with this SHA-256, proven, to be read and closed. Raises :class:`ArtifactMissing`."""
    proven = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed by whoever reads it
    try:
        _fetch(digest, proven)
    except BaseException:
        proven.close()
        raise
    proven.seek(0)
    return proven


def get(digest: str) -> bytes:
    """The bytes with this SHA-256, proven. Raises :class:`ArtifactMissing`."""
    content = io.BytesIO()
    _fetch(digest, content)
    return content.getvalue()


class Found(NamedTuple):
    """One file of the store: ``ab/`` and its digest, bytes, and when it was written by the store's clock."""

    name: str
    size: int
    written_at: datetime

    @property
    def digest(self) -> str:
        """Its SHA-256; empty for the part of a file that a process did not live to finish."""
        digest = self.name[3:]
        return digest if _DIGEST.fullmatch(digest) and self.name == _name(digest) else ""

    @property
    def is_ours(self) -> bool:
        """Whether we have written it: a bucket or a folder may hold other things, too."""
        return bool(self.digest or _PART.fullmatch(self.name))


class _Listing(Protocol):
    def everything(self) -> Iterator[tuple[str, int, datetime]]:
        """Name, bytes and time of writing of all that is there."""


def earliest_now() -> datetime:
    """The database's clock or the store's, whichever is behind: a file is no older by one of them that is ahead."""
    digest = put(secrets.token_bytes(32))
    found = _found(digest)
    store().delete(_name(digest))
    return min(database_now(), found.written_at) if found is not None else database_now()


def old_files(before: datetime) -> Iterator[Found]:
    """The files of the store that were written before then, as they are listed. Raises :class:`ArtifactStoreDown`."""
    for name, size, written_at in cast("_Listing", store()).everything():
        found = Found(name, size, written_at)
        if written_at < before and found.is_ours:
            yield found


def remove_old(found: Found, before: datetime, is_needed: Callable[[str], bool]) -> bool:
    """Remove a file, unless it was written again meanwhile or its digest is needed after all; whether it did.

    Under the lock under which :func:`put_file` writes again: neither can slip in between the other's look and act.
    """
    with transaction.atomic():
        if found.digest:
            if not lock_if_free(_lock_name(found.digest)):
                return False
            there = _found(found.digest)
            if there is None or there.written_at >= before or is_needed(found.digest):
                return False
        store().delete(found.name)
    return True


def probe() -> str:
    """Keep something, read it back, remove it; the store's name for people. Raises OSError, ArtifactMissing."""
    digest = put(secrets.token_bytes(32))
    get(digest)
    store().delete(_name(digest))
    return where()


def where() -> str:
    """The store's name for people."""
    return str(getattr(store(), "where", "the artifact store"))


def store() -> Storage:
    """The store that HANDRAIL_ARTIFACT_STORAGE names. Raises :class:`ArtifactStoreDown`."""
    try:
        return storages["artifacts"]
    except InvalidStorageError as error:
        raise ArtifactStoreDown(
            "HANDRAIL_ARTIFACT_STORAGE names a bucket, but the library for it is not installed: "
            "pip install 'handrail[s3]' on every machine."
        ) from error


def _fetch(digest: str, into: IO[bytes]) -> None:
    hashed = hashlib.sha256()
    try:
        with store().open(_name(digest)) as kept:
            while chunk := kept.read(_CHUNK):
                hashed.update(chunk)
                into.write(chunk)
    except (FileNotFoundError, ValueError) as error:
        raise ArtifactMissing(
            f"The stored value {digest[:12]} is not in {where()}; web, workers and sweepers must share one store "
            "(HANDRAIL_ARTIFACT_STORAGE). If they do, bring it back from a backup."
        ) from error
    if hashed.hexdigest() != digest:
        raise ArtifactChanged(
            f"The stored value {digest[:12]} in {where()} is not what was kept there: it was changed or damaged. "
            "Bring it back from a backup."
        )


def _found(digest: str) -> Found | None:
    """What the store has under this name; None when it has no such thing."""
    name = _name(digest)
    try:
        return Found(name, store().size(name), store().get_modified_time(name))
    except FileNotFoundError:
        return None


def _lock_name(digest: str) -> str:
    return f"artifact:{digest}"


def _name(digest: str) -> str:
    if len(digest) != 64 or not digest.isalnum():
        raise ValueError(f"{digest!r} is no SHA-256")
    return f"{digest[:2]}/{digest}"
