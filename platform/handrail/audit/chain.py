"""The hash chain: canonical JSON, links, and what the entries of each chain consist of. Pure.

Canonical JSON (so that a verifier in any language can be written from this): an object's keys sorted by code
point; no white space; ASCII only, everything else as lower-case ``\\uXXXX`` (surrogate pairs above U+FFFF);
integers in decimal; a number with a fraction as the shortest decimal that reads back as the same double
(``0.1``, ``1e-07``); a whole number written with a fraction or an exponent becomes an integer (``5.0`` is
``5``, ``1e+20`` is ``100000000000000000000``), because databases do not keep that difference. NaN and
infinities do not exist. A link is SHA-256 over the previous hash (64 hex digits, ASCII) and the canonical
JSON of the entry, as hex.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal

from handrail.shared.jsonvalue import JsonValue

GENESIS = "0" * 64
"""What stands where the first entry of a chain names its predecessor."""

INSTALLATION = "installation"
"""The name of the installation's chain; a run's own chain is called ``run:<id>``."""


def canonical_json(value: JsonValue) -> bytes:
    """The one way to write a JSON value. TypeError for what JSON has not, ValueError for NaN and infinities."""
    return _ENCODER.encode(_plain(value)).encode("ascii")


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
"""Made once: ``json.dumps`` makes one each time."""


def digest(value: JsonValue) -> str:
    """SHA-256 of the canonical JSON, as 64 hex digits."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def link(previous_hash: str, entry: Mapping[str, JsonValue]) -> str:
    """The hash of an entry that follows the one with ``previous_hash``."""
    return hashlib.sha256(previous_hash.encode("ascii") + canonical_json(dict(entry))).hexdigest()


def is_link(hashed: str, previous_hash: str, entry: Mapping[str, JsonValue]) -> bool:
    """Whether this is the hash of an entry that follows the one with ``previous_hash``; False for what has none.

    A verifier reads what somebody may have written by hand: NaN, or a previous hash that is not ASCII.
    """
    try:
        return link(previous_hash, entry) == hashed
    except (ValueError, TypeError, RecursionError):
        return False


def moment(at: datetime) -> str:
    """An aware time as it stands in entries: UTC to the microsecond, ``2026-11-22T17:08:19.123456Z``."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def run_event(run_id: object, n: int, kind: str, data: JsonValue, at: datetime) -> dict[str, JsonValue]:
    """The entry of a run's own chain, to be given to :func:`link`."""
    return {"run": str(run_id), "n": n, "type": kind, "data": data, "at": moment(at)}


def _plain(value: JsonValue) -> JsonValue:
    """The value with whole floats as integers; refuses what would be written in two ways or not at all."""
    kind = type(value)
    if value is None or kind is str or kind is int or kind is bool:
        return value
    match value:
        case int() | str():
            return value
        case float():
            return int(Decimal(repr(value))) if value.is_integer() else value
        case Mapping():
            if not all(isinstance(key, str) for key in value):
                raise TypeError("the keys of a JSON object are text")
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
    raise TypeError(f"{type(value).__name__} is not a JSON value")
