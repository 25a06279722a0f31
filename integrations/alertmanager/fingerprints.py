"""Prometheus' own fingerprint of a label set, for senders that leave it out."""

from __future__ import annotations

from collections.abc import Mapping

_OFFSET = 14695981039346656037
_PRIME = 1099511628211
_SEPARATOR = b"\xff"


def prometheus_fingerprint(labels: Mapping[str, str]) -> str:
    """16 hex digits: FNV-1a (64 bit) over the sorted names and values, each followed by the byte 0xff.

    The same as `LabelSet.Fingerprint` in prometheus/common (model/signature.go), so that an alert keeps its
    key when its sender is upgraded to one that writes `fingerprint`.
    """
    digest = _OFFSET
    for name in sorted(labels):
        for part in (name, labels[name]):
            for byte in part.encode("utf-8", "surrogatepass") + _SEPARATOR:
                digest = ((digest ^ byte) * _PRIME) & 0xFFFF_FFFF_FFFF_FFFF
    return f"{digest:016x}"
