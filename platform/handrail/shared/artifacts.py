"""Values that are too large for a row: kept in files named by their SHA-256, and stood for by a reference."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import IO

from django.conf import settings

from handrail.shared.errors import HandrailError
from handrail.shared.jsonvalue import JsonValue

LARGEST_IN_ROW = 16 * 1024
"""Characters of JSON; what is longer becomes an artifact."""

MARK = "$artifact"
_CHUNK = 64 * 1024


class ArtifactMissing(HandrailError):
    """A value that a row refers to is not in the artifact folder of this machine."""

    code = "artifact_missing"
    status = 503


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
    """The same with a file, from its beginning, without holding it in memory."""
    content.seek(0)
    hashed = hashlib.sha256()
    while chunk := content.read(_CHUNK):
        hashed.update(chunk)
    digest = hashed.hexdigest()
    path = _path(digest)
    if path.exists():
        return digest
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    content.seek(0)
    # Whole or not at all, and on the disk before the row that refers to it commits.
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as part:
        shutil.copyfileobj(content, part, _CHUNK)
        part.flush()
        os.fsync(part.fileno())
    Path(part.name).replace(path)
    return digest


def open_file(digest: str) -> IO[bytes]:
    """The bytes with this SHA-256, to be read and closed. Raises :class:`ArtifactMissing`."""
    try:
        return _path(digest).open("rb")
    except (FileNotFoundError, ValueError) as error:
        raise _missing(digest) from error


def get(digest: str) -> bytes:
    """The bytes with this SHA-256. Raises :class:`ArtifactMissing`."""
    try:
        return _path(digest).read_bytes()
    except (FileNotFoundError, ValueError) as error:
        raise _missing(digest) from error


def _missing(digest: str) -> ArtifactMissing:
    return ArtifactMissing(
        f"The stored value {digest[:12]} is not in this machine's artifact folder; "
        "workers and the web must share HANDRAIL_HOME/artifacts."
    )


def _path(digest: str) -> Path:
    if len(digest) != 64 or not digest.isalnum():
        raise ValueError(f"{digest!r} is no SHA-256")
    return Path(settings.HOME) / "artifacts" / digest[:2] / digest
