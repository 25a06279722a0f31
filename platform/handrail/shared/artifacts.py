"""Values that are too large for a row: kept in a store under their SHA-256, and stood for by a reference."""

from __future__ import annotations

import hashlib
import io
import json
import secrets
import tempfile
from typing import IO

from django.core.files.base import File
from django.core.files.storage import InvalidStorageError, Storage, storages

from handrail.shared.errors import HandrailError
from handrail.shared.jsonvalue import JsonValue

LARGEST_IN_ROW = 16 * 1024
"""Characters of JSON; what is longer becomes an artifact."""

MARK = "$artifact"
_CHUNK = 64 * 1024
_IN_MEMORY = 1024 * 1024


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
    if _size(digest) != size:
        content.seek(0)
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


def _size(digest: str) -> int | None:
    """How many bytes the store has under this name; None when it has no such thing."""
    try:
        return store().size(_name(digest))
    except FileNotFoundError:
        return None


def _name(digest: str) -> str:
    if len(digest) != 64 or not digest.isalnum():
        raise ValueError(f"{digest!r} is no SHA-256")
    return f"{digest[:2]}/{digest}"
